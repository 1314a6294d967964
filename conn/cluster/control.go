package cluster

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// answer serves announcements and requests of the other nodes.
func (s *session) answer() {
	b := s.bus
	for {
		select {
		case <-s.ctx.Done():
			return
		case m := <-s.control:
			if m.Subject == b.subjects.presence {
				s.reply(m)
			} else if a, ok := parseAnnouncement(m.Data); ok && a.Node != b.name {
				b.nodes.heard(a, time.Now())
				if a.Hello {
					s.greeted.Store(true)
				}
			}
		}
	}
}

func (s *session) reply(m *nats.Msg) {
	b := s.bus
	var q request
	if len(m.Data) > mostRequest || json.Unmarshal(m.Data, &q) != nil || !strings.HasPrefix(m.Reply, b.subjects.answer) ||
		len(q.Topics) > MaxTopics || len(q.Topics) == 0 && (q.Limit < 1 || q.Limit > MaxTopics) {
		return
	}
	body, _ := json.Marshal(reply{Node: b.name, Topics: Count(b.local, Query(q))})
	_ = s.nc.Publish(m.Reply, body) // whoever asks does not wait for long
}

// announce tells the others of this node.
func (s *session) announce(a announcement) error {
	a.Node = s.bus.name
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return s.nc.Publish(s.bus.subjects.node, body)
}
