package main

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"roost/bench"
	"roost/bench/scenario"
)

// flags is the command line.
type flags struct {
	Run         runFlags     `cmd:"" help:"Run one scenario against a server, record it and report."`
	Report      reportFlags  `cmd:"" help:"Report recorded runs again, in any format."`
	Compare     compareFlags `cmd:"" help:"Compare recorded runs of two or more sides, with significance."`
	LsScenarios struct{}     `cmd:"" help:"List the scenarios: what each measures and which server it needs."`

	command  string            // the one chosen
	recorded map[string]string // values of the flags of run, for the recording
}

// runFlags are those of the run command: bench.Config and scenario.Options,
// and how to report.
type runFlags struct {
	URL      string `name:"url" group:"target" required:"" placeholder:"ws://HOST:PORT/PATH" help:"Endpoint to load."`
	Scenario string `group:"target" default:"idle" help:"idle: hold connections. broadcast: every connection must receive what some publish. echo: every connection must get back what it sends. churn: connect, handshake, close, again. Default: ${default}."`
	Conns    int    `group:"target" default:"1000" help:"Number of connections; for churn how many at a time. Default: ${default}."`
	PID      int    `name:"pid" group:"target" default:"0" help:"Process id of the server, to report its memory and processor time; 0: do not. Default: ${default}."`

	Rate             float64       `group:"connect" default:"0" help:"Connection attempts per second; 0: as fast as --handshakes allows. Default: ${default}."`
	Handshakes       int           `group:"connect" default:"512" help:"Attempts in flight at the same time; 0: 512. Default: ${default}."`
	HandshakeTimeout time.Duration `group:"connect" default:"10s" help:"Time from connect to the complete 101 answer; 0: 10s. Default: ${default}."`
	Source           []string      `group:"connect" placeholder:"ADDRESS|PREFIX" help:"Local addresses to connect from: a list, all used, or a prefix such as 127.0.1.0/24, of which one is used for every 10000 connections. Default: 127.0.0.1, 127.0.0.2, ... for a loopback target, else the kernel's choice."`
	Header           []string      `group:"connect" sep:"none" placeholder:"NAME: VALUE" help:"Extra request header; may be repeated."`
	ZeroMask         bool          `group:"connect" help:"Mask frames with the key 0, for servers that do not unmask. Default: random keys."`
	SampleKey        bool          `group:"connect" help:"Send the handshake key of the example in RFC 6455, for servers with a canned 101 answer. Default: random keys."`

	Duration    time.Duration `group:"load" default:"10s" help:"Length of the measured part; 0: no limit. Broadcast and echo use it only with --messages 0. Default: ${default}."`
	Settle      time.Duration `group:"load" default:"500ms" help:"Pause between the last handshake and the measured part; 0: none. Default: ${default}."`
	Payload     int           `group:"load" default:"128" help:"Bytes per message, 24 or more. Default: ${default}."`
	Messages    *int          `group:"load" placeholder:"N" help:"Messages to send: in all for broadcast (default 100), per connection for echo (default 0); 0: until --duration is over."`
	InFlight    int           `group:"load" default:"1" help:"Messages a publisher or echo connection has sent and not yet received back itself. Default: ${default}."`
	Publishers  int           `group:"load" default:"1" help:"Broadcast: connections that send. They receive as well. Default: ${default}."`
	Interval    time.Duration `group:"load" default:"0s" help:"Broadcast: time between two messages of one publisher, whatever comes back (open loop: latency counts from when a message was due); 0: --in-flight decides. Default: ${default}."`
	Timeout     time.Duration `group:"load" default:"10s" help:"Give up on stragglers when nothing has moved for this long; 0: 10s. Default: ${default}."`
	ExpectClose int           `group:"load" default:"0" placeholder:"CODE" help:"Pass if and only if the server closes every connection with this code, such as 1001; 0: no close is expected. Default: ${default}."`

	JSON   bool     `name:"json" group:"output" help:"Write the report as JSON, with units in the field names."`
	Quiet  bool     `group:"output" help:"Show no progress."`
	Out    string   `group:"output" default:"auto" placeholder:"FILE" help:"Recording of the run, for report and compare; auto: results/SCENARIO-TIME.json; none: keep no recording. Default: ${default}."`
	Assert []string `group:"output" sep:"none" placeholder:"CONDITION" help:"Fail unless the condition holds, such as 'p99<20ms', 'lost==0' or 'rss_per_conn<400'; may be repeated. An unknown metric lists the known ones."`
	Strict bool     `group:"output" help:"Exit with 3 when roost-bench itself was the bottleneck. Assertions on rates and latencies imply it."`
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

// recordedFlags are the values of what bears on a measurement. A header may be
// a secret, and a recording is made to be passed on: only its name is kept.
func recordedFlags(line *kong.Context) map[string]string {
	values := map[string]string{}
	for _, flag := range line.Flags() {
		if flag.Group == nil || flag.Group.Key == "output" {
			continue
		}
		value := reflect.ValueOf(line.FlagValue(flag))
		switch v := reflect.Indirect(value); {
		case !v.IsValid(): // not given
		case flag.Name == "header":
			var names []string
			for _, header := range v.Interface().([]string) {
				name, _, _ := strings.Cut(header, ":")
				names = append(names, name)
			}
			values[flag.Name] = strings.Join(names, ",")
		default:
			values[flag.Name] = fmt.Sprint(v.Interface())
		}
	}
	return values
}

func (f *runFlags) config() bench.Config {
	return bench.Config{
		URL:              f.URL,
		Conns:            f.Conns,
		Rate:             f.Rate,
		Handshakes:       f.Handshakes,
		Sources:          f.Source,
		Header:           f.Header,
		ZeroMask:         f.ZeroMask,
		SampleKey:        f.SampleKey,
		HandshakeTimeout: f.HandshakeTimeout,
		Timeout:          f.Timeout,
		PID:              f.PID,
	}
}

func (f *runFlags) options() scenario.Options {
	messages := 0
	switch {
	case f.Messages != nil:
		messages = *f.Messages
	case f.Scenario == scenario.Broadcast:
		messages = 100
	}
	return scenario.Options{
		Duration:     f.Duration,
		Settle:       f.Settle,
		PayloadBytes: f.Payload,
		Messages:     messages,
		InFlight:     f.InFlight,
		Publishers:   f.Publishers,
		Interval:     f.Interval,
		ExpectClose:  f.ExpectClose,
	}
}
