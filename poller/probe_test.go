//go:build linux

package poller

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestProbe passes while the poller works, does not while workers or a reactor are
// stuck, and passes again.
func TestProbe(t *testing.T) {
	for _, c := range []Config{{Reactors: 1, Workers: 1}, {Reactors: 3, Workers: 2}, {Reactors: 2, Workers: 1, Blocking: true}} {
		p := start(t, c)
		pr, err := p.NewProbe()
		if err != nil {
			t.Fatal(err)
		}
		for range 300 { // more than a byte of the counter
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			if err := pr.Run(ctx); err != nil {
				t.Fatalf("%+v: %v", c, err)
			}
			cancel()
		}
		pr.Close()
		if err := pr.Run(context.Background()); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

func TestProbeFindsStuckWorkers(t *testing.T) {
	p := start(t, sequential)
	pr, err := p.NewProbe()
	if err != nil {
		t.Fatal(err)
	}
	release := busy(t, p)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if err := pr.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the only worker is stuck: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- pr.Run(context.Background()) }()
	release()
	if err := await(t, done, "the probe ends"); err != nil {
		t.Errorf("the worker goes on: %v", err)
	}
	pr.Close()
}

// TestProbeFindsStuckReactor: a handler that a reactor runs does not come back.
func TestProbeFindsStuckReactor(t *testing.T) {
	p := start(t, Config{Reactors: 1, Workers: 1, Buffer: 16})
	pr, err := p.NewProbe()
	if err != nil {
		t.Fatal(err)
	}
	entered, proceed := make(chan struct{}), make(chan struct{})
	first := true
	stuck := connect(t, p, func(l *link, w *Worker, _ Events) Next {
		if n, _ := drain(l.FD(), w.Buffer); n > 0 && first {
			first = false
			close(entered)
			<-proceed
		}
		return Wait
	})
	send(t, stuck.peer, 1)
	await(t, entered, "the reactor runs the handler")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if err := pr.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the only reactor is stuck: %v", err)
	}
	closed := make(chan error, 1)
	go func() { closed <- pr.Run(context.Background()) }()
	pr.Close()
	if err := await(t, closed, "Run ends with Close"); !errors.Is(err, ErrClosed) {
		t.Errorf("Run during Close: %v", err)
	}
	close(proceed)
}
