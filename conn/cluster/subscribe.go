package cluster

import (
	"errors"
	"time"
)

// subscribe follows the interest of this node.
func (s *session) subscribe() {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		var err error
		select {
		case <-s.ctx.Done():
			return
		case <-s.bus.interest.wake:
			err = s.subscribeMissing()
		case <-ticker.C:
			for _, sub := range s.bus.interest.sweep() {
				err = errors.Join(err, sub.Unsubscribe())
			}
		}
		// A new connection subscribes to everything.
		if err != nil && s.ctx.Err() == nil {
			s.bus.config.Log.Warn("NATS takes no subscription", "err", err)
			s.cancel()
			return
		}
	}
}

func (s *session) subscribeMissing() error {
	some := make([]string, 0, 256)
	for {
		some = s.bus.interest.next(some[:0])
		if len(some) == 0 {
			return nil
		}
		for _, topic := range some {
			sub, err := s.nc.ChanSubscribe(s.bus.subjects.of(topic), s.topics)
			if err != nil {
				return err
			}
			s.bus.interest.made(topic, sub)
		}
	}
}
