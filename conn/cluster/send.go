package cluster

import (
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// confirmEvery is how often NATS is asked whether it has what was sent.
	confirmEvery = 250 * time.Millisecond
	// keptFor is how long NATS must have had what is let go of.
	keptFor = time.Second
	// awaitOthers is how long those who were known before a connection may take to come
	// back, before what waits is sent without them. It covers lastAgain.
	awaitOthers = 3 * time.Second
)

// send hands over what is published, in order.
func (s *session) send() {
	if !s.awaitOthers() {
		return
	}
	b := s.bus
	some := make([]item, 0, 64)
	var buffer []byte
	for {
		clear(some)
		some = b.out.batch(some[:0])
		if len(some) == 0 {
			select {
			case <-b.out.wake:
				continue
			case <-s.ctx.Done():
				return
			}
		}
		for i := range some {
			it := &some[i]
			if it.frame == nil {
				continue
			}
			buffer = appendMessage(buffer[:0], b.id, it)
			switch err := s.publish(it.topics, buffer); {
			case errors.Is(err, nats.ErrMaxPayload):
				b.lose(LossTooLarge)
				b.out.forget(it.seq)
			case err != nil:
				s.cancel() // it comes again in the next connection
				return
			case it.seq > b.sent:
				b.sent = it.seq
				b.counters.out.Add(1)
				b.counters.bytesOut.Add(uint64(len(it.frame.Payload())))
			}
		}
		if b.out.handed(some[len(some)-1].seq + 1) {
			b.hasten()
		}
		if cap(buffer) > 64<<10 {
			buffer = nil
		}
	}
}

// awaitOthers waits until those are back who would miss something; false when the connection ends.
func (s *session) awaitOthers() bool {
	timer := time.NewTimer(awaitOthers)
	defer timer.Stop()
	select {
	case <-s.back:
	case <-timer.C:
	case <-s.bus.closing:
	case <-s.ctx.Done():
		return false
	}
	return true
}

func (s *session) publish(topics []string, data []byte) error {
	for _, topic := range topics {
		if err := s.nc.Publish(s.bus.subjects.of(topic), data); err != nil {
			return err
		}
	}
	return nil
}

// attend asks NATS whether it has what was sent, and tells the others that this node is there. To those who
// have just come it does so within confirmEvery and once for all: after a restart of NATS everybody has.
func (s *session) attend() {
	ticker := time.NewTicker(confirmEvery)
	defer ticker.Stop()
	released := time.Now()
	announced := released
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.bus.hurry:
			s.confirm()
			continue
		case <-ticker.C:
			s.confirm()
		}
		now := time.Now()
		if now.Sub(released) >= keptFor {
			released = now
			s.bus.out.release()
		}
		if s.greeted.Swap(false) || now.Sub(announced) >= s.bus.nodes.every() {
			announced = now
			_ = s.announce(announcement{}) // fails when the connection has ended
		}
	}
}

// confirm asks NATS whether it has what was sent.
func (s *session) confirm() {
	if mark, ok := s.bus.out.unconfirmed(); ok && s.nc.FlushTimeout(slowestNATS) == nil {
		s.bus.out.confirm(mark)
	}
}
