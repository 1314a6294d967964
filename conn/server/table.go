package server

import (
	"slices"
	"sync"
	"sync/atomic"
)

// table has a T for each slot of the hub that somebody has asked for: what only some
// servers keep about connections costs the others nothing. It grows by pages and never
// shrinks; its bound is the most connections there have been at once. Who may use
// an entry is the caller's to arrange; an entry stays what it was when its slot is given
// to another connection. The zero value is empty.
type table[T any] struct {
	mu    sync.Mutex // held to add a page
	pages atomic.Pointer[[]*page[T]]
}

const pageSize = 1024

type page[T any] [pageSize]T

// get is the entry of a slot, nil when nobody has asked for one of its page.
func (t *table[T]) get(slot uint32) *T {
	pages := t.pages.Load()
	if pages == nil || int(slot/pageSize) >= len(*pages) {
		return nil
	}
	p := (*pages)[slot/pageSize]
	if p == nil {
		return nil
	}
	return &p[slot%pageSize]
}

// at is the entry of a slot.
func (t *table[T]) at(slot uint32) *T {
	if e := t.get(slot); e != nil {
		return e
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.get(slot); e != nil {
		return e
	}
	var pages []*page[T]
	if old := t.pages.Load(); old != nil {
		pages = slices.Clone(*old)
	}
	at := int(slot / pageSize)
	if at >= len(pages) {
		pages = append(pages, make([]*page[T], at+1-len(pages))...)
	}
	pages[at] = new(page[T])
	t.pages.Store(&pages)
	return &pages[at][slot%pageSize]
}
