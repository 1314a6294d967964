package main

import (
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"roost/bench"
	"roost/bench/scenario"
)

// flags is the command line.
type flags struct {
	Run            runFlags     `cmd:"" help:"Run one scenario against a server, record it and report."`
	Report         reportFlags  `cmd:"" help:"Report recorded runs again, in any format."`
	Compare        compareFlags `cmd:"" help:"Compare recorded runs of two or more sides, with significance."`
	Selftest       struct{}     `cmd:"" help:"Prove that latencies are right: freeze a server for two seconds and look whether the percentiles show it."`
	LsScenarios    struct{}     `cmd:"" help:"List the scenarios: what each measures and which server it needs."`
	SelftestServer struct{}     `cmd:"" hidden:"" help:"Serve the self-test; started by selftest."`
	Worker         struct{}     `cmd:"" hidden:"" help:"Play a part of a run; started by run."`

	command  string            // the one chosen
	recorded map[string]string // values of the flags of run, for the recording
}

// runFlags are those of the run command: bench.Config, scenario.Options and
// fleet.Order, and how to report.
type runFlags struct {
	URL          []string `name:"url" group:"target" sep:"none" required:"" placeholder:"ws[s]://HOST:PORT/PATH" help:"Endpoint to load; wss is TLS. May be repeated: connections take them in turn."`
	Scenario     string   `group:"target" default:"idle" placeholder:"NAME|FILE.yaml" help:"idle: hold connections. broadcast: every connection must receive what some publish. flood: the same, with many publishers. slow: the same, with slow readers. echo: every connection must get back what it sends. mix: echo on some, hold the others. churn: connect, handshake, leave, again. storm: all drop at once and come back. hostile: some get broadcasts while the others attack. Or a file that describes groups of connections. Default: ${default}."`
	Conns        int      `group:"target" default:"1000" help:"Number of connections; for churn how many at a time. A scenario file has its own. Default: ${default}."`
	PID          int      `name:"pid" group:"target" default:"0" help:"Process id of the server, to report its memory and processor time; 0: do not. Default: ${default}."`
	Exec         string   `group:"target" placeholder:"COMMAND" help:"Start the server with this shell command, wait until it listens, measure it as --pid does, and stop it in the end. Name the program itself: of a wrapper such as go run, the wrapper would be measured."`
	Metrics      string   `group:"target" placeholder:"URL" help:"Scrape the server's Prometheus metrics once a second, for the report's tables and plots."`
	MetricsMatch string   `group:"target" placeholder:"REGEXP" help:"Which series to keep, by name and labels; at most 200. Default: the first 200."`
	PublishHTTP  string   `name:"publish-http" group:"target" placeholder:"URL" help:"Publish by POST to this URL in place of a WebSocket: the message is the body."`
	Subscribe    string   `group:"target" placeholder:"TEXT" help:"Text message every connection sends when it has opened; {{conn}} is its number."`
	Expect       string   `group:"target" placeholder:"REGEXP" help:"Look only at messages that match; ignore others."`

	Ramp             bench.Pace    `group:"connect" default:"0" placeholder:"PACE" help:"Connection attempts per second: 5000/s; 100/s-5000/s:10s rises in ten seconds; 1000/s+500/s:5s adds 500 every five seconds; 0: as fast as --handshakes allows. Default: ${default}."`
	Handshakes       int           `group:"connect" default:"512" help:"Attempts in flight at the same time in one process; 0: 512. Default: ${default}."`
	HandshakeTimeout time.Duration `group:"connect" default:"10s" help:"Time from connect to the complete 101 answer, TLS included; 0: 10s. Default: ${default}."`
	Procs            procs         `group:"connect" default:"auto" placeholder:"N|auto" help:"Client processes; auto: as many as the limit of descriptors makes necessary. Default: ${default}."`
	Source           []string      `group:"connect" placeholder:"ADDRESS|PREFIX" help:"Local addresses to connect from: a list, all used, or a prefix such as 127.0.1.0/24, of which one is used for every 10000 connections. Default: 127.0.0.1, 127.0.0.2, ... for a loopback target, else the kernel's choice."`
	Header           []string      `group:"connect" sep:"none" placeholder:"NAME: VALUE" help:"Extra request header; may be repeated."`
	Subprotocol      []string      `group:"connect" placeholder:"NAME" help:"Subprotocols to offer."`
	TLSInsecure      bool          `name:"tls-insecure" group:"connect" help:"With wss, accept any certificate. Default: it must be one that the system's roots, or --ca, vouch for."`
	CA               string        `name:"ca" group:"connect" placeholder:"FILE" help:"With wss, PEM file with the certificates that vouch for the server's, in place of the system's roots."`
	TLSResume        bool          `name:"tls-resume" group:"connect" help:"With wss, come back with the session of an earlier connection, as browsers do. Default: full handshakes."`
	TLSMax           string        `name:"tls-max" group:"connect" placeholder:"1.2|1.3" help:"With wss, newest TLS version to agree to. Default: 1.3."`
	Compress         bool          `group:"connect" help:"Offer permessage-deflate without context takeover, and send compressed what gets shorter, where the server agrees. Generated binary messages do not get shorter: see --text, --message, --payload-file."`
	ZeroMask         bool          `group:"connect" help:"Mask frames with the key 0, for servers that do not unmask. Default: random keys."`
	SampleKey        bool          `group:"connect" help:"Send the handshake key of the example in RFC 6455, for servers with a canned 101 answer. Default: random keys."`

	Duration    time.Duration `group:"load" default:"10s" help:"Length of the measured part; 0: no limit. With --messages, those decide. Default: ${default}."`
	Settle      time.Duration `group:"load" default:"500ms" help:"Pause between the last handshake and the first message; 0: none. Default: ${default}."`
	WarmUp      warmUp        `name:"warmup" group:"load" default:"0s" placeholder:"DURATION|N" help:"Send for so long, or so many messages of each sender, before latencies and rates count; 0s: they count at once. Default: ${default}."`
	Drain       time.Duration `group:"load" default:"0s" help:"Longest wait for what is under way after the last message; 0: until nothing has moved for --timeout. Default: ${default}."`
	Rate        bench.Pace    `group:"load" default:"0" placeholder:"PACE" help:"Messages per second of all senders together (of churn: attempts), written like --ramp, poisson: before it for random gaps. Open loop: sent whatever comes back, and latency counts from when a message was due. 0: closed loop, --in-flight decides. Default: ${default}."`
	InFlight    int           `group:"load" default:"0" help:"Closed loop: messages a sender has sent and not yet received back itself; 0: 1, of flood 8. Default: ${default}."`
	Messages    *int          `group:"load" placeholder:"N" help:"Messages to send: in all for broadcast (default 100) and flood (default 0), per connection for echo (default 0); 0: until --duration is over."`
	Payload     string        `group:"load" default:"128" placeholder:"BYTES|FROM-TO" help:"Bytes per message, 24 or more (text: 48), or a range. Default: ${default}."`
	PayloadFile string        `group:"load" placeholder:"FILE" help:"Send the lines of this file in turn. As in --message, {{conn}}, {{seq}} and {{time}} are filled in."`
	Message     []string      `group:"load" sep:"none" placeholder:"TEMPLATE" help:"Send this in place of generated messages; may be repeated. {{stamp}} is a mark by which it is known again wherever the server puts it; without, answers are matched by their order."`
	Text        bool          `group:"load" help:"Send text messages. Default: binary."`
	Publishers  int           `group:"load" default:"0" help:"Broadcast: connections that send. They receive as well. 0: 1, of flood 50. Default: ${default}."`
	Active      int           `group:"load" default:"0" help:"Mix: connections that echo; 0: a tenth. Hostile: healthy ones; 0: a sixth. Default: ${default}."`
	SlowShare   float64       `group:"load" default:"0.1" help:"Slow: share of the connections that read slowly. Default: ${default}."`
	SlowRate    int           `group:"load" default:"1000" help:"Slow: bytes per second that each of them reads. Default: ${default}."`
	With        []string      `group:"load" placeholder:"ATTACK" help:"Hostile: what attackers do, in equal parts: half-handshake, slowloris, connect-flood, rst-storm, half-frame, huge-length, unmasked, ping-flood, zero-window, close-no-read. Default: all."`
	Tolerate    float64       `group:"load" default:"3" help:"Hostile: fail when p99 under attack is more than so many times that of the warm-up. Default: ${default}."`
	Leave       string        `group:"load" placeholder:"close|fin|rst" help:"Churn and storm: how connections leave. Default: close for churn, rst for storm."`
	Timeout     time.Duration `group:"load" default:"10s" help:"Give up on stragglers when nothing has moved for this long; 0: 10s. Default: ${default}."`
	ExpectClose int           `group:"load" default:"0" placeholder:"CODE" help:"Pass if and only if the server closes every connection with this code, such as 1001; 0: no close is expected. Default: ${default}."`

	JSON   bool     `name:"json" group:"output" help:"Write the report as JSON, with units in the field names."`
	Quiet  bool     `group:"output" help:"Show no progress."`
	Out    string   `group:"output" default:"auto" placeholder:"FILE" help:"Recording of the run, for report and compare; auto: results/SCENARIO-TIME.json; none: keep no recording. Default: ${default}."`
	Assert []string `group:"output" sep:"none" placeholder:"CONDITION" help:"Fail unless the condition holds, such as 'p99<20ms', 'lost==0', 'rss_per_conn<400', or of one group 'echo.p99<5ms'; may be repeated. An unknown metric lists the known ones."`
	Strict bool     `group:"output" help:"Exit with 3 when roost-bench itself was the bottleneck. Assertions on rates and latencies imply it."`
}

// procs is a number of processes; 0 is auto.
type procs int

// UnmarshalText reads auto or a number.
func (p *procs) UnmarshalText(text []byte) error {
	if string(text) == "auto" {
		*p = 0
		return nil
	}
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 || n > bench.MaxProcesses {
		return fmt.Errorf("%q, want auto or 1 to %d", text, bench.MaxProcesses)
	}
	*p = procs(n)
	return nil
}

// String is what UnmarshalText reads.
func (p procs) String() string {
	if p == 0 {
		return "auto"
	}
	return strconv.Itoa(int(p))
}

// warmUp is a duration or a number of messages.
type warmUp struct {
	duration time.Duration
	messages int
}

// UnmarshalText reads either.
func (w *warmUp) UnmarshalText(text []byte) error {
	*w = warmUp{}
	var err error
	if w.messages, err = strconv.Atoi(string(text)); err == nil {
		return nil
	}
	if w.duration, err = time.ParseDuration(string(text)); err != nil {
		return fmt.Errorf("%q, want a duration such as 5s or a number of messages", text)
	}
	return nil
}

// String is what UnmarshalText reads.
func (w warmUp) String() string {
	if w.messages != 0 {
		return strconv.Itoa(w.messages)
	}
	return w.duration.String()
}

// reportFlags are those of the report command.
type reportFlags struct {
	Files  []string `arg:"" name:"file" help:"Recordings."`
	Format string   `default:"text" enum:"text,json,csv,html,hdrplot" help:"text; json: one result per file; csv: a line per second; html: a page with plots; hdrplot: percentiles for the HdrHistogram plotter, files merged. Default: ${default}."`
	Output string   `short:"o" placeholder:"FILE" help:"Write to a file. Default: standard output."`
	Assert []string `sep:"none" placeholder:"CONDITION" help:"As in run; holds for each file."`
	Strict bool     `help:"As in run."`
}

// compareFlags are those of the compare command.
type compareFlags struct {
	Sides  []string `arg:"" name:"side" help:"A recording, a folder of recordings or a quoted pattern such as 'old/*.json'; NAME=SIDE names it in the table. The first is the base."`
	Format string   `default:"text" enum:"text,matrix,markdown,json,svg" help:"text: every metric of one scenario, with significance. matrix: the main figures of several scenarios (those of scripts/compare-peers.sh), a row for each side; markdown, json, svg: the same for a README, a program, as a picture. Default: ${default}."`
	Output string   `short:"o" placeholder:"FILE" help:"Write to a file. Default: standard output."`
}

var groups = kong.ExplicitGroups([]kong.Group{
	{Key: "target", Title: "Target:"},
	{Key: "connect", Title: "Connecting:"},
	{Key: "load", Title: "Load:"},
	{Key: "output", Title: "Output:"},
})

const description = "Load generator for WebSocket servers. Durations are written like 500ms, 10s or 5m.\n\n" +
	"Exit codes: 0 everything expected happened, 1 connections or deliveries were lost, nothing was measured or an " +
	"assertion failed, 2 wrong usage or limits of this machine, 3 roost-bench itself was the bottleneck where that matters (--strict, --assert)."

// parse reads the command line. done means that there is nothing to run and
// code is the exit code: help was shown, or the line is wrong.
func parse(args []string, stdout, stderr io.Writer) (f flags, code int, done bool) {
	parser, err := kong.New(&f,
		kong.Name("roost-bench"),
		kong.Description(description),
		groups,
		kong.Writers(stdout, stderr),
		kong.Exit(func(status int) { code, done = status, true }),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 100}),
		kong.ValueFormatter(func(v *kong.Value) string { return v.Help }),
	)
	if err != nil {
		return f, usage(stderr, err), true
	}
	line, err := parser.Parse(args)
	if done {
		return f, code, true
	}
	if err != nil {
		return f, usage(stderr, err), true
	}
	f.command, _, _ = strings.Cut(line.Command(), " ")
	f.recorded = recordedFlags(line)
	return f, 0, false
}

// secrets are flags of which only a part is kept: a recording is made to be
// passed on.
var secrets = map[string]func(string) string{
	"header": func(line string) string {
		name, _, _ := strings.Cut(line, ":")
		return name
	},
}

// recordedFlags are the values of what bears on a measurement.
func recordedFlags(line *kong.Context) map[string]string {
	values := map[string]string{}
	for _, flag := range line.Flags() {
		if flag.Group == nil || flag.Group.Key == "output" {
			continue
		}
		value := reflect.Indirect(reflect.ValueOf(line.FlagValue(flag)))
		if !value.IsValid() { // not given
			continue
		}
		list, ok := value.Interface().([]string)
		if !ok {
			values[flag.Name] = fmt.Sprint(value.Interface())
			continue
		}
		keep := secrets[flag.Name]
		var kept []string
		for _, item := range list {
			if keep != nil {
				item = keep(item)
			}
			kept = append(kept, item)
		}
		values[flag.Name] = strings.Join(kept, ",")
	}
	return values
}

func (f *runFlags) config() bench.Config {
	return bench.Config{
		URLs:             f.URL,
		Conns:            f.Conns,
		Handshakes:       f.Handshakes,
		Sources:          f.Source,
		Header:           f.Header,
		Subprotocols:     f.Subprotocol,
		TLS:              bench.TLS{Insecure: f.TLSInsecure, CA: f.CA, Resume: f.TLSResume, Max: f.TLSMax},
		Compress:         f.Compress,
		ZeroMask:         f.ZeroMask,
		SampleKey:        f.SampleKey,
		HandshakeTimeout: f.HandshakeTimeout,
		Timeout:          f.Timeout,
	}
}

func (f *runFlags) options() scenario.Options {
	messages := -1
	if f.Messages != nil {
		messages = *f.Messages
	}
	var attacks []scenario.Attack
	for _, name := range f.With {
		attacks = append(attacks, scenario.Attack(name))
	}
	return scenario.Options{
		Conns: f.Conns, Ramp: f.Ramp, Settle: f.Settle, WarmUp: f.WarmUp.duration, WarmUpMessages: f.WarmUp.messages,
		Duration: f.Duration, Drain: f.Drain, Subscribe: f.Subscribe, Expect: f.Expect, ExpectClose: f.ExpectClose,
		Rate: f.Rate, InFlight: f.InFlight, Messages: messages, PublishURL: f.PublishHTTP, Leave: f.Leave,
		Payload:    scenario.Payload{Bytes: f.Payload, Text: f.Text, Templates: f.Message, File: f.PayloadFile},
		Publishers: f.Publishers, Active: f.Active, SlowShare: f.SlowShare, SlowRate: f.SlowRate,
		Attacks: attacks, Tolerate: f.Tolerate,
	}
}

// spec is the load. A file begins with what the flags say of phases.
func (f *runFlags) spec() (scenario.Spec, error) {
	o := f.options()
	if !scenario.IsFile(f.Scenario) {
		return scenario.Preset(f.Scenario, o)
	}
	return scenario.ReadFile(f.Scenario, scenario.Spec{
		Ramp: o.Ramp, Settle: o.Settle, WarmUp: o.WarmUp, WarmUpMessages: o.WarmUpMessages, Duration: o.Duration,
		Drain: o.Drain, Subscribe: o.Subscribe, Expect: o.Expect, ExpectClose: o.ExpectClose,
	})
}
