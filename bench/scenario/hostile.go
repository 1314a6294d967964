package scenario

import (
	"encoding/binary"
	"strings"
	"time"

	"roost/bench"
)

// Attack is what the connections of a hostile group do.
type Attack string

// The attacks.
const (
	HalfHandshake Attack = "half-handshake" // send half of a request, with TLS behind its handshake, and wait
	Slowloris     Attack = "slowloris"      // send a request a byte at a time
	ConnectFlood  Attack = "connect-flood"  // connect and reset, over and over, also where there is TLS without its handshake
	RSTStorm      Attack = "rst-storm"      // shake hands and reset, over and over
	HalfFrame     Attack = "half-frame"     // send half of a message, and wait
	HugeLength    Attack = "huge-length"    // announce a message of 2^62 bytes
	Unmasked      Attack = "unmasked"       // send a frame without a mask
	PingFlood     Attack = "ping-flood"     // send pings as fast as the pace allows
	ZeroWindow    Attack = "zero-window"    // never read
	CloseNoRead   Attack = "close-no-read"  // send a close frame and never read
)

// Attacks lists them.
func Attacks() []Attack {
	return []Attack{HalfHandshake, Slowloris, ConnectFlood, RSTStorm, HalfFrame, HugeLength, Unmasked, PingFlood, ZeroWindow, CloseNoRead}
}

const (
	// hostileTurn is the time between two things a patient attacker does.
	hostileTurn = 100 * time.Millisecond
	// pingsPerTurn of each connection of a ping flood: 50 per second.
	pingsPerTurn = 5
	// hostilePace bounds the attempts of a group that is thrown out or leaves
	// over and over, unless it has a rate of its own.
	hostilePace = "500/s"
)

// hostile has connections that misbehave in one way from the end of the warm-up
// on. Whatever becomes of them is no fault of the server; it is counted.
type hostile struct {
	still
	s        *session
	group    *Group
	slots    slots
	dialling *bench.Dialling // nil before the attack
	next     time.Duration   // of the turn
	stopped  bool

	found HostileReport
}

// HostileReport is what became of an attack.
type HostileReport struct {
	Attack   Attack
	Dialled  bench.Dialled
	Sent     int64              // frames, or bytes of a request
	ByServer []bench.CloseCount // how the server ended them
}

const halfRequest = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upg"

func (w *hostile) begin(time.Duration) { w.next = w.s.from }

// step begins the attack, and does what patient attackers do now and then.
func (w *hostile) step(now time.Duration) time.Duration {
	if w.stopped || w.slots.from == w.slots.to {
		return -1
	}
	if now < w.next {
		return w.next - now
	}
	w.next = now + hostileTurn
	if w.dialling == nil {
		w.attack()
	}
	switch w.group.Attack {
	case Slowloris:
		w.each(func(c *bench.Conn) { w.send(c, []byte{'x'}) })
	case PingFlood:
		w.each(func(c *bench.Conn) {
			for range pingsPerTurn {
				if c.Pending() < pendingBytes {
					w.s.cl.Ping(c, []byte("are you there?"))
					w.found.Sent++
				}
			}
		})
	default:
		return -1
	}
	return hostileTurn
}

func (w *hostile) attack() {
	dial := bench.Dial{From: w.slots.from, To: w.slots.to, Pace: w.group.Rate, Recycle: true}
	switch w.group.Attack {
	case HalfHandshake, Slowloris:
		dial.Raw = true
	case ConnectFlood:
		dial.Raw, dial.Plain = true, true
	case ZeroWindow, CloseNoRead:
		dial.ReceiveBytes = slowReceiveBytes
	}
	w.dialling = w.s.cl.Dial(dial)
}

func (w *hostile) each(do func(*bench.Conn)) {
	for slot := w.slots.from; slot < w.slots.to; slot++ {
		if c := w.s.cl.Conn(slot); c.Open() {
			do(c)
		}
	}
}

func (w *hostile) send(c *bench.Conn, b []byte) {
	w.s.cl.SendRaw(c, b)
	w.found.Sent++
}

func (w *hostile) opened(c *bench.Conn) {
	cl := w.s.cl
	switch w.group.Attack {
	case HalfHandshake:
		w.send(c, []byte(halfRequest))
	case Slowloris:
		w.send(c, []byte("GET / HTTP/1.1\r\nHost: "))
	case ConnectFlood, RSTStorm:
		cl.Abort(c, true)
	case HalfFrame: // a masked message of 1,000 bytes, of which 10 come, RFC 6455 section 5.2
		w.send(c, append([]byte{0x82, 0x80 | 126, 1000 >> 8, 1000 & 0xff, 1, 2, 3, 4}, strings.Repeat("x", 10)...))
	case HugeLength:
		w.send(c, append(binary.BigEndian.AppendUint64([]byte{0x82, 0x80 | 127}, 1<<62), 1, 2, 3, 4))
	case Unmasked:
		w.send(c, []byte{0x82, 3, 'a', 'b', 'c'})
	case ZeroWindow:
		cl.StopReading(c)
	case CloseNoRead:
		cl.SendRaw(c, []byte{0x88, 0x82, 0, 0, 0, 0, 1000 >> 8, 1000 & 0xff})
		w.found.Sent++
		cl.StopReading(c)
	}
}

func (w *hostile) ended(c *bench.Conn) {
	code := bench.CloseCount{Code: c.CloseCode(), Count: 1}
	w.found.ByServer = bench.MergeCloses(w.found.ByServer, []bench.CloseCount{code})
}

func (w *hostile) stop() {
	w.stopped = true
	if w.dialling != nil {
		w.dialling.Stop()
	}
}

func (w *hostile) report() PartReport {
	r := PartReport{Name: w.group.Name, Role: string(Hostile), Conns: int64(w.slots.to - w.slots.from)}
	if w.s.measured {
		w.found.Attack, w.found.Dialled = w.group.Attack, bench.NoneDialled()
		if w.dialling != nil {
			w.found.Dialled.Add(w.dialling.Report())
		}
		r.Hostile = &w.found
	}
	return r
}

func (h *HostileReport) add(o *HostileReport) {
	h.Dialled.Add(o.Dialled)
	h.Sent += o.Sent
	h.ByServer = bench.MergeCloses(h.ByServer, o.ByServer)
}
