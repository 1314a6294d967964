//go:build linux

package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"roost/conn"
	"roost/conn/frame"
	"roost/conn/hub"
)

// Control is the subprotocol of clients that change their topics while they are
// connected. It is spoken when Config.Subprotocols has it, with clients that ask for
// it; roost.v1.md describes it.
const Control = "roost.v1"

// Publisher is a Handler that takes messages for topics from clients that speak
// [Control].
type Publisher interface {
	// OnPublish is called with a message for a topic, whose name has been checked. Its
	// rules are those of OnMessage.
	OnPublish(c *conn.Conn, topic string, f *frame.Prepared) (hub.Published, error)
}

// controlled is the server's handler behind [Control]: what such clients send are requests, and
// the handler does not see them.
type controlled struct {
	conn.Handler
	server *Server
}

// control puts [Control] before a handler if the server speaks it.
func (s *Server) control(h conn.Handler) conn.Handler {
	if slices.Contains(s.config.Subprotocols, Control) {
		return &controlled{h, s}
	}
	return h
}

func (h *controlled) OnMessage(c *conn.Conn, op frame.Opcode, payload []byte) {
	if c.Subprotocol() != Control {
		h.Handler.OnMessage(c, op, payload)
		return
	}
	var req controlRequest
	answer, err := controlAnswer{}, errNotText
	if op == frame.Text {
		err = req.parse(payload)
	}
	if err == nil {
		answer, err = h.do(c, &req)
	}
	answer.Roost, answer.ID = "ok", req.ID
	if err != nil {
		answer.Roost, answer.Code, answer.Error = "error", codeOf(err), err.Error()
		if len(answer.Error) > maxControlError { // it quotes the request
			answer.Error = strings.ToValidUTF8(answer.Error[:maxControlError], "") + "..."
		}
	} else if req.ID == nil {
		return // nobody waits for it
	}
	b, err := json.Marshal(answer)
	if err != nil { // of what was parsed
		panic(err)
	}
	_ = c.Write(frame.Text, b) // an overflow is handled and counted by the connection
}

// controlRequest is what a client sends.
type controlRequest struct {
	Op    string          `json:"op"`
	ID    json.RawMessage `json:"id"`
	Topic string          `json:"topic"`
	Data  json.RawMessage `json:"data"`
}

// controlAnswer is what it gets.
type controlAnswer struct {
	Roost       string          `json:"roost"` // "ok" or "error"
	ID          json.RawMessage `json:"id,omitempty"`
	Op          string          `json:"op,omitempty"`
	Topic       string          `json:"topic,omitempty"`
	Seq         uint64          `json:"seq,omitempty"`
	Subscribers *int            `json:"subscribers,omitempty"`
	Code        string          `json:"code,omitempty"`
	Error       string          `json:"error,omitempty"`
}

// maxControlID is the longest id, in bytes of JSON, and maxControlError the longest text of an
// error: a request must not have an answer that is many times as long.
const (
	maxControlID    = 64
	maxControlError = 256
)

// Faults of requests; what they wrap is told to the client.
var (
	errMalformed = errors.New("malformed request")
	errNotText   = fmt.Errorf("%w: want text, a JSON object", errMalformed)
	errID        = fmt.Errorf("%w: id is a string or a number of up to %d bytes", errMalformed, maxControlID)
	errData      = fmt.Errorf("%w: data is missing; want a string, or any other JSON value", errMalformed)
	errOp        = errors.New(`unknown op; want "subscribe", "unsubscribe" or "publish"`)
	errForbidden = errors.New("you may not do that with this topic")
	errNotTaken  = errors.New("this endpoint takes no messages")
)

// codeOf is a word for programs.
func codeOf(err error) string {
	for _, known := range []struct {
		err  error
		code string
	}{
		{errMalformed, "malformed"}, {errOp, "unknown-op"}, {hub.ErrTopicName, "bad-topic"},
		{hub.ErrTooManyTopics, "too-many-topics"}, {errNotTaken, "not-taken"}, {errForbidden, "forbidden"},
		{hub.ErrBusy, "busy"}, {hub.ErrClosed, "closing"},
	} {
		if errors.Is(err, known.err) {
			return known.code
		}
	}
	return "failed"
}

func (r *controlRequest) parse(payload []byte) error {
	d := json.NewDecoder(bytes.NewReader(payload))
	d.DisallowUnknownFields()
	err := d.Decode(r)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			err = nil
		} else {
			err = errors.New("something follows the object")
		}
	}
	if id := r.ID; id != nil && (len(id) > maxControlID || id[0] != '"' && id[0] != '-' && (id[0] < '0' || id[0] > '9')) {
		r.ID = nil
		return errID
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	return nil
}

// do carries out a request. The answer is filled in as far as it came.
func (h *controlled) do(c *conn.Conn, r *controlRequest) (a controlAnswer, err error) {
	if !slices.Contains([]string{"subscribe", "unsubscribe", "publish"}, r.Op) {
		return a, errOp
	}
	a.Op = r.Op
	if err := hub.CheckTopic(r.Topic); err != nil {
		return a, err
	}
	a.Topic = r.Topic
	switch r.Op {
	case "subscribe":
		if !h.server.Grant(c).MaySubscribe(r.Topic) {
			return a, errForbidden
		}
		return a, h.server.hub.Subscribe(c, r.Topic, orNone(h.server.config.MaxTopics))
	case "unsubscribe":
		h.server.hub.Unsubscribe(c, r.Topic)
		return a, nil
	}
	p, ok := h.Handler.(Publisher)
	if !ok {
		return a, errNotTaken
	}
	if !h.server.Grant(c).MayPublish(r.Topic) {
		return a, errForbidden
	}
	payload, err := r.payload()
	if err != nil {
		return a, err
	}
	published, err := p.OnPublish(c, r.Topic, frame.Prepare(frame.Text, payload))
	if err == nil {
		a.Seq, a.Subscribers = published.Seq, &published.Members
	}
	return a, err
}

// payload is the text of a string, and of another value its JSON.
func (r *controlRequest) payload() ([]byte, error) {
	switch {
	case r.Data == nil:
		return nil, errData
	case r.Data[0] != '"':
		var b bytes.Buffer
		err := json.Compact(&b, r.Data)
		return b.Bytes(), err
	}
	var text string
	err := json.Unmarshal(r.Data, &text)
	return []byte(text), err
}
