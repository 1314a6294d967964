//go:build linux

package admin

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"roost/conn/frame"
	"roost/conn/hub"
)

const (
	// mostTopics bounds the topics of one message. As many go to other nodes, see package cluster.
	mostTopics = 255
	// mostKey bounds the key that makes a message replace earlier ones, in bytes.
	mostKey = 128
	// mostWait bounds ?wait.
	mostWait = time.Minute
	// mostIdempotencyKey bounds an Idempotency-Key, in bytes.
	mostIdempotencyKey = 255

	ndjson = "application/x-ndjson"
)

var (
	errNotUTF8        = errors.New("text has to be UTF-8: send other bytes as Content-Type: application/octet-stream")
	errTopics         = fmt.Errorf("more than %d topics for one message: send it several times", mostTopics)
	errIdempotencyKey = fmt.Errorf("want one Idempotency-Key, of 1 to %d printable characters of ASCII", mostIdempotencyKey)
	errKey            = fmt.Errorf("key: want 1 to %d printable characters of ASCII", mostKey)
)

// message is what a request, or a line of a batch, gives to be published.
type message struct {
	topics  []string // none means the default topic
	key     string
	op      frame.Opcode
	payload []byte
}

func (m *message) check() error {
	if len(m.topics) > mostTopics {
		return errTopics
	}
	for _, name := range m.topics {
		if err := hub.CheckTopic(name); err != nil {
			return err
		}
	}
	if m.key != "" && !printable(m.key, mostKey) {
		return errKey
	}
	return nil
}

// printable reports whether s has 1 to most characters of ASCII that can be seen, or are spaces.
func printable(s string, most int) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return 1 <= len(s) && len(s) <= most
}

// forHub encodes the message, once for everybody.
func (m *message) forHub() hub.Message {
	return hub.Message{Topics: m.topics, Key: m.key, Frame: frame.Prepare(m.op, m.payload)}
}

// fingerprint is the same for the same message only.
func (m *message) fingerprint() [sha256.Size]byte {
	head := []byte{byte(m.op)}
	for _, s := range append([]string{m.key}, m.topics...) {
		head = binary.AppendUvarint(head, uint64(len(s)))
		head = append(head, s...)
	}
	h := sha256.New()
	h.Write(binary.AppendUvarint(nil, uint64(len(head))))
	h.Write(head)
	h.Write(m.payload)
	return [sha256.Size]byte(h.Sum(nil))
}

// order is a message and what else its request says.
type order struct {
	message
	wait           time.Duration // 0: not at all
	idempotencyKey string        // "" without
}

// newOrder reads everything of r but the payload. A parameter that is not known is
// refused: a message to a misspelt topic would go to everybody.
func (l *Listener) newOrder(r *http.Request) (o order, err error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return o, fmt.Errorf("the query cannot be read: %w", err)
	}
	for name, values := range query {
		switch {
		case name != "topic" && name != "key" && name != "wait":
			return o, fmt.Errorf("%.40q is no parameter: want topic, key or wait", name)
		case name != "topic" && len(values) > 1:
			return o, fmt.Errorf("%s: say it once", name)
		}
	}
	for _, name := range query["topic"] {
		if !slices.Contains(o.topics, name) {
			if o.topics = append(o.topics, name); len(o.topics) > mostTopics {
				return o, errTopics
			}
		}
	}
	if o.key = query.Get("key"); query.Has("key") && o.key == "" {
		return o, errKey
	}
	if query.Has("wait") {
		o.wait, err = time.ParseDuration(query.Get("wait"))
		if err != nil || o.wait <= 0 || o.wait > mostWait {
			return o, fmt.Errorf("wait: %.40q, want a time of up to %v with a unit, as in 500ms or 2s", query.Get("wait"), mostWait)
		}
	}
	o.op = opcodeFor(mediaType(r))
	if r.Header.Get("Content-Encoding") != "" {
		return o, &refusal{http.StatusUnsupportedMediaType, resultInvalid, "Content-Encoding: send the payload as clients are to get it"}
	}
	if o.idempotencyKey, err = idempotencyKey(r); err != nil {
		return o, err
	}
	if o.topics == nil {
		o.topics = []string{l.config.Server.Settings().DefaultTopic}
	}
	err = o.check()
	return o, err
}

// mediaType of the body, without parameters and in lower case; "" when it is not known.
func mediaType(r *http.Request) string {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return ""
	}
	return t
}

// opcodeFor is text for what is text, and for JSON (RFC 6839 section 3.1).
func opcodeFor(mediaType string) frame.Opcode {
	if strings.HasPrefix(mediaType, "text/") || mediaType == "application/json" || strings.HasSuffix(mediaType, "+json") {
		return frame.Text
	}
	return frame.Binary
}

func idempotencyKey(r *http.Request) (string, error) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 || !printable(values[0], mostIdempotencyKey) {
		return "", errIdempotencyKey
	}
	return values[0], nil
}
