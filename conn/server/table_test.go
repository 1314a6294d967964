package server

import (
	"sync"
	"testing"
)

// Entries stay where they are while others are added, and pages exist on demand.
func TestTable(t *testing.T) {
	var table table[uint32]
	if table.get(0) != nil || table.get(1<<30) != nil {
		t.Error("an empty table has entries")
	}
	slots := []uint32{5 * pageSize, 0, pageSize - 1, pageSize, 3*pageSize + 7}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i, slot := range slots {
				if i%4 == worker {
					*table.at(slot) = slot + 1
				}
				_ = table.at(slot)
			}
		})
	}
	wg.Wait()
	for _, slot := range slots {
		if e := table.get(slot); e == nil || *e != slot+1 || e != table.at(slot) {
			t.Errorf("slot %d is lost", slot)
		}
	}
	if table.get(2*pageSize) != nil {
		t.Error("a page that nobody asked for")
	}
	if n := testing.AllocsPerRun(100, func() { _ = table.at(7) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
