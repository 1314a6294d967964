//go:build linux

package server

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"roost/conn"
	"roost/conn/conntest"
)

func controlling(t *testing.T, h conn.Handler) (*Server, func(path string) *conntest.Client) {
	t.Helper()
	s, _ := prepare(t, Config{Handler: h, Subprotocols: []string{"other", Control}, MaxTopics: 2})
	addr := run(t, s)
	return s, func(path string) *conntest.Client {
		return conntest.Dial(t, addr, path, "Sec-WebSocket-Protocol: "+Control)
	}
}

func TestControl(t *testing.T) {
	_, dial := controlling(t, Chat())
	c := dial("/ws")
	deep := strings.Repeat("[", 20000)
	for _, x := range []struct{ request, answer string }{
		{`{"op":"subscribe","topic":"a","id":1}`, `{"roost":"ok","id":1,"op":"subscribe","topic":"a"}`},
		{` { "op" : "subscribe" , "topic" : "a" , "id" : "x" } `, `{"roost":"ok","id":"x","op":"subscribe","topic":"a"}`},
		{`{"op":"subscribe","topic":"b","id":-1.5e3}`, `{"roost":"ok","id":-1.5e3,"op":"subscribe","topic":"b"}`},
		{`{"op":"subscribe","topic":"c","id":2}`, `{"roost":"error","id":2,"op":"subscribe","topic":"c","code":"too-many-topics","error":"too many topics for one connection"}`},
		{`{"op":"unsubscribe","topic":"c","id":3}`, `{"roost":"ok","id":3,"op":"unsubscribe","topic":"c"}`},
		{`{"op":"unsubscribe","topic":"all","id":4}`, `{"roost":"ok","id":4,"op":"unsubscribe","topic":"all"}`},
		{`{"op":"publish","topic":"all","data":"nobody","id":5}`, `{"roost":"ok","id":5,"op":"publish","topic":"all","seq":1,"subscribers":0}`},
		{`{"op":"publish","topic":"nobody","data":1,"id":6}`, `{"roost":"ok","id":6,"op":"publish","topic":"nobody","seq":2,"subscribers":0}`},
		{`{"op":"dance","topic":"a","id":7}`, `{"roost":"error","id":7,"code":"unknown-op","error":"unknown op; want \"subscribe\", \"unsubscribe\" or \"publish\""}`},
		{`{"topic":"a"}`, `{"roost":"error","code":"unknown-op",`},
		{`{"op":"subscribe","id":8}`, `{"roost":"error","id":8,"op":"subscribe","code":"bad-topic",`},
		{`{"op":"subscribe","topic":"*","id":8}`, `{"roost":"error","id":8,"op":"subscribe","code":"bad-topic",`},
		{`{"op":"publish","topic":"a","id":9}`, `{"roost":"error","id":9,"op":"publish","topic":"a","code":"malformed",`},
		{`{"op":"subscribe","topic":"a","id":{}}`, `{"roost":"error","code":"malformed",`},
		{`{"op":"subscribe","topic":"a","id":true}`, `{"roost":"error","code":"malformed",`},
		{`{"op":"subscribe","topic":"a","id":"` + strings.Repeat("x", 63) + `"}`, `{"roost":"error","code":"malformed",`},
		{`{"op":"subscribe","topic":"a","id":"` + strings.Repeat("x", 62) + `"}`, `{"roost":"ok","id":"xxxx`},
		{`{"op":"subscribe","topic":7,"id":10}`, `{"roost":"error","id":10,"code":"malformed",`},
		{`{"op":"subscribe","topic":"a","id":11,"more":1}`, `{"roost":"error","id":11,"code":"malformed",`},
		{`{"op":"subscribe","topic":"a","id":12}{}`, `{"roost":"error","id":12,"code":"malformed",`},
		{`{"op":"publish","topic":"a","id":13,"data":` + deep + `}`, `{"roost":"error","code":"malformed",`},
		{``, `{"roost":"error","code":"malformed",`},
		{`[]`, `{"roost":"error","code":"malformed",`},
		{`null`, `{"roost":"error","code":"unknown-op",`},
		{`"\ud800"`, `{"roost":"error","code":"malformed",`},
	} {
		c.Text(x.request)
		_, got, err := c.Next()
		if err != nil || !strings.HasPrefix(string(got), x.answer) || !json.Valid(got) {
			t.Errorf("%.100s\ngot  %s %v\nwant %s", x.request, got, err, x.answer)
		}
	}
	c.Send(ws.OpBinary, `{"op":"subscribe","topic":"a","id":1}`)
	if _, got, err := c.Next(); err != nil || !strings.Contains(string(got), `"malformed"`) {
		t.Errorf("binary: %s %v", got, err)
	}
}

// An error that quotes the request does not quote all of it, six bytes for one.
func TestControlErrorsAreShort(t *testing.T) {
	_, dial := controlling(t, Chat())
	c := dial("/ws")
	for _, field := range []string{strings.Repeat("<", 10_000), strings.Repeat("é", 10_000), "x" + strings.Repeat("é", 10_000)} {
		c.Text(`{"id":1,"` + field + `":1}`)
		_, got, err := c.Next()
		if err != nil || len(got) > 100+6*maxControlError || !json.Valid(got) || !strings.HasPrefix(string(got), `{"roost":"error","id":1,"code":"malformed",`) {
			t.Errorf("%d bytes: %.300s %v", len(got), got, err)
		}
		if strings.Contains(string(got), "\ufffd") {
			t.Errorf("cut in the middle: %s", got)
		}
	}
}

// What is published comes to members as it is, from the acknowledgement on until they leave.
func TestControlPublishes(t *testing.T) {
	s, dial := controlling(t, Chat())
	c, other := dial("/ws?topic=b"), dial("/ws")
	c.Text(`{"op":"subscribe","topic":"a"}`) // no id, no answer
	c.Text(`{"op":"publish","topic":"a","data":"one"}`)
	c.ExpectText("one")
	other.Text(`{"op":"publish","topic":"a","data":{"x": [1, "é\u00e9"]},"id":1}`)
	other.ExpectText(`{"roost":"ok","id":1,"op":"publish","topic":"a","seq":2,"subscribers":1}`)
	c.ExpectText(`{"x":[1,"é\u00e9"]}`)
	c.Text(`{"op":"unsubscribe","topic":"a","id":1}`)
	c.ExpectText(`{"roost":"ok","id":1,"op":"unsubscribe","topic":"a"}`)
	other.Text(`{"op":"publish","topic":"a","data":"","id":2}`)
	other.ExpectText(`{"roost":"ok","id":2,"op":"publish","topic":"a","seq":3,"subscribers":0}`)
	other.Text(`{"op":"publish","topic":"b","data":"","id":3}`)
	other.ExpectText(`{"roost":"ok","id":3,"op":"publish","topic":"b","seq":4,"subscribers":1}`)
	c.ExpectText("")
	if st := s.Hub().Stats(); st.Topics != 2 || st.Subscriptions != 1 {
		t.Errorf("%+v", st)
	}
}

// Clients that did not ask for the subprotocol are served as ever, and so are all where it is off.
func TestControlIsAskedFor(t *testing.T) {
	const request = `{"op":"subscribe","topic":"a","id":1}`
	s, _ := controlling(t, Chat())
	addr := s.Addrs()[0].String()
	for _, header := range []string{"X: y", "Sec-WebSocket-Protocol: other"} {
		c := conntest.Dial(t, addr, "/ws", header)
		c.Text(request)
		c.ExpectText(request)
	}
	s, _ = prepare(t, Config{Handler: Chat()})
	c := conntest.Dial(t, run(t, s), "/ws", "Sec-WebSocket-Protocol: "+Control)
	c.Text(request)
	c.ExpectText(request)
}

func TestControlOfHandlersThatTakeNothing(t *testing.T) {
	for _, h := range []conn.Handler{Echo(), Push()} {
		_, dial := controlling(t, h)
		c := dial("/ws")
		c.Text(`{"op":"publish","topic":"a","data":"","id":1}`)
		c.ExpectText(`{"roost":"error","id":1,"op":"publish","topic":"a","code":"not-taken","error":"this endpoint takes no messages"}`)
		c.Text(`{"op":"subscribe","topic":"a","id":2}`)
		c.ExpectText(`{"roost":"ok","id":2,"op":"subscribe","topic":"a"}`)
	}
}

// The examples in roost.v1.md are what is answered, and all codes are there.
func TestControlPage(t *testing.T) {
	page, err := os.ReadFile("roost.v1.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []string{"malformed", "unknown-op", "bad-topic", "too-many-topics", "not-taken", "busy", "closing"} {
		if !strings.Contains(string(page), "`"+code+"`") {
			t.Errorf("%s is not described", code)
		}
	}
	_, dial := controlling(t, Chat())
	c, n := dial("/ws?topic=1"), 0
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, `{"op"`) {
			continue
		}
		c.Text(line)
		for range 1 + strings.Count(line, "publish") { // itself gets what it publishes
			if _, got, err := c.Next(); err != nil || strings.Contains(string(got), "error") {
				t.Errorf("%s: %s %v", line, got, err)
			}
		}
		n++
	}
	if n != 3 {
		t.Error(fmt.Sprint(n, " requests"))
	}
}
