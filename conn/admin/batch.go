//go:build linux

package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"roost/conn/frame"
	"roost/conn/hub"
)

const (
	// slowestPart is how long a batch may be silent before its body has ended.
	slowestPart = time.Minute
	// slowestRoom is how long a line of it may wait for room in the broadcast queue.
	slowestRoom = 30 * time.Second
)

// published and refused are the answers to a line.
type (
	published struct {
		Line        int    `json:"line"`
		Seq         uint64 `json:"seq"`
		Subscribers int    `json:"subscribers"`
	}
	refused struct {
		Line  int    `json:"line"`
		Error string `json:"error"`
	}
)

// batch publishes one message for each line of the body, in order, and answers each with a
// line while further ones come. It keeps one line at a time, and is as fast as the broadcast
// queue has room.
func (l *Listener) batch(w http.ResponseWriter, r *http.Request) {
	var err error
	switch {
	case r.URL.RawQuery != "":
		err = errors.New("a batch takes no parameters: each line has its own topic and key")
	case r.Header.Values("Idempotency-Key") != nil:
		err = errors.New("a batch takes no Idempotency-Key: publish messages that need one by themselves")
	case r.Header.Get("Content-Encoding") != "":
		err = &refusal{http.StatusUnsupportedMediaType, resultInvalid, "Content-Encoding: send the lines as they are"}
	}
	leave := func() {}
	if err == nil {
		leave, err = l.turn(r.Context())
	}
	if err != nil {
		l.refusePublish(w, err)
		return
	}
	defer leave()
	c := http.NewResponseController(w)
	_ = c.EnableFullDuplex() // HTTP/1 can
	if r.ProtoAtLeast(1, 1) && strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		// The answer begins before the body is read, and would tell such a client to keep it (RFC 9110 section 10.1.1).
		w.WriteHeader(http.StatusContinue)
	}
	w.Header().Set("Content-Type", ndjson)
	w.Header().Set("Connection", "close") // the body may not be read to its end
	// The end of the listener ends the wait for a line that may never come.
	stop := context.AfterFunc(r.Context(), func() { _ = c.SetReadDeadline(time.Now()) })
	defer stop()
	b := &batch{
		listener: l, ctx: r.Context(), control: c, answers: json.NewEncoder(w),
		lines: lines{most: int(l.mostPayload())}, byDefault: []string{l.config.Server.Settings().DefaultTopic},
	}
	b.lines.in = bufio.NewReader(&parts{r.Body, r.Context(), c})
	b.run()
	_ = c.SetReadDeadline(time.Now().Add(slowestTurn)) // for what is left of a body that was given up
}

// batch is one that is being read. It belongs to the goroutine of its request.
type batch struct {
	listener *Listener
	ctx      context.Context //nolint:containedctx // of the request, whose part this is
	control  *http.ResponseController
	answers  *json.Encoder
	lines    lines

	byDefault []string // topics of a line that names none
}

// run ends with the body, or when no further line can be published or answered.
func (b *batch) run() {
	for {
		line, err := b.lines.next()
		if errors.Is(err, io.EOF) {
			return
		}
		if len(bytes.TrimSpace(line)) == 0 && err == nil {
			continue
		}
		var done hub.Published
		if err == nil {
			done, err = b.publish(line)
		}
		if !b.answer(done, err) {
			return
		}
	}
}

// publish publishes one line.
func (b *batch) publish(line []byte) (hub.Published, error) {
	m, err := parseLine(line)
	if err != nil {
		return hub.Published{}, err
	}
	if m.topics == nil {
		m.topics = b.byDefault
	}
	forHub := m.forHub()
	done, err := b.listener.config.Server.TryPublish(forHub)
	if errors.Is(err, hub.ErrBusy) {
		ctx, cancel := context.WithTimeout(b.ctx, slowestRoom)
		defer cancel()
		done, err = b.listener.config.Server.PublishWait(ctx, forHub)
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			err = hub.ErrBusy
		}
	}
	return done, err
}

// answer answers a line and reports whether there may be more.
func (b *batch) answer(done hub.Published, err error) (more bool) {
	_ = b.control.SetWriteDeadline(time.Now().Add(slowestAnswer))
	if err == nil {
		b.listener.publishing.count(resultAccepted)
		return b.answers.Encode(published{b.lines.n, done.Seq, done.Members}) == nil
	}
	f := refusalOf(err)
	b.listener.publishing.count(f.result)
	if f.result == resultBusy {
		b.listener.publishing.warn(b.listener.config.Log, f.why)
	}
	more, why := f.result == resultInvalid || f.result == resultTooBig, f.why
	if !more {
		why += "; this ends the batch, and lines behind this one are not published"
	}
	return b.answers.Encode(refused{b.lines.n, why}) == nil && more
}

// parts is a body of which each part may take its time. Answers are sent before it waits.
type parts struct {
	body    io.Reader
	ctx     context.Context //nolint:containedctx // of the request, whose part this is
	control *http.ResponseController
}

func (p *parts) Read(b []byte) (int, error) {
	if err := p.control.Flush(); err != nil {
		return 0, err
	}
	_ = p.control.SetReadDeadline(time.Now().Add(slowestPart))
	if err := p.ctx.Err(); err != nil { // it would have had the read end before
		return 0, err
	}
	return p.body.Read(b)
}

// lines are those of a body, of so many bytes at most each.
type lines struct {
	in   *bufio.Reader
	most int
	n    int    // the number of the last line, from 1
	long []byte // one that is longer than the buffer of in
}

// next returns a line, which is good until the next. The error is a *refusal for one that is
// too long, io.EOF at the end, and something else when the body ends early.
func (l *lines) next() ([]byte, error) {
	l.n++
	l.long = l.long[:0]
	size := 0
	for {
		part, err := l.in.ReadSlice('\n')
		part = bytes.TrimSuffix(part, []byte("\n"))
		size += len(part)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) && !errors.Is(err, io.EOF) {
			return nil, &refusal{http.StatusBadRequest, resultCutOff, "the body did not come whole: " + err.Error()}
		}
		if errors.Is(err, io.EOF) && size == 0 {
			return nil, io.EOF
		}
		whole := !errors.Is(err, bufio.ErrBufferFull)
		switch {
		case whole && size > l.most:
			return nil, &refusal{http.StatusRequestEntityTooLarge, resultTooBig, "the line is too long: " + strconv.Itoa(l.most) + " bytes are the most (--publish-max, --broadcast-queue-bytes)"}
		case whole && size == len(part):
			return part, nil
		case size <= l.most:
			l.long = append(l.long, part...)
		}
		if whole {
			return l.long, nil
		}
	}
}

// entry is a line as it comes.
type entry struct {
	Topic  given[string]   `json:"topic"`
	Topics given[[]string] `json:"topics"`
	Key    *string         `json:"key"`
	Data   json.RawMessage `json:"data"`
	Base64 *string         `json:"base64"`
}

// given is a value that may be missing. It may not be null: a topic that somebody has no value for
// is not the topic of everybody.
type given[T any] struct {
	value T
	is    bool
}

func (g *given[T]) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return errors.New("a topic is null: want a name, or none for the default one")
	}
	g.is = true
	return json.Unmarshal(b, &g.value)
}

// parseLine reads a line: an object with topic or topics, or none for the default one, key,
// and either data or base64.
func parseLine(line []byte) (m message, err error) {
	var in entry
	if !utf8.Valid(line) {
		return m, errors.New("the line is not UTF-8: send other bytes as base64")
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return m, fmt.Errorf("the line is no message, as {\"topic\":\"t\",\"data\":\"...\"} is one: %.200s", err.Error()) // which may quote the line
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return m, errors.New("the line has more than one JSON value: one message is one line")
	}
	switch {
	case in.Topic.is && in.Topics.is:
		return m, errors.New("topic and topics: want one of them")
	case in.Topic.is:
		m.topics = []string{in.Topic.value}
	case in.Topics.is && len(in.Topics.value) == 0:
		return m, errors.New("topics: want one or more")
	case len(in.Topics.value) > mostTopics:
		return m, errTopics
	}
	for _, name := range in.Topics.value {
		if !slices.Contains(m.topics, name) {
			m.topics = append(m.topics, name)
		}
	}
	if in.Key != nil {
		if m.key = *in.Key; m.key == "" {
			return m, errKey
		}
	}
	switch {
	case (in.Data == nil) == (in.Base64 == nil):
		return m, errors.New("want either data or base64")
	case in.Base64 != nil:
		m.op = frame.Binary
		if m.payload, err = base64.StdEncoding.DecodeString(*in.Base64); err != nil {
			return m, fmt.Errorf("base64: %w", err)
		}
	default:
		m.op, m.payload = frame.Text, in.Data
		var s string
		if in.Data[0] == '"' && json.Unmarshal(in.Data, &s) == nil {
			m.payload = []byte(s)
		}
	}
	err = m.check()
	return m, err
}
