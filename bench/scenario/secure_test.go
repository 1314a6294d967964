package scenario_test

import (
	"strings"
	"testing"
	"time"

	"roost/bench"
	"roost/bench/scenario"
)

// TestSecureAndCompressed plays every scenario but hostile with TLS and compression, and
// wants both to be told of. Hostile has a server of its own.
func TestSecureAndCompressed(t *testing.T) {
	t.Parallel()
	const conns = 20
	for name, test := range map[string]struct {
		echo       bool
		compressed bool // messages are exchanged
		more       func(*scenario.Options)
	}{
		scenario.NameIdle:      {more: func(o *scenario.Options) { o.Messages = 0; o.Duration = 50 * time.Millisecond }},
		scenario.NameBroadcast: {compressed: true},
		scenario.NameFlood:     {compressed: true, more: func(o *scenario.Options) { o.Publishers = 5 }},
		scenario.NameEcho:      {echo: true, compressed: true},
		scenario.NameMix:       {echo: true, compressed: true},
		scenario.NameSlow:      {compressed: true},
		scenario.NameChurn:     {more: func(o *scenario.Options) { o.Messages = 0; o.Duration = 300 * time.Millisecond }},
		scenario.NameStorm:     {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &server{echo: test.echo, secure: true, deflate: true}
			cfg := config(s.start(t))
			cfg.TLS, cfg.Compress = bench.TLS{Insecure: true}, true
			opt := options()
			opt.Payload = scenario.Payload{Text: true, Templates: []string{`{"stamp":"{{stamp}}","text":"` + strings.Repeat("again and ", 50) + `"}`}}
			if test.more != nil {
				test.more(&opt)
			}
			r := play(t, t.Context(), name, conns, cfg, opt)
			passed(t, r)
			handshakes := r.Opening.Opened
			if p := r.Parts[0]; p.Churn != nil {
				handshakes = p.Churn.Handshakes
			} else if p.Storm != nil {
				handshakes += p.Storm.Back
			}
			if len(r.TLS) != 1 || r.TLS[0].Handshakes != handshakes || r.TLS[0].Version != "TLS 1.3" {
				t.Errorf("TLS %+v, want %d handshakes", r.TLS, handshakes)
			}
			c := r.Compression
			if c == nil || c.Agreed != handshakes || c.Refused != 0 {
				t.Fatalf("compression %+v, want it agreed on %d times", c, handshakes)
			}
			for what, use := range map[string]bench.DeflatedUse{"received": c.In, "sent": c.Out} {
				if all := use.Messages > 0 && use.Compressed == use.Messages && use.Wire < use.Payload/2; all != test.compressed {
					t.Errorf("%s: %+v, want them compressed: %v", what, use, test.compressed)
				}
			}
		})
	}
}

// TestNothingCompressed says so where compression was agreed on for nothing.
func TestNothingCompressed(t *testing.T) {
	for compressed, want := range map[int64]bool{0: true, 1: false} {
		sum := &scenario.Report{Dialled: bench.NoneDialled(), Ending: bench.Ending{Deflate: bench.Compression{
			Agreed: 1, In: bench.DeflatedUse{Messages: 10, Compressed: compressed},
		}}}
		r := scenario.Conclude(scenario.Run{}, sum)
		if got := strings.Contains(strings.Join(r.Warnings, "\n"), "no message came compressed"); got != want {
			t.Errorf("%d of 10 compressed: warnings %q", compressed, r.Warnings)
		}
	}
}

// TestCompressionRefused passes, and says that what was asked for was not measured.
func TestCompressionRefused(t *testing.T) {
	s := &server{echo: true}
	cfg := config(s.start(t))
	cfg.Compress = true
	r := play(t, t.Context(), scenario.NameEcho, 3, cfg, options())
	passed(t, r)
	if text := strings.Join(r.Warnings, "\n"); !strings.Contains(text, "did not agree to compression in 3 of 3 handshakes") || r.Compression.Agreed != 0 || r.Compression.In.Messages != 0 {
		t.Errorf("warnings %q, compression %+v", text, r.Compression)
	}
}
