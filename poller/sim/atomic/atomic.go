//go:build roostsim

// Package atomic stands in for sync/atomic in a simulation: others may come
// between before each operation.
package atomic

import "roost/poller/sim"

type number interface {
	~int32 | ~int64 | ~uint32 | ~uint64
}

type value[T number] struct{ v T }

func (x *value[T]) Load() T {
	sim.Step("load")
	return x.v
}

func (x *value[T]) Store(v T) {
	sim.Step("store")
	x.v = v
}

func (x *value[T]) Add(d T) T {
	sim.Step("add")
	x.v += d
	return x.v
}

func (x *value[T]) Swap(v T) T {
	sim.Step("swap")
	old := x.v
	x.v = v
	return old
}

func (x *value[T]) CompareAndSwap(old, v T) bool {
	sim.Step("compare and swap")
	if x.v != old {
		return false
	}
	x.v = v
	return true
}

func (x *value[T]) And(mask T) T {
	sim.Step("and")
	old := x.v
	x.v &= mask
	return old
}

func (x *value[T]) Or(mask T) T {
	sim.Step("or")
	old := x.v
	x.v |= mask
	return old
}

// The numbers of sync/atomic.
type (
	Int32  struct{ value[int32] }
	Int64  struct{ value[int64] }
	Uint32 struct{ value[uint32] }
	Uint64 struct{ value[uint64] }
)

// Bool is the standard one.
type Bool struct{ v bool }

func (x *Bool) Load() bool {
	sim.Step("load")
	return x.v
}

func (x *Bool) Store(v bool) {
	sim.Step("store")
	x.v = v
}

func (x *Bool) Swap(v bool) bool {
	sim.Step("swap")
	old := x.v
	x.v = v
	return old
}

func (x *Bool) CompareAndSwap(old, v bool) bool {
	sim.Step("compare and swap")
	if x.v != old {
		return false
	}
	x.v = v
	return true
}

// Pointer is the standard one.
type Pointer[T any] struct{ v *T }

func (x *Pointer[T]) Load() *T {
	sim.Step("load")
	return x.v
}

func (x *Pointer[T]) Store(v *T) {
	sim.Step("store")
	x.v = v
}

func (x *Pointer[T]) Swap(v *T) *T {
	sim.Step("swap")
	old := x.v
	x.v = v
	return old
}
