//go:build linux

package admin

import (
	"encoding/json"
	"sync"
	"time"

	"roost/conn"
	"roost/conn/server"
)

const (
	// sampleEvery is how often the server is looked at for the dashboard.
	sampleEvery = time.Second
	// keptSamples is how much of the past the dashboard shows: ten minutes.
	keptSamples = 600
	// mostWatchers is how many dashboards may be open at once; more get 503.
	mostWatchers = 16
	// backlog is how many events may wait for one of them. A watcher that is later
	// than that is dropped, and its page comes back for the whole history.
	backlog = 8
)

// sample is the server at one moment, and what happened since the sample before.
// Sizes are in bytes, times in seconds unless their name says otherwise.
type sample struct {
	At          int64   `json:"at_ms"` // Unix time
	Connections int64   `json:"connections"`
	Handshaking int64   `json:"handshakes_in_progress"`
	Closing     int64   `json:"closing"`
	Messages    float64 `json:"messages_received_per_second"`
	Deliveries  float64 `json:"deliveries_per_second"`
	Broadcasts  float64 `json:"broadcasts_per_second"`
	Sent        float64 `json:"sent_bytes_per_second"`
	// FanOut is the mean, and FanOutLongest the longest fan-out; null without any.
	FanOut        *float64 `json:"fanout_seconds"`
	FanOutLongest *float64 `json:"fanout_longest_seconds"`
	Resident      int64    `json:"resident_bytes"`
	PerConn       *float64 `json:"resident_bytes_per_connection"` // growth since the start; null with few connections
	Queued        int64    `json:"write_queue_bytes"`
	Opened        float64  `json:"opened_per_second"`
	Drops         float64  `json:"drops_per_second"` // frames, for any reason
	Busy          float64  `json:"reactor_busy"`     // share of the time, of the busiest reactor
	// Closes are those since the sample before, by reason; others are left out.
	Closes map[string]uint64 `json:"closes"`
}

// overview is what an event carries: the whole history at first, later the newest
// sample, each with what has no past.
type overview struct {
	Samples []sample          `json:"samples"`   // oldest first
	Levels  []level           `json:"levels"`    // now
	NotSo   string            `json:"not_ready"` // why, "" when it is ready
	Closed  map[string]uint64 `json:"closed"`    // connections since the start, by reason
	Topics  int               `json:"topics"`    // that have members, and the default one
	Nodes   *int              `json:"nodes"`     // other nodes that are known; null without a cluster
	Version string            `json:"version"`
	Began   int64             `json:"began_ms"` // Unix time
}

// history takes the samples and keeps them, and tells watchers of each.
type history struct {
	// Static after newHistory.
	listener *Listener
	stop     chan struct{}
	once     sync.Once

	// Owned by run, before that by start.
	last    server.Stats
	lastAt  time.Time
	fanOuts uint64
	fanned  float64 // seconds

	mu       sync.Mutex
	ring     [keptSamples]sample      // guarded by mu
	taken    int                      // guarded by mu; samples ever
	newest   overview                 // guarded by mu; without samples
	watchers map[chan []byte]struct{} // guarded by mu; nil after close
}

func newHistory(l *Listener) *history {
	return &history{listener: l, stop: make(chan struct{}), watchers: map[chan []byte]struct{}{}}
}

// run takes a sample a second until close. That costs about as much as one scrape of
// the metrics, whether somebody watches or not.
func (h *history) run() {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		select {
		case <-h.stop:
			return
		case now := <-ticker.C:
			h.take(now)
		}
	}
}

// start is called before run.
func (h *history) start(now time.Time) {
	h.begin(now)
	about := h.about(0)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.newest = about
}

// begin makes what has happened so far the past.
func (h *history) begin(now time.Time) {
	h.last, h.lastAt = h.listener.config.Server.Stats(), now
	h.fanOuts, h.fanned = h.listener.config.Metrics.fanOuts()
	h.listener.config.Metrics.longest.Store(0)
}

// take takes a sample and tells everybody who watches.
func (h *history) take(now time.Time) {
	s := h.sample(now)
	about := h.about(s.Busy)
	event := about
	event.Samples = []sample{s}
	line := encode(event)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ring[h.taken%keptSamples] = s
	h.taken++
	h.newest = about
	for w := range h.watchers {
		select {
		case w <- line:
		default:
			h.drop(w)
		}
	}
}

func (h *history) sample(now time.Time) sample {
	l := h.listener
	before, since := h.last, now.Sub(h.lastAt).Seconds()
	fanOuts, fanned := h.fanOuts, h.fanned
	longest := time.Duration(l.config.Metrics.longest.Load()).Seconds()
	h.begin(now)
	st := &h.last
	if st.Accepted == 0 {
		l.process.bare.Store(l.process.memory())
	}
	rate := func(now, before uint64) float64 { return float64(now-before) / since }
	s := sample{
		At: now.UnixMilli(), Connections: st.Open, Handshaking: st.Handshaking, Closing: st.Closing,
		Messages:   rate(st.MessagesIn, before.MessagesIn),
		Deliveries: rate(st.Hub.Delivered, before.Hub.Delivered),
		Broadcasts: rate(st.Hub.Published, before.Hub.Published),
		Sent:       rate(st.BytesOut, before.BytesOut),
		Resident:   l.process.memory(),
		PerConn:    l.process.growth(st.Handshaking + st.Open + st.Closing),
		Queued:     st.WriteQueued,
		Opened:     rate(st.Opened, before.Opened),
		Drops:      rate(st.Dropped+st.Hub.Refused, before.Dropped+before.Hub.Refused),
		Closes:     map[string]uint64{},
	}
	if n := h.fanOuts - fanOuts; n > 0 {
		mean := (h.fanned - fanned) / float64(n)
		s.FanOut, s.FanOutLongest = &mean, &longest
	}
	for i, busy := range st.Poller.Busy {
		if i < len(before.Poller.Busy) {
			s.Busy = max(s.Busy, min(1, (busy-before.Poller.Busy[i]).Seconds()/since))
		}
	}
	for r := conn.ReasonNone + 1; r < conn.Reasons; r++ {
		if n := st.Ended[r] - before.Ended[r]; n > 0 {
			s.Closes[r.String()] = n
		}
	}
	return s
}

func (h *history) about(busy float64) overview {
	l := h.listener
	n := l.snapshot()
	o := overview{Levels: n.levels(busy), Closed: map[string]uint64{}, Topics: n.Hub.Topics, Version: l.config.Version, Began: l.process.began.UnixMilli()}
	if n.Cluster.QueueLimit > 0 { // the configuration may hold a password, so Settings are without it
		o.Nodes = &n.Cluster.Nodes
	}
	if err := l.config.Server.Ready(); err != nil {
		o.NotSo = err.Error()
	}
	for r := conn.ReasonNone + 1; r < conn.Reasons; r++ {
		if n := h.last.Ended[r]; n > 0 {
			o.Closed[r.String()] = n
		}
	}
	return o
}

// watch returns what has been so far, as one event, and a channel of what comes; it
// is closed when the watcher is too slow, or the listener ends. ok is false when there
// are too many watchers. leave ends it.
func (h *history) watch() (past []byte, coming <-chan []byte, leave func(), ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers == nil || len(h.watchers) >= mostWatchers {
		return nil, nil, nil, false
	}
	w := make(chan []byte, backlog)
	h.watchers[w] = struct{}{}
	all := h.newest
	for i := max(0, h.taken-keptSamples); i < h.taken; i++ {
		all.Samples = append(all.Samples, h.ring[i%keptSamples])
	}
	return encode(all), w, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.drop(w)
	}, true
}

// drop ends a watcher, once. The caller holds mu.
func (h *history) drop(w chan []byte) {
	if _, there := h.watchers[w]; there {
		delete(h.watchers, w)
		close(w)
	}
}

func (h *history) close() {
	h.once.Do(func() { close(h.stop) })
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		h.drop(w)
	}
	h.watchers = nil
}

// encode makes one event of a stream (HTML Standard, section 9.2.6).
func encode(o overview) []byte {
	b, err := json.Marshal(o)
	if err != nil { // a number that is not finite
		return []byte(": " + err.Error() + "\n\n")
	}
	return append(append([]byte("data: "), b...), "\n\n"...)
}
