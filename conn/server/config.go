//go:build linux

package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"roost/conn"
	"roost/conn/auth"
	"roost/conn/cluster"
	"roost/conn/frame"
	"roost/conn/handshake"
	"roost/conn/hub"
)

// Config is everything a server can be told. Except for Listen and Handler the
// zero value of each field is its default; a limit that can be switched off says how.
type Config struct {
	// Listen holds the addresses to accept on. At least one.
	//
	//	host:port     TCP; ":8000" means all addresses, IPv4 and IPv6, and port 0
	//	              lets the kernel choose
	//	unix:PATH     a unix socket; a file that an ended process left there is replaced
	//	systemd       all that is left of Inherited
	//	systemd:NAME  what is left of Inherited and has this name
	//	tls:ADDRESS   any of these, with TLS
	Listen []string
	// TLS has the certificates of listeners with TLS.
	TLS TLS
	// Inherited are listening stream sockets that another process has opened, TCP or
	// unix. Start closes those that Listen mentions and goes on with descriptors of its own; the
	// others stay the caller's. The file of a unix socket is not removed at the end.
	Inherited []*os.File
	// ReusePort lets other servers of the same user listen on the same TCP ports, if all of
	// them say so: the kernel spreads new connections over them, and one can
	// take over from another without a client being refused.
	ReusePort bool
	// Handler serves the WebSocket connections. Required. See [Chat], [Echo], [Push].
	Handler conn.Handler
	// Blocking says that the Handler may wait: reactors then never run it, and
	// Workers bounds how many connections it serves at once. Accepting and
	// handshakes use the same workers: have more than handlers will block.
	Blocking bool
	// HTTP serves the requests that are not for Path, except for WebSocket handshakes,
	// which get 404. Nil answers 404 to all.
	HTTP http.Handler
	// Log receives what an operator wants to know. Nil means slog.Default.
	Log *slog.Logger

	// OnFanOut and OnWait are for measuring: see hub.Config and poller.Config.
	OnFanOut func(took time.Duration)
	OnWait   func(waited time.Duration)

	// Path is the request path of WebSockets. "" means "/ws".
	Path string
	// Subprotocols are the names the server agrees to; see handshake.Policy.
	Subprotocols []string

	// DefaultTopic is the name of the topic of all connections that ask for none, and of
	// messages that name none. "" means hub.DefaultTopic.
	DefaultTopic string
	// MaxTopics is the number of topics that one connection may ask for. 0 means 16; a
	// negative number means no limit. Each takes up to 64 bytes beside what the topic itself takes.
	MaxTopics int

	// Cluster joins this server with others over NATS: what is published on one reaches the
	// members of all. DefaultTopic, MaxMessage and Log are the server's unless it says
	// otherwise. Nil means that the server is alone.
	Cluster *cluster.Config

	// Limits are those that can be changed by Reload.
	Limits
	// TrustedProxies are those whose word is taken for the address of a client: IP
	// addresses, networks as in 10.0.0.0/8, and "unix" for whoever connects to a unix
	// socket. They may begin a connection with a header of the PROXY protocol, version 1 or
	// 2, and send Forwarded (RFC 7239) and X-Forwarded-For. Empty means that there are
	// none. See also [Server.Client].
	TrustedProxies []string
	// Auth says who may connect. The zero value lets everybody in. Log and
	// DefaultTopic of it are those of this Config.
	Auth auth.Config
	// MaxHTTPConns is the number of connections net/http serves at once; more are
	// answered with 503. 0 means 1,024.
	MaxHTTPConns int

	// Reactors is the number of epoll instances. 0 means one for every four processors.
	Reactors int
	// Workers is the number of goroutines that run handlers; reactors help them when
	// they are behind. 0 means one per processor.
	Workers int
	// Shards is the number of broadcaster goroutines. 0 means one per processor.
	Shards int
	// ReadBuffer is the size of each worker's read buffer in bytes, and what one
	// connection may read, or inflate, before others get their turn. 0 means 64 KiB.
	ReadBuffer int

	// MaxMessage is the longest message a client may send, in bytes. 0 means 1 MiB;
	// a negative number means no limit.
	MaxMessage int64
	// Compress agrees to permessage-deflate (RFC 7692) with clients that offer it, without
	// context takeover: each message is compressed by itself, so that nothing is kept for a
	// connection. A broadcast is compressed once, for all of them. Each goroutine that
	// compresses takes about 1 MB. MaxMessage holds for messages as they are after inflating.
	Compress bool
	// CompressMin is the length of a message, in bytes, below which it goes plain. 0 means
	// 128; a negative number means that all are compressed which get shorter.
	CompressMin int
	// CompressLevel is from 1, which takes the least time, to 9. 0 means 1.
	CompressLevel int
	// WriteQueueFrames and WriteQueueBytes bound what waits for one slow
	// connection. 0 means 512 frames and 1 MiB; a negative number means no limit.
	WriteQueueFrames int
	WriteQueueBytes  int
	// WriteQueueTotal bounds the bytes that wait for all slow connections together: a
	// broadcast that waits for many counts once (for each broadcaster), what was
	// written to one of them, and the places in the queues, each. Beyond, the
	// connections with the longest queues are closed until 90 % are left, whatever
	// SlowConsumer says. 0 means 1 GiB, or a quarter of Go's memory limit (GOMEMLIMIT)
	// if that is less; a negative number means no limit.
	WriteQueueTotal int64
	// ReadBufferTotal bounds the bytes that are kept of messages and request heads
	// which have not arrived whole, of all connections together. Beyond, the
	// connections that keep most are closed until 90 % are left. 0 means the same as
	// for WriteQueueTotal; a negative number means no limit.
	ReadBufferTotal int64
	// SlowConsumer is what happens to a connection whose queue is full.
	SlowConsumer conn.SlowConsumer
	// BroadcastQueueFrames and BroadcastQueueBytes bound what waits to be broadcast;
	// beyond, publishers are slowed down. 0 means 1,024 frames and 4 MiB.
	BroadcastQueueFrames int
	BroadcastQueueBytes  int

	// HandshakeTimeout is how long a client may take for its request. 0 means 10 s;
	// a negative duration means for ever.
	HandshakeTimeout time.Duration
	// PingInterval is the silence after which a connection is sent a ping; it is
	// closed when it stays silent for as long again. 0 means 30 s; a negative
	// duration means no pings.
	PingInterval time.Duration
	// IdleTimeout closes connections that send no message for this long; pongs do
	// not count. 0 and negative durations mean never.
	IdleTimeout time.Duration
	// CloseTimeout is how long a client may take to answer a close frame. 0 means
	// 5 s; a negative duration means for ever.
	CloseTimeout time.Duration
	// UserTimeout is how long what was sent may stay unacknowledged, or wait for a
	// client that takes none of it, before the kernel gives the client up (tcp(7),
	// TCP_USER_TIMEOUT). It finds clients that vanished, as long as something is sent
	// to them: a ping will do. 0 means 30 s; a negative duration leaves it to the
	// kernel, which tries for about 15 minutes.
	UserTimeout time.Duration

	// DrainDelay is how long Shutdown goes on accepting while Draining is true already, so
	// that load balancers can see it. 0 means not at all.
	DrainDelay time.Duration
	// DrainTime is over how long Shutdown spreads the closes. Those that are not
	// closed yet are served meanwhile. 0 means that all are closed as soon as possible.
	DrainTime time.Duration
	// DrainCode is the status with which connections are closed then: 1001 (going
	// away), 1012 (service restart), or another that a server may send. 0 means 1001.
	DrainCode frame.StatusCode
}

// Limits that are not configurable, because nobody needs them to be.
const (
	maxHead    = 8 << 10 // bytes of a request head
	maxHeaders = 100
)

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.HTTP == nil {
		c.HTTP = http.NotFoundHandler()
	}
	c.Limits = c.Limits.withDefaults()
	def(&c.Path, "/ws")
	def(&c.DefaultTopic, hub.DefaultTopic)
	c.Auth.DefaultTopic, c.Auth.Log = c.DefaultTopic, c.Log
	c.Auth = c.Auth.WithDefaults()
	def(&c.MaxTopics, 16)
	def(&c.MaxHTTPConns, 1024)
	def(&c.Reactors, max(1, runtime.GOMAXPROCS(0)/4))
	def(&c.Workers, runtime.GOMAXPROCS(0))
	def(&c.Shards, runtime.GOMAXPROCS(0))
	def(&c.ReadBuffer, 64<<10)
	def(&c.MaxMessage, 1<<20)
	def(&c.CompressMin, 128)
	def(&c.CompressLevel, 1)
	def(&c.WriteQueueFrames, 512)
	def(&c.WriteQueueBytes, 1<<20)
	def(&c.WriteQueueTotal, max(memoryShare(), 2*int64(c.WriteQueueBytes)))
	def(&c.ReadBufferTotal, max(memoryShare(), 2*c.MaxMessage))
	def(&c.BroadcastQueueFrames, 1024)
	def(&c.BroadcastQueueBytes, 4<<20)
	def(&c.HandshakeTimeout, 10*time.Second)
	def(&c.PingInterval, 30*time.Second)
	def(&c.CloseTimeout, 5*time.Second)
	def(&c.UserTimeout, 30*time.Second)
	def(&c.TLS.Handshakes, 1024)
	def(&c.DrainCode, frame.StatusGoingAway)
	return c
}

// memoryShare is the default of what waits to be written, and of what has not
// arrived whole: with both in full use, half of Go's memory limit is left for the
// connections themselves, the broadcast queue and the garbage of all of them.
func memoryShare() int64 { return min(1<<30, debug.SetMemoryLimit(-1)/4) }

// def sets the default of a value for which zero means nothing else.
func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// orNone turns a limit that is switched off into the 0 that means so in the
// packages below.
func orNone[T int | int64 | time.Duration](v T) T { return max(0, v) }

// Validate reports every fault at once, each with what would be right.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Listen) == 0 {
		bad("no listen address; give host:port, as in :8000")
	}
	for _, addr := range c.Listen {
		if _, err := ParseAddress(addr); err != nil {
			errs = append(errs, err)
		}
	}
	if err := c.validateTLS(); err != nil {
		errs = append(errs, err)
	}
	if c.Handler == nil {
		bad("no handler")
	}
	d := c.withDefaults()
	if err := d.policy().Validate(); err != nil {
		errs = append(errs, err)
	}
	if d.Cluster != nil {
		if err := d.Cluster.Validate(); err != nil {
			errs = append(errs, err)
		}
	}
	between := func(name string, v, least, most int, unit string) {
		if v < least || v > most {
			bad("%s: %d is out of range; want %d to %d%s", name, v, least, most, unit)
		}
	}
	if err := d.Limits.validate(); err != nil {
		errs = append(errs, err)
	}
	if _, err := parseProxies(c.TrustedProxies); err != nil {
		errs = append(errs, err)
	}
	if err := hub.CheckTopic(d.DefaultTopic); err != nil {
		bad("default topic %q: %w", d.DefaultTopic, err)
	}
	between("max topics", max(0, d.MaxTopics), 0, 1<<16, "")
	if err := c.Auth.Validate(); err != nil {
		errs = append(errs, err)
	}
	between("max HTTP connections", d.MaxHTTPConns, 1, 1<<20, "")
	between("reactors", d.Reactors, 1, 1024, ", or 0 for one per four processors")
	between("workers", d.Workers, 1, 1<<16, ", or 0 for one per processor")
	between("shards", d.Shards, 1, 1024, ", or 0 for one per processor")
	between("read buffer", d.ReadBuffer, 1<<10, 64<<20, " bytes")
	between("broadcast queue frames", d.BroadcastQueueFrames, 1, 1<<24, "")
	between("broadcast queue bytes", d.BroadcastQueueBytes, 1<<10, 1<<40, "")
	// The smallest of these stops shedding from closing what a single client may use.
	if least := 2 * max(0, int64(d.WriteQueueBytes)); d.WriteQueueTotal >= 0 && d.WriteQueueTotal < least {
		bad("write queue total: %d is out of range; want at least twice the bytes that may wait for one client, %d, or no limit", d.WriteQueueTotal, least)
	}
	if least := 2 * max(0, d.MaxMessage); d.ReadBufferTotal >= 0 && d.ReadBufferTotal < least {
		bad("read buffer total: %d is out of range; want at least twice the longest message, %d, or no limit", d.ReadBufferTotal, least)
	}
	between("number of subprotocols", len(d.Subprotocols), 0, conn.MaxSubprotocols, "")
	if _, err := d.compressor(); err != nil {
		errs = append(errs, err)
	}
	if d.SlowConsumer > conn.Conflate {
		bad("slow consumer policy %d is unknown", d.SlowConsumer)
	}
	for _, t := range []struct {
		name  string
		value time.Duration
	}{
		{"handshake timeout", d.HandshakeTimeout}, {"ping interval", d.PingInterval},
		{"idle timeout", d.IdleTimeout}, {"close timeout", d.CloseTimeout},
		{"TCP user timeout", d.UserTimeout},
	} {
		// The stamps of a connection are milliseconds in 32 bits and wrap.
		if t.value > 7*24*time.Hour || t.value > 0 && t.value < 10*time.Millisecond {
			bad("%s: %v is out of range; want 10ms to 168h", t.name, t.value)
		}
	}
	for _, t := range []struct {
		name  string
		value time.Duration
	}{{"drain delay", d.DrainDelay}, {"drain time", d.DrainTime}} {
		if t.value < 0 || t.value > 24*time.Hour {
			bad("%s: %v is out of range; want 0 to 24h", t.name, t.value)
		}
	}
	// RFC 6455 section 7.4.1: 1010 is a client's.
	if !frame.Sendable(d.DrainCode) || d.DrainCode == frame.StatusMandatoryExt {
		bad("drain code: a server cannot close with status %d; want 1001, 1012, or another of 1000 to 1003, 1007 to 1014 without 1010, 3000 to 4999", d.DrainCode)
	}
	return errors.Join(errs...)
}

func (c Config) policy() *handshake.Policy {
	return &handshake.Policy{
		Path: c.Path, Origins: c.Origins, Subprotocols: c.Subprotocols, Compress: c.Compress,
		MaxHead: maxHead, MaxHeaders: maxHeaders,
	}
}

// compressor is nil when nothing is to be compressed.
func (c Config) compressor() (*frame.Compressor, error) {
	z, err := frame.NewCompressor(c.CompressLevel, orNone(c.CompressMin))
	if err != nil || !c.Compress {
		return nil, err
	}
	return z, nil
}
