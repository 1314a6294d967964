//go:build linux

package admin

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// result is what comes of a message that is given to be published.
type result uint8

const (
	resultAccepted     result = iota
	resultReplayed            // its Idempotency-Key was known
	resultBusy                // 429
	resultConflict            // its Idempotency-Key is in use, or another message's
	resultInvalid             // 400, 415
	resultTooBig              // 413
	resultCutOff              // the body did not come, or not whole
	resultUnauthorized        // 401, 403
	resultUnavailable         // 503
	results                   // ends a loop over all of them
)

var resultNames = [results]string{"accepted", "replayed", "busy", "conflict", "invalid", "too-big", "cut-off", "unauthorized", "unavailable"}

// publishing is what requests that publish share.
type publishing struct {
	places chan struct{} // holds one for each
	keys   *keys

	counts [results]atomic.Uint64
	busy   atomic.Int64 // Unix time in nanoseconds of the last refusal for want of room
}

func newPublishing(window time.Duration) *publishing {
	return &publishing{places: make(chan struct{}, mostPublishing), keys: newKeys(window, mostKeys)}
}

func (p *publishing) count(r result) { p.counts[r].Add(1) }

// calm is how long nobody must have been refused for want of room before the next is
// worth a warning.
const calm = 10 * time.Second

// warn says that publishers are refused, once until that has not happened for a while.
func (p *publishing) warn(log *slog.Logger, why string) {
	now := time.Now().UnixNano()
	if before := p.busy.Swap(now); now-before >= int64(calm) {
		log.Warn("publishing is answered with 429", "why", why,
			"remedy", "publish less, in batches, or give broadcasts more room with --broadcast-queue-frames and --broadcast-queue-bytes")
	}
}
