package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/vbauerster/mpb/v8"

	"roost/bench"
)

// lastSecond has a message latency of each power of two from 1 ms to 8 ms.
func lastSecond() *bench.Second {
	r := bench.NewRecorder()
	for i := range 4 {
		r.Record(time.Millisecond << i)
	}
	s := &bench.Second{Phase: "measure", Length: 0.5, Sent: 50, Received: 26_000, Deliveries: 25_617, Opened: 3}
	s.Latency, s.LatencySpread = r.Cut()
	return s
}

var running = bench.Snapshot{
	Phase: "measure", Elapsed: 3100 * time.Millisecond, Conns: 10_000, Open: 9_998, Failed: 2, Closed: 1,
	Done: 3000, Total: 10_000, Unit: milliseconds,
}

func TestPlainLines(t *testing.T) {
	second := lastSecond()
	opening := &bench.Second{Phase: "open", Length: 1, Opened: 4980, Handshake: &bench.Quantiles{P50: 850, P99: 120_400}}
	foreign := &bench.Second{Phase: "settle", Length: 1, Received: 12, Latency: &bench.Quantiles{P50: 1_500_000, P99: 2_000_000}, Handshake: &bench.Quantiles{}}
	at := func(s bench.Snapshot, elapsed time.Duration) bench.Snapshot {
		s.Elapsed = elapsed
		return s
	}
	open := bench.Snapshot{Phase: "open", Conns: 10_000, Total: 10_000, Unit: "connections"}
	half := open
	half.Open, half.Done, half.Last = 5_000, 5_000, opening
	measured := running
	measured.Last = opening
	busy := running
	busy.Last = second
	var out bytes.Buffer
	p := chooseProgress(&out, false, false)
	for _, s := range []bench.Snapshot{
		open, at(open, 999*time.Millisecond), at(half, time.Second), at(half, 1900*time.Millisecond), at(half, 3*time.Second),
		{Phase: "settle", Elapsed: time.Second, Conns: 10, Open: 10, Last: foreign},
		{Phase: "churn", Conns: 10, Done: 70, Unit: "handshakes"},
		at(measured, 0), at(busy, 999*time.Millisecond), at(busy, 3100*time.Millisecond), at(busy, 3999*time.Millisecond),
		{Phase: "drain", Conns: 10, Done: 7, Total: 5, Unit: "messages"},
	} {
		p.show(s)
	}
	p.close()
	want := `open: 0 s, 0 of 10000 open, 0 failed, 0 closed, 0 % of 10000 connections
open: 1 s, 5000 of 10000 open, 0 failed, 0 closed, 4980 connects/s, handshake p50 850 us, p99 120 ms, 50 % of 10000 connections; 1 s left
open: 3 s, 5000 of 10000 open, 0 failed, 0 closed, 4980 connects/s, handshake p50 850 us, p99 120 ms, 50 % of 10000 connections; 3 s left
settle: 1 s, 10 of 10 open, 0 failed, 0 closed, 12 received/s, p50 1.5 s, p99 2.0 s, handshake p50 0 us, p99 0 us
churn: 0 s, 0 of 10 open, 0 failed, 0 closed, 70 handshakes
measure: 0 s, 9998 of 10000 open, 2 failed, 1 closed, 30 % of 10 s; 7 s left
measure: 3 s, 9998 of 10000 open, 2 failed, 1 closed, 100 sent/s, 51234 deliveries/s, 6 connects/s, p50 2.0 ms, p99 8.0 ms, 30 % of 10 s; 7 s left
drain: 0 s, 0 of 10 open, 0 failed, 0 closed, 100 % of 5 messages; 0 s left
`
	if out.String() != want {
		t.Errorf("written:\n%s\nwant:\n%s", out.String(), want)
	}
}

func TestQuietShowsNothing(t *testing.T) {
	var out bytes.Buffer
	for _, terminal := range []bool{false, true} {
		p := chooseProgress(&out, true, terminal)
		p.close()
		if p.show != nil || out.Len() > 0 {
			t.Errorf("terminal %v: shown: %v, written %q; want nothing", terminal, p.show != nil, out.String())
		}
	}
}

func TestSparkline(t *testing.T) {
	for _, test := range []struct {
		name  string
		spans []span
		width int
		want  string
	}{
		{"nothing", nil, 80, ""},
		{"even", []span{{1, 1023, 10}}, 10 + len("1 us  1.0 ms"), "1 us ██████████ 1.0 ms"},
		{"powers of two", []span{{1, 1, 8}, {2, 3, 4}, {4, 7, 2}, {8, 15, 0}, {16, 31, 1}, {128, 255, 6}}, len("1 us  255 us") + 8, "1 us █▅▃ ▂  ▇ 255 us"},
		{"little beside much", []span{{1, 1, 1_000_000}, {2, 3, 1}}, len("1 us  3 us") + 2, "1 us █▁ 3 us"},
		{"one value", []span{{500, 500, 3}}, len("500 us  500 us") + 3, "500 us ███ 500 us"},
		{"zero", []span{{0, 0, 5}}, len("0 us  0 us") + 2, "0 us ██ 0 us"},
		{"least room", []span{{1, 1, 1}}, len("1 us  1 us") + 1, "1 us █ 1 us"},
		{"no room", []span{{1, 1, 1}}, len("1 us  1 us"), ""},
		{"less than no room", []span{{1, 1, 1}}, -3, ""},
		{"wide", []span{{1, 1, 1}}, 500, "1 us " + strings.Repeat("█", maxColumns) + " 1 us"},
	} {
		if got := (sparkline{test.spans}).draw(test.width); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	// Of a recorded one: four values, the same way apart.
	got := newSparkline(lastSecond().LatencySpread).draw(len("1.0 ms  8.0 ms") + 13)
	if want := "1.0 ms █   █   █   █ 8.0 ms"; got != want {
		t.Errorf("drawn %q, want %q", got, want)
	}
	if got := newSparkline(nil).draw(80); got != "" {
		t.Errorf("of no distribution: %q", got)
	}
}

// drawLive shows the snapshots on a terminal of that width that is a buffer,
// and draws after each.
func drawLive(width int, snapshots ...bench.Snapshot) string {
	var out bytes.Buffer
	refresh := make(chan any)
	l := newLive(&out, mpb.WithWidth(width), mpb.WithManualRefresh(refresh))
	for _, s := range snapshots {
		l.show(s)
		for range 3 { // the third is taken when what the first asks for has been drawn
			refresh <- nil
		}
	}
	l.close()
	return out.String()
}

func TestLiveView(t *testing.T) {
	busy := running
	busy.Last = lastSecond()
	again := busy
	again.Done, again.Elapsed = 4000, 4*time.Second
	end := bench.Snapshot{Phase: "close", Elapsed: 240 * time.Millisecond, Conns: 10_000, Done: 9_000, Total: 9_998, Unit: "connections"}
	got := drawLive(100,
		bench.Snapshot{Phase: "churn", Conns: 5, Done: 7, Unit: "handshakes", Elapsed: 1260 * time.Millisecond}, busy, again, end)
	for _, want := range []string{
		"churn     7 handshakes\n          0 of 5 open, 0 failed, 0 closed\n",
		`churn     7 handshakes in 1.3 s
measure   [==========>---------------------------] 30 % of 10 s; 7 s left
          9998 of 10000 open, 2 failed, 1 closed
          100 sent/s, 51234 deliveries/s, 6 connects/s
          p50 2.0 ms, p99 8.0 ms
          1.0 ms ` + newSparkline(busy.Last.LatencySpread).draw(80)[len("1.0 ms "):] + "\n",
		"measure   [==============>-----------------------] 40 % of 10 s; 6 s left\n",
		"close     [=================================>----] 90 % of 9998 connections; 0 s left\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("drawn:\n%s\nwithout:\n%s", got, want)
		}
	}
	left := `churn     7 handshakes in 1.3 s
measure   [==============>-----------------------] 4.0 s
close     [=================================>----] 9000 of 9998 connections in 0.2 s
`
	if !strings.HasSuffix(got, "\n"+left) {
		t.Errorf("drawn:\n%s\nleft over should be:\n%s", got, left)
	}
}

func TestLiveViewKeepsToTheWidth(t *testing.T) {
	busy := running
	busy.Last = lastSecond()
	for _, width := range []int{1, 2, 3, 9, 10, 11, 12, 20, 37, 52, 80, 200} {
		got := drawLive(width, bench.Snapshot{Phase: "open", Conns: 5, Unit: "connections"}, busy)
		for line := range strings.Lines(got) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("width %d: %q has %d columns", width, line, n)
			}
		}
		if !strings.HasSuffix(got, "\n") {
			t.Errorf("width %d: drawn %q, want lines", width, got)
		}
	}
}

func TestLiveViewOfNothing(t *testing.T) {
	if got := drawLive(80); got != "" {
		t.Errorf("drawn %q of a run without a phase", got)
	}
}
