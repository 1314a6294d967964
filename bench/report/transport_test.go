package report_test

import (
	"strings"
	"testing"

	"roost/bench"
	"roost/bench/report"
)

// secured adds to a recording what TLS and compression leave in it.
func secured(rec *bench.Recording, resumed int64) *bench.Recording {
	rec.Result.TLS = []bench.TLSUse{
		{Version: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", KeyExchange: "X25519", Handshakes: 990, Resumed: resumed},
		{Version: "TLS 1.2", Cipher: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Handshakes: 10},
	}
	rec.Result.Compression = &bench.Compression{
		Agreed: 1000, In: bench.DeflatedUse{Messages: 20_000, Compressed: 15_000, Payload: 20e6, Wire: 5e6},
	}
	return rec
}

func TestTransport(t *testing.T) {
	text := written(t, report.FormatText, secured(room(), 5))
	fits(t, text, 80)
	for _, want := range []string{
		"TLS 1.3, TLS_AES_128_GCM_SHA256, X25519: 990 handshakes, 5 resumed", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: 10",
		"agreed on in 1,000 of 1,000 handshakes", "received: 15,000 of 20,000 messages compressed, 5.0 MB on the wire for 20.0 MB",
	} {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "sent: ") {
		t.Errorf("nothing was sent, but:\n%s", text)
	}
	page := written(t, report.FormatHTML, secured(room(), 5))
	for _, want := range []string{"TLS 1.3, TLS_AES_128_GCM_SHA256, X25519, resumed and TLS 1.2", "permessage-deflate"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	if plain := written(t, report.FormatText, room()); strings.Contains(plain, "tls") || strings.Contains(plain, "compression") {
		t.Errorf("without either:\n%s", plain)
	}
	json := written(t, report.FormatJSON, secured(room(), 5))
	for _, want := range []string{`"key_exchange": "X25519"`, `"messages_compressed": 15000`} {
		if !strings.Contains(json, want) {
			t.Errorf("%s is not in the JSON", want)
		}
	}
}

// What is below the messages is a condition of the measurement: it is said when it
// differs.
func TestCompareTransports(t *testing.T) {
	plain, other := side("ws", 10, 11), side("wss", 10, 11)
	for _, f := range other.Files {
		secured(f.Recording, 0)
	}
	text := strings.Join(strings.Fields(compared(t, plain, other)), " ")
	for _, want := range []string{
		"differs TLS (ws: no TLS; wss: TLS 1.3, TLS_AES_128_GCM_SHA256, X25519 and TLS 1.2",
		"differs compression (ws: no compression; wss: permessage-deflate)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
	refused, partly := secured(room(), 0), secured(room(), 0)
	refused.Result.Compression = &bench.Compression{Refused: 1000}
	partly.Result.Compression.Refused = 1
	for _, rec := range []*bench.Recording{refused, partly} {
		sides := []report.Side{
			{Name: "a", Files: []report.File{{Recording: rec}}},
			{Name: "b", Files: []report.File{{Recording: secured(room(), 0)}}},
		}
		if text := compared(t, sides...); !strings.Contains(text, "compression (a:") || strings.Contains(text, "differs       TLS") {
			t.Errorf("differs in compression only, but:\n%s", text)
		}
	}
}

func TestMatrixNamesTransports(t *testing.T) {
	sides := []report.Side{runsOf("ws", 1, "broadcast"), runsOf("wss", 2, "broadcast")}
	matrix := func() string {
		var got strings.Builder
		if err := report.Matrix(&got, report.MatrixMarkdown, sides); err != nil {
			t.Fatal(err)
		}
		return got.String()
	}
	if text := matrix(); strings.Contains(text, "TLS") || strings.Contains(text, "compression") {
		t.Errorf("without either:\n%s", text)
	}
	for _, f := range sides[1].Files {
		secured(f.Recording, 0)
	}
	text := matrix()
	for _, want := range []string{"X25519 and TLS 1.2, ", " or no TLS", "no compression or permessage-deflate"} {
		if !strings.Contains(strings.ReplaceAll(text, `\_`, "_"), want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
}

func TestTransportMetrics(t *testing.T) {
	r := secured(room(), 250).Result
	for text, want := range map[string]bool{"tls_resumed==0.25": true, "compressed==0.75": true, "wire_share<0.25": false} {
		a, err := bench.ParseAssertion(text)
		if err != nil {
			t.Fatal(err)
		}
		if c := a.Check(r); !c.HasData || c.Holds != want {
			t.Errorf("%s: %+v", text, c)
		}
		if c := a.Check(room().Result); c.HasData || c.Holds {
			t.Errorf("%s without data: %+v", text, c)
		}
	}
}
