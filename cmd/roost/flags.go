//go:build linux

package main

import (
	"encoding"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/units"

	"roost/conn"
	"roost/conn/frame"
	"roost/conn/server"
)

// flags is the command line of serve, one field per flag; config turns it into a
// server.Config. Values are read leniently: a bad one is kept with its fault, so
// that all faults are reported at once.
type flags struct {
	fileFlag

	Listen       []string `group:"Service" default:":8000" placeholder:"ADDRESS" help:"Addresses to listen on. HOST:PORT, where ':8000' is every address, IPv4 and IPv6, and port 0 lets the system choose; unix:PATH for a unix socket; systemd for the sockets of a systemd socket unit, systemd:NAME for those with this FileDescriptorName=; tls: in front of any of these for TLS, as in tls::8443 (see --tls-cert). Repeat or separate with commas."`
	ReusePort    bool     `group:"Service" name:"reuseport" help:"Share the TCP ports with other processes of the same user that do the same: a new server starts beside the old one, which then drains. A second server that starts by mistake is not noticed."`
	Path         string   `group:"Service" default:"/ws" placeholder:"PATH" help:"Request path of the WebSocket endpoint."`
	Handler      choice   `group:"Service" default:"chat" placeholder:"chat|echo|push" help:"What happens to a client's message: chat sends it to every client in the sender's topics; echo returns it to its sender; push takes none and closes with status 1008: for those who publish from the back end."`
	Static       string   `group:"Service" placeholder:"DIR" help:"Serve this folder at / in place of the built-in chat page: all of it, with listings of folders that have no index.html, and hidden files too."`
	Origins      []string `group:"Service" reload:"" placeholder:"PATTERN" help:"Browser origins that may connect besides the server's own host, as [scheme://]host[:port] with * and ? as wildcards; '*' allows all. Requests without an Origin header come from no browser and pass."`
	Subprots     []string `group:"Service" name:"subprotocols" placeholder:"NAME" help:"WebSocket subprotocols to agree to; of those a client offers, its first that is listed here is chosen. With roost.v1, clients can change their topics while they are connected: see conn/server/roost.v1.md."`
	DefaultTopic string   `group:"Service" default:"all" placeholder:"NAME" help:"Topic of clients that ask for none, and of messages that name none. Clients ask in the query of their request, as in /ws?topic=news&topic=sports, and are in those only."`
	MaxTopics    count    `group:"Service" default:"16" placeholder:"N" help:"Topics that one client may be in, beside the default one. 0 means no limit."`

	MaxConns        count    `group:"Connections" reload:"" default:"0" placeholder:"N" help:"WebSocket connections served at once; more are answered with 503. 0 means no limit: when descriptors run out, clients wait until one comes free."`
	MaxConnsPerIP   count    `group:"Connections" reload:"" name:"max-conns-per-ip" default:"0" placeholder:"N" help:"Connections from one IPv4 address or IPv6 /64 network at once; more are answered with 503. 0 means no limit."`
	AcceptRate      count    `group:"Connections" reload:"" default:"0" placeholder:"N" help:"Connections accepted per second; as many may come at once after a second of rest, and more wait in the backlog. 0 means no limit."`
	AcceptRatePerIP count    `group:"Connections" reload:"" name:"accept-rate-per-ip" default:"0" placeholder:"N" help:"Connections per second from one IPv4 address or IPv6 /64 network; as many may come at once after a second of rest, and more are answered with 429. 0 means no limit."`
	MaxHandshakes   count    `group:"Connections" reload:"" default:"16384" placeholder:"N" help:"Connections whose request has not come whole; beyond, the oldest are dropped until 90% are left. 0 means no limit."`
	MaxMemory       size     `group:"Connections" reload:"" default:"0" placeholder:"BYTES" help:"Resident memory of the process. At 90% nobody is accepted until it is below 85%, at 95% clients with the longest queues are closed until it is at 90%. Sets GOMEMLIMIT to 90% of it unless that is set. 0 means no limit."`
	TrustedProxies  []string `group:"Connections" placeholder:"CIDR" help:"Proxies whose word is taken for the address of a client: IP addresses, networks as in 10.0.0.0/8, and 'unix' for peers of unix sockets. They may send a PROXY protocol header, Forwarded and X-Forwarded-For; from others these are worth nothing. Repeat or separate with commas."`
	MaxHTTPConns    count    `group:"Connections" name:"max-http-conns" default:"1024" placeholder:"N" help:"Plain HTTP connections served at once; more are answered with 503. 0 means 1024."`
	Reactors        count    `group:"Connections" default:"0" placeholder:"N" help:"Reactors, one epoll instance each. 0 means one per four processors."`
	Workers         count    `group:"Connections" default:"0" placeholder:"N" help:"Workers that read and handle messages. 0 means one per processor."`
	Shards          count    `group:"Connections" default:"0" placeholder:"N" help:"Broadcasters, each serving its part of the connections. 0 means one per processor."`
	ReadBuffer      size     `group:"Connections" default:"64KiB" placeholder:"BYTES" help:"Read buffer of each worker, and what one connection may read, or inflate, before others get their turn. 0 means 64KiB."`

	MaxMessage     size   `group:"Messages" placeholder:"BYTES" help:"Longest message a client may send; a longer one is closed with status 1009, also if it is longer only when inflated. 0 means no limit. Default 1MiB, and 16MiB with --handler echo."`
	MessageRate    count  `group:"Messages" reload:"" default:"0" placeholder:"N" help:"Messages per second from one client; as many may come at once after a second of rest, and a client that sends more is closed with status 1008. 0 means no limit."`
	Compress       choice `group:"Messages" default:"off" placeholder:"off|on" help:"Agree to permessage-deflate with clients that offer it, as browsers do. Each message is compressed by itself, so a connection at rest costs nothing more; a broadcast is compressed once for all."`
	CompressMin    size   `group:"Messages" default:"128" placeholder:"BYTES" help:"Messages shorter than this are sent as they are. 0 means that all are compressed which get shorter."`
	CompressLevel  count  `group:"Messages" default:"1" placeholder:"N" help:"From 1, which takes the least time, to 9, which saves a few percent more. 0 means 1."`
	WriteFrames    count  `group:"Messages" name:"write-queue-frames" default:"512" placeholder:"N" help:"Frames that may wait for one slow client. 0 means no limit."`
	WriteBytes     size   `group:"Messages" name:"write-queue-bytes" default:"1MiB" placeholder:"BYTES" help:"Bytes that may wait for one slow client. 0 means no limit."`
	WriteTotal     size   `group:"Messages" name:"write-queue-total" default:"0" placeholder:"BYTES" help:"Bytes that may wait for all slow clients together; what many wait for counts once. Beyond, clients with the longest queues are closed until 90% are left. 0 means 1GiB, or a quarter of GOMEMLIMIT if that is less."`
	ReadTotal      size   `group:"Messages" name:"read-buffer-total" default:"0" placeholder:"BYTES" help:"Bytes of messages and requests that have not arrived whole, of all clients together. Beyond, clients with most of them are closed until 90% are left. 0 means 1GiB, or a quarter of GOMEMLIMIT if that is less."`
	SlowConsumer   choice `group:"Messages" default:"close" placeholder:"close|drop|conflate" help:"What happens when a client's queue is full: close it with status 1008, or drop the newest frames. conflate keeps just the newest frame of each key in the queue, and closes when that is full nevertheless."`
	BroadcastQueue count  `group:"Messages" name:"broadcast-queue-frames" default:"1024" placeholder:"N" help:"Frames that may wait to be broadcast; beyond, publishers are read more slowly. 0 means 1024."`
	BroadcastBytes size   `group:"Messages" name:"broadcast-queue-bytes" default:"4MiB" placeholder:"BYTES" help:"Bytes that may wait to be broadcast. 0 means 4MiB."`

	HandshakeTimeout duration `group:"Time" default:"10s" placeholder:"TIME" help:"How long a client may take for its request. 0 means for ever."`
	PingInterval     duration `group:"Time" default:"30s" placeholder:"TIME" help:"Silence after which a client is sent a ping; silent for as long again, it is closed. 0 means no pings."`
	IdleTimeout      duration `group:"Time" default:"0" placeholder:"TIME" help:"Close clients that send no message for this long; pongs do not count. 0 means never."`
	CloseTimeout     duration `group:"Time" default:"5s" placeholder:"TIME" help:"How long a client may take to answer a close frame. 0 means for ever."`
	UserTimeout      duration `group:"Time" name:"tcp-user-timeout" default:"30s" placeholder:"TIME" help:"How long what was sent may stay unacknowledged, or wait for a client that takes nothing, before the system gives the client up. 0 means the system's own, about 15 minutes."`

	DrainDelay      duration `group:"Stopping" default:"0" placeholder:"TIME" help:"How long to go on accepting after SIGTERM or SIGINT, while the server says that it is not ready, so that load balancers notice. 0 means not at all."`
	DrainTime       duration `group:"Stopping" default:"0" placeholder:"TIME" help:"Over how long clients are closed after that, evenly, one by one; the others are served meanwhile. 0 means that all are closed at once."`
	DrainCode       count    `group:"Stopping" default:"1001" placeholder:"N" help:"Status with which they are closed: 1001 is going away, 1012 service restart; any that a server may send. 0 means 1001."`
	ShutdownTimeout duration `group:"Stopping" default:"30s" placeholder:"TIME" help:"How long to wait for clients' answers after that; a second signal ends at once. 0 means without limit."`

	tlsFlags
	authFlags
	adminFlags
	clusterFlags

	LogLevel  choice `group:"Log" reload:"" default:"info" placeholder:"debug|info|warn|error" help:"Least level to log. debug has a line for each connection that ends."`
	LogFormat choice `group:"Log" default:"text" placeholder:"text|json" help:"Format of the log on standard error."`
}

// faults lists what is wrong with the values of serve's flags, beside those that
// could not be read at all.
func (f *flags) faults() (errs []error) {
	one := func(name string, v choice, of ...string) {
		if err := v.among(name, of...); err != nil {
			errs = append(errs, err)
		}
	}
	one("handler", f.Handler, "chat", "echo", "push")
	one("slow-consumer", f.SlowConsumer, "close", "drop", "conflate")
	one("tls-min", f.TLSMin, "1.2", "1.3")
	one("ktls", f.KTLS, ktlsChoices...)
	one("compress", f.Compress, "off", "on")
	one("log-level", f.LogLevel, "debug", "info", "warn", "error")
	one("log-format", f.LogFormat, "text", "json")
	if f.Static != "" {
		if st, err := os.Stat(f.Static); err != nil || !st.IsDir() {
			errs = append(errs, fmt.Errorf("--static: %q is not a folder that can be read", f.Static))
		}
	}
	errs = append(errs, f.adminFlags.faults()...)
	errs = append(errs, f.clusterFlags.faults()...)
	errs = append(errs, f.tlsFlags.faults()...)
	if err := f.config().Validate(); err != nil {
		errs = append(errs, err)
	}
	return errs
}

// config is the server.Config of the flags, without log and HTTP handler.
func (f *flags) config() server.Config {
	return server.Config{
		Listen:               f.Listen,
		TLS:                  f.tlsFlags.config(),
		ReusePort:            f.ReusePort,
		Handler:              f.handler(),
		Path:                 f.Path,
		Subprotocols:         f.Subprots,
		DefaultTopic:         f.DefaultTopic,
		MaxTopics:            orOff(f.MaxTopics.n),
		Cluster:              f.clusterFlags.config(f.longest()),
		Limits:               f.limits(),
		TrustedProxies:       f.TrustedProxies,
		Auth:                 f.authFlags.config(),
		MaxHTTPConns:         f.MaxHTTPConns.n,
		Reactors:             f.Reactors.n,
		Workers:              f.Workers.n,
		Shards:               f.Shards.n,
		ReadBuffer:           int(f.ReadBuffer.n),
		MaxMessage:           f.maxMessage(),
		Compress:             f.Compress == "on",
		CompressMin:          int(orOff(f.CompressMin.n)),
		CompressLevel:        f.CompressLevel.n,
		WriteQueueFrames:     orOff(f.WriteFrames.n),
		WriteQueueBytes:      int(orOff(f.WriteBytes.n)),
		WriteQueueTotal:      f.WriteTotal.n,
		ReadBufferTotal:      f.ReadTotal.n,
		SlowConsumer:         map[choice]conn.SlowConsumer{"drop": conn.Drop, "conflate": conn.Conflate}[f.SlowConsumer],
		BroadcastQueueFrames: f.BroadcastQueue.n,
		BroadcastQueueBytes:  int(f.BroadcastBytes.n),
		HandshakeTimeout:     orOff(f.HandshakeTimeout.n),
		PingInterval:         orOff(f.PingInterval.n),
		IdleTimeout:          f.IdleTimeout.n,
		CloseTimeout:         orOff(f.CloseTimeout.n),
		UserTimeout:          orOff(f.UserTimeout.n),
		DrainDelay:           f.DrainDelay.n,
		DrainTime:            f.DrainTime.n,
		DrainCode:            frame.StatusCode(min(f.DrainCode.n, math.MaxUint16)),
	}
}

// limits are those that a reload may change.
func (f *flags) limits() server.Limits {
	return server.Limits{
		Origins:         f.Origins,
		MaxConns:        f.MaxConns.n,
		MaxConnsPerIP:   f.MaxConnsPerIP.n,
		AcceptRate:      f.AcceptRate.n,
		AcceptRatePerIP: f.AcceptRatePerIP.n,
		MessageRate:     f.MessageRate.n,
		MaxHandshakes:   orOff(f.MaxHandshakes.n),
		MaxMemory:       f.MaxMemory.n,
	}
}

// orOff turns a flag's 0, which switches a limit off, into what Config takes for that.
func orOff[T int | int64 | time.Duration](v T) T {
	if v == 0 {
		return -1
	}
	return v
}

// maxMessage is larger for echo: those who test or measure with it send what they
// like, and nobody else gets it.
func (f *flags) maxMessage() int64 {
	switch {
	case f.MaxMessage.set:
		return orOff(f.MaxMessage.n)
	case f.Handler == "echo":
		return 16 << 20
	}
	return 1 << 20
}

// longest is the longest message that a client may send or a back end publish, 0 without
// a limit.
func (f *flags) longest() int64 {
	if f.maxMessage() < 0 || f.PublishMax.n == 0 {
		return 0
	}
	return max(f.maxMessage(), f.PublishMax.n)
}

func (f *flags) handler() conn.Handler {
	switch f.Handler {
	case "echo":
		return server.Echo()
	case "push":
		return server.Push()
	}
	return server.Chat()
}

// pages is what is served beside the WebSocket.
func (f *flags) pages(clients func() int) http.Handler {
	if f.Static != "" {
		return http.FileServer(http.Dir(f.Static))
	}
	return chatPage(pageConfig{f.Path, string(f.Handler), f.authFlags.way()}, clients)
}

// level is the least level to log.
func (f *flags) level() (level slog.Level) {
	_ = level.UnmarshalText([]byte(f.LogLevel)) // checked by parse
	return level
}

func (f *flags) logger(w io.Writer, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if f.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// choice is a flag with a fixed set of values.
type choice string

// among returns an error when the flag of that name has none of these values.
func (c choice) among(name string, of ...string) error {
	if slices.Contains(of, string(c)) {
		return nil
	}
	return fmt.Errorf("--%s: %q is unknown; want %s", name, c, strings.Join(of, ", "))
}

// lenient is a flag value that remembers its fault.
type lenient[T any] struct {
	n   T
	bad error
}

func (l *lenient[T]) fault() error { return l.bad }

type (
	count struct{ lenient[int] }
	size  struct {
		lenient[int64]
		set bool
	}
	duration struct{ lenient[time.Duration] }
)

var _ = []encoding.TextUnmarshaler{new(count), new(size), new(duration)}

// The String methods write a value as UnmarshalText reads it.

func (c count) String() string { return strconv.Itoa(c.n) }

func (s size) String() string {
	for _, unit := range []struct {
		bytes int64
		name  string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if s.n >= unit.bytes && s.n%unit.bytes == 0 {
			return strconv.FormatInt(s.n/unit.bytes, 10) + unit.name
		}
	}
	return strconv.FormatInt(s.n, 10)
}

// String leaves out the parts that are zero: time.Duration writes 5m0s.
func (d duration) String() string {
	text := d.n.String()
	if d.n == 0 {
		return "0"
	}
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func (c *count) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 0 {
		c.bad = fmt.Errorf("%q is not a count; want a whole number, 0 or more", text)
	}
	c.n = max(0, n)
	return nil
}

func (s *size) UnmarshalText(text []byte) error {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		var b units.Base2Bytes
		b, err = units.ParseBase2Bytes(string(text))
		n = int64(b)
	}
	if err != nil || n < 0 {
		s.bad = fmt.Errorf("%q is not a size; want bytes, as in 65536, 64KiB or 1MiB", text)
	}
	s.n, s.set = max(0, n), true
	return nil
}

func (d *duration) UnmarshalText(text []byte) error {
	t, err := time.ParseDuration(string(text))
	if err != nil || t < 0 {
		d.bad = fmt.Errorf("%q is not a time; want a number with a unit, as in 500ms, 30s or 5m", text)
	}
	d.n = max(0, t)
	return nil
}
