//go:build roostsim

// Package context stands in for the standard one in a simulation: a context ends
// when the test says so, and what is to run then is an actor.
package context

import (
	"context"
	"slices"

	"roost/poller/sim"
)

// Context is the standard one.
type Context = context.Context

// Background never ends.
func Background() Context { return context.Background() }

// Ending is a context that ends when End is called.
type Ending struct {
	context.Context
	err   error
	after []*func()
}

// New returns a context that has not ended.
func New() *Ending { return &Ending{Context: context.Background()} }

// End is the deadline.
func (c *Ending) End() {
	if c.err != nil {
		return
	}
	c.err = context.DeadlineExceeded
	for _, f := range c.after {
		sim.Go("after", *f)
	}
	c.after = nil
}

// Err is the standard one.
func (c *Ending) Err() error {
	sim.Step("context")
	return c.err
}

// AfterFunc is the standard one, for Background and an Ending.
func AfterFunc(ctx Context, f func()) (stop func() bool) {
	c, ok := ctx.(*Ending)
	if !ok {
		return func() bool { return true }
	}
	sim.Step("after")
	if c.err != nil {
		sim.Go("after", f)
		return func() bool { return false }
	}
	c.after = append(c.after, &f)
	return func() bool {
		i := slices.Index(c.after, &f)
		if i >= 0 {
			c.after = slices.Delete(c.after, i, i+1)
		}
		return i >= 0
	}
}
