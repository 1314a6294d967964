package handshake

import (
	"bufio"
	"bytes"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// FuzzNegotiate holds Negotiate to three promises, over any bytes: delivery in
// pieces gives what the whole gives; what it upgrades net/http accepts too, and
// reads the same way; what it refuses gets a well-formed answer.
//
// step is how many bytes arrive at a time; which picks one of the policies.
func FuzzNegotiate(f *testing.F) {
	f.Add([]byte(clientHead+"\x81\x80abcd"), uint8(1), uint8(0))
	f.Add([]byte(browserHead), uint8(200), uint8(1))
	f.Add([]byte(plainHead), uint8(7), uint8(2))
	f.Add([]byte(strings.Replace(clientHead, "/ws", "https://[::1]:8080/ws?a=%zz", 1)), uint8(3), uint8(0))
	f.Add([]byte(strings.ReplaceAll(clientHead, "\r", "")), uint8(1), uint8(0))

	policies := fuzzPolicies()
	f.Fuzz(func(t *testing.T, b []byte, step, which uint8) {
		checkNegotiate(t, policies[int(which)%len(policies)], b, max(1, int(step)))
	})
}

// FuzzNearlyValid makes the promises of FuzzNegotiate for heads that differ from
// a browser's in one place: cut bytes at some offset give way to a fragment.
func FuzzNearlyValid(f *testing.F) {
	f.Add([]byte("X: y\r\n"), uint16(25), uint8(0), uint8(0))
	f.Add([]byte("http://a"), uint16(4), uint8(0), uint8(1))
	f.Add([]byte("POST"), uint16(0), uint8(3), uint8(2))
	policies := fuzzPolicies()
	f.Fuzz(func(t *testing.T, fragment []byte, offset uint16, cut, which uint8) {
		at := int(offset) % len(browserHead)
		end := min(at+int(cut), len(browserHead))
		head := slices.Concat([]byte(browserHead[:at]), fragment, []byte(browserHead[end:]))
		checkNegotiate(t, policies[int(which)%len(policies)], head, 50)
	})
}

func fuzzPolicies() []*Policy {
	open, narrow, small := testPolicy(), testPolicy(), testPolicy()
	open.Origins = []string{"*"}
	narrow.Origins = []string{"*.example.com", "http://[::1]:*", "null"}
	small.MaxHead, small.MaxHeaders = 200, 6
	open.Compress = true
	return []*Policy{open, narrow, small}
}

// checkNegotiate checks what p makes of b, whole and step bytes at a time.
func checkNegotiate(t *testing.T, p *Policy, b []byte, step int) {
	t.Helper()
	whole := p.Negotiate(nil, b)

	part, seen := Result{}, 0
	for part.Kind == Incomplete && seen < len(b) {
		from := seen
		seen = min(len(b), seen+step)
		part = p.NegotiateFrom(nil, b[:seen], from)
	}
	if len(b) > 0 {
		sameResult(t, part, whole)
	}

	switch whole.Kind {
	case Upgrade:
		sameResult(t, p.Negotiate(nil, b[:whole.N]), whole)
		checkUpgrade(t, p, b, whole)
		checkOffer(t, whole, true)
	case Refuse:
		checkRefusal(t, whole)
		if whole.Reason == badExtensions.reason {
			checkOffer(t, whole, false)
		}
	case Incomplete:
		if bytes.Contains(b, []byte("\r\n\r\n")) || len(b) >= p.MaxHead {
			t.Fatalf("incomplete: %q", b)
		}
	case HTTP:
		if string(whole.Request.Path) == p.Path {
			t.Fatalf("left to net/http: %q", b)
		}
	}
}

// offers is the grammar of RFC 6455 section 9.1, with white space and empty
// elements as in RFC 9110 section 5.6.
var offers = func() *regexp.Regexp {
	const (
		space = "[ \\t]*"
		tchar = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]"
		value = "(" + tchar + "+|\"(\\\\?" + tchar + ")+\")"
		param = space + tchar + "+" + space + "(=" + space + value + space + ")?"
		offer = space + tchar + "+" + space + "(;" + param + ")*"
	)
	return regexp.MustCompile("^[ \\t,]*" + offer + "(,(" + offer + "|" + space + "))*$")
}()

// checkOffer checks that the extensions offered in r, if any, are well-formed or not.
func checkOffer(t *testing.T, r Result, valid bool) {
	t.Helper()
	var lines []string
	for name, value := range r.Request.Headers() {
		if strings.EqualFold(string(name), extensionsHeader) {
			lines = append(lines, string(value))
		}
	}
	if offer := strings.Join(lines, ","); lines != nil && offers.MatchString(offer) != valid {
		t.Fatalf("%v, %s, with extensions %q", r.Kind, r.Reason, offer)
	}
}

// checkUpgrade compares an Upgrade with what net/http reads from the same head.
func checkUpgrade(t *testing.T, p *Policy, b []byte, r Result) {
	t.Helper()
	in := bufio.NewReader(bytes.NewReader(b[:r.N]))
	want, err := http.ReadRequest(in)
	if err != nil {
		t.Fatalf("net/http refuses an upgraded head: %v\n%q", err, b[:r.N])
	}
	if in.Buffered() != 0 || want.ContentLength != 0 {
		t.Fatalf("net/http leaves %d bytes, body of %d", in.Buffered(), want.ContentLength)
	}
	if want.Method != "GET" || want.URL.EscapedPath() != p.Path || want.URL.RawQuery != string(r.Request.Query) ||
		want.Host != string(r.Request.Host) || want.RequestURI != string(r.Request.Target) {
		t.Fatalf("net/http reads %s %s for %s, we %+v", want.Method, want.URL, want.Host, r.Request)
	}

	got := http.Header{}
	for name, value := range r.Request.Headers() {
		got.Add(string(name), string(value))
	}
	if host, _ := r.Request.Header("host"); !slices.Equal(got["Host"], []string{string(host)}) {
		t.Fatalf("hosts %q, Header says %q", got["Host"], host)
	}
	delete(got, "Host") // which net/http takes out
	if got.Get("Pragma") == "no-cache" && got["Cache-Control"] == nil {
		delete(want.Header, "Cache-Control") // which net/http adds
	}
	if len(got) != len(want.Header) {
		t.Fatalf("headers %q, net/http has %q", got, want.Header)
	}
	for name := range got {
		if !slices.Equal(got[name], want.Header[name]) {
			t.Fatalf("%s: %q, net/http has %q", name, got[name], want.Header[name])
		}
	}

	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(r.Response)), want)
	if err != nil {
		t.Fatalf("net/http cannot read the response: %v\n%q", err, r.Response)
	}
	if response.StatusCode != 101 || len(response.Header.Get("Sec-Websocket-Accept")) != 28 ||
		response.Header.Get("Upgrade") != "websocket" || response.Header.Get("Connection") != "Upgrade" {
		t.Fatalf("response %q", r.Response)
	}
	name := response.Header.Get("Sec-Websocket-Protocol")
	if r.Subprotocol < 0 && name != "" || r.Subprotocol >= 0 && name != p.Subprotocols[r.Subprotocol] {
		t.Fatalf("subprotocol %d, response %q", r.Subprotocol, r.Response)
	}
}
