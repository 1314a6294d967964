//go:build linux

package server

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"roost/conn"
	"roost/conn/handshake"
	"roost/conn/hub"
)

// asked are the topics that a request asks for, as in /ws?topic=a&topic=b, each once.
// Without any, the connection stays in the default topic.
func asked(r *handshake.Request, most int) (names []string, err error) {
	for query := r.Query; len(query) > 0; {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte("&"))
		value, ok := bytes.CutPrefix(pair, []byte("topic="))
		if !ok {
			continue
		}
		name, err := url.QueryUnescape(string(value))
		if err != nil {
			return nil, hub.ErrTopicName
		}
		if err := hub.CheckTopic(name); err != nil {
			return nil, err
		}
		if slices.Contains(names, name) {
			continue
		}
		if names = append(names, name); most > 0 && len(names) > most {
			return nil, hub.ErrTooManyTopics
		}
	}
	return names, nil
}

// subscribe makes c a member of what it has asked for, and of nothing else. The names
// have been checked and counted.
func (s *Server) subscribe(c *conn.Conn, names []string) {
	if len(names) == 0 {
		return
	}
	s.hub.Unsubscribe(c, s.config.DefaultTopic)
	for _, name := range names {
		_ = s.hub.Subscribe(c, name, 0)
	}
}

// topicRefusals are the answers to requests for topics that cannot be had.
type topicRefusals struct{ name, tooMany *conn.Refusal }

func newTopicRefusals(most int) topicRefusals {
	refusal := func(err error, more string) *conn.Refusal {
		return conn.NewRefusal(http.StatusBadRequest, conn.ReasonHandshakeRefused, err.Error()+more)
	}
	return topicRefusals{
		name:    refusal(hub.ErrTopicName, ": ask for it as in ?topic=news&topic=sports."),
		tooMany: refusal(hub.ErrTooManyTopics, fmt.Sprintf(": ask for %d or less.", most)),
	}
}

func (t *topicRefusals) of(err error) *conn.Refusal {
	if errors.Is(err, hub.ErrTooManyTopics) {
		return t.tooMany
	}
	return t.name
}
