//go:build linux

package hub

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"roost/conn"
)

// Receipt is told what became of one message on its way to each connection. Its
// methods may be called from any goroutine.
type Receipt struct {
	mu     sync.Mutex
	since  time.Time // of publishing; guarded by mu
	shards int       // whose fan-out has not ended; guarded by mu
	owed   int       // fates that connections know of or will, of fan-outs that have ended; guarded by mu
	fates  [conn.Closed + 1]int
	took   *hdrhistogram.Histogram // microseconds until the kernel had it; nil when it is forgotten; guarded by mu
	all    *sync.Cond              // signalled when nothing is to come
}

// unpublished stands for shards before a message is published.
const unpublished = -1

// Latencies are kept from a microsecond to an hour with two digits, in 28 kB.
const (
	longestTook = time.Hour
	tookDigits  = 2
)

// NewReceipt returns a Receipt for one [Message].
func NewReceipt() *Receipt {
	r := &Receipt{shards: unpublished, took: hdrhistogram.New(1, longestTook.Microseconds(), tookDigits)}
	r.all = sync.NewCond(&r.mu)
	return r
}

// Report is what became of a message. Connections whose handshake had not ended, or that
// were closing already, do not count.
type Report struct {
	Complete    bool // nothing is to come
	Subscribers int  // the sum of the next four

	Delivered int // the kernel has accepted the last byte for so many
	Dropped   int // given up because the connection is slow, or replaced by a newer value of its key
	Closed    int // the connection ended before, or was closed because it is slow
	Pending   int // waits in the queues of so many

	// From publishing until the kernel had the last byte, over those Delivered.
	P50, P99, Max time.Duration
}

// Wait returns when all is known, or ctx ends: then with what is known, where
// connections that no broadcaster has come to are missing.
func (r *Receipt) Wait(ctx context.Context) Report {
	stop := context.AfterFunc(ctx, func() {
		r.mu.Lock()
		r.all.Broadcast()
		r.mu.Unlock()
	})
	defer stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.completeLocked() && ctx.Err() == nil {
		r.all.Wait()
	}
	known := r.knownLocked()
	report := Report{
		Complete:    r.completeLocked(),
		Subscribers: max(r.owed, known),
		Delivered:   r.fates[conn.Sent], Dropped: r.fates[conn.Dropped], Closed: r.fates[conn.Closed],
		Pending: max(r.owed, known) - known,
	}
	if r.took != nil {
		at := func(q float64) time.Duration {
			return time.Duration(r.took.ValueAtQuantile(q)) * time.Microsecond
		}
		report.P50, report.P99, report.Max = at(50), at(99), time.Duration(r.took.Max())*time.Microsecond
	}
	return report
}

// Forget frees what latencies are kept in. Who does not wait any more has to call it unless all is known:
// the queues of slow connections keep the receipt for as long as they keep its message.
func (r *Receipt) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.took = nil
}

// begin is called before the message enters the FIFOs of so many shards.
func (r *Receipt) begin(shards int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since, r.shards = time.Now(), shards
}

// Told is for connections, see conn.Watcher.
func (r *Receipt) Told(f conn.Fate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fates[f]++
	if f == conn.Sent && r.took != nil {
		took := min(max(time.Since(r.since), time.Microsecond), longestTook)
		_ = r.took.RecordValue(took.Microseconds()) // in range
	}
	r.tellLocked()
}

// fannedOut is called at the end of a shard's fan-out, or when there is nobody in it.
func (r *Receipt) fannedOut(o outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shards--
	r.owed += o.taken + o.dropped + o.closed
	r.fates[conn.Dropped] += o.dropped
	r.fates[conn.Closed] += o.closed
	r.tellLocked()
}

func (r *Receipt) tellLocked() {
	if r.completeLocked() {
		r.all.Broadcast()
	}
}

func (r *Receipt) completeLocked() bool { return r.shards == 0 && r.owed == r.knownLocked() }

func (r *Receipt) knownLocked() int {
	return r.fates[conn.Sent] + r.fates[conn.Dropped] + r.fates[conn.Closed]
}

// receipts are those of frames that are sent together.
type receipts []*Receipt

func (rs receipts) Told(f conn.Fate) {
	for _, r := range rs {
		r.Told(f)
	}
}

// outcome counts connections by what became of the items of one fan-out when they were
// handed over. Those that are not open do not count.
type outcome struct {
	taken   int // by the kernel or a queue; if there are receipts they are told the fate
	dropped int
	closed  int
}

func (o *outcome) add(err error) {
	switch {
	case err == nil:
		o.taken++
	case errors.Is(err, conn.ErrDropped):
		o.dropped++
	case errors.Is(err, conn.ErrSlowConsumer):
		o.closed++
	}
}
