//go:build linux

package admin

import (
	"container/list"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"
)

// mostKeys is how many idempotency keys are remembered, about 600 bytes each; the oldest
// make room for new ones.
const mostKeys = 65_536

var (
	errOtherMessage = &refusal{http.StatusUnprocessableEntity, resultConflict, "this Idempotency-Key came with another message: make a new key for each"}
	errRunning      = &refusal{http.StatusConflict, resultConflict, "the first request with this Idempotency-Key is not over: come again"}
)

// keys remembers for a while under which key what was published, so that it is not
// published again.
type keys struct {
	window time.Duration // 0: nothing is remembered
	most   int

	mu      sync.Mutex
	byKey   map[string]*list.Element // guarded by mu
	byAge   list.List                // of *use, oldest first; guarded by mu
	evicted uint64                   // that had to go before the window was over; guarded by mu
}

// use is the first use of a key.
type use struct {
	key         string
	fingerprint [sha256.Size]byte
	began       time.Time
	fate        *fate // nil while it is not known
}

func newKeys(window time.Duration, most int) *keys {
	return &keys{window: window, most: most, byKey: map[string]*list.Element{}}
}

// begin is called before a message is published. It returns the fate of the same message that
// came with this key before; or else a use, which end is to be called for.
func (k *keys) begin(key string, fingerprint [sha256.Size]byte) (*use, *fate, error) {
	if key == "" || k.window == 0 {
		return nil, nil, nil
	}
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	for e := k.byAge.Front(); e != nil && k.over(e, now); e = k.byAge.Front() {
		k.remove(e)
	}
	if e := k.byKey[key]; e != nil {
		switch u := e.Value.(*use); {
		case k.over(e, now): // behind one that is not
			k.remove(e)
		case u.fingerprint != fingerprint:
			return nil, nil, errOtherMessage
		case u.fate == nil:
			return nil, nil, errRunning
		default:
			return nil, u.fate, nil
		}
	}
	if len(k.byKey) == k.most {
		k.remove(k.byAge.Front())
		k.evicted++
	}
	u := &use{key: key, fingerprint: fingerprint, began: now}
	k.byKey[key] = k.byAge.PushBack(u)
	return u, nil, nil
}

// end is called once for what begin has returned. Without a fate the message was not
// published, and the key is free.
func (k *keys) end(u *use, f *fate) {
	if u == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	u.fate = f
	if e := k.byKey[u.key]; f == nil && e != nil && e.Value == u {
		k.remove(e)
	}
}

// over reports whether the window of a use is. The caller holds mu.
func (k *keys) over(e *list.Element, now time.Time) bool {
	u := e.Value.(*use)
	return u.fate != nil && now.Sub(u.began) >= k.window
}

func (k *keys) remove(e *list.Element) {
	delete(k.byKey, e.Value.(*use).key)
	k.byAge.Remove(e)
}

// counts are how many keys are remembered, and how many had to go too early.
func (k *keys) counts() (remembered int, evicted uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.byKey), k.evicted
}
