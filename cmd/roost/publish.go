//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	neturl "net/url" // url is what people open
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"roost/conn/admin"
)

// publishFlags are those of the publish command.
type publishFlags struct {
	fileFlag

	URL            string   `name:"url" aliases:"admin" config:"admin" default:"http://127.0.0.1:8001" placeholder:"URL" help:"The server's admin listener: http:// or https:// with host and port, or an address as of --admin of serve, also unix:/path."`
	PublishToken   string   `secret:"" placeholder:"TOKEN" help:"Token that the server asks for, its --publish-token or --admin-token. Better set in the environment or in a file: everybody on a machine can read command lines."`
	TokenFile      string   `placeholder:"FILE" help:"File with the token in its first line. Wins over --publish-token."`
	Topic          []string `placeholder:"NAME" sep:"none" help:"Topics to publish to; each client in one or more of them gets the message once. Without, it goes to the server's default topic. Repeat or separate with commas."`
	Key            string   `placeholder:"KEY" help:"Makes the message the latest value of this key: clients that are behind get it in place of earlier ones, if the server has --slow-consumer conflate."`
	Wait           duration `default:"0" placeholder:"TIME" help:"How long to wait until the message has been sent to everybody, and tell what became of it; up to 1m. 0 means not to wait."`
	Text           bool     `xor:"kind" help:"Send a text message, which has to be UTF-8. This is the default."`
	Binary         bool     `xor:"kind" help:"Send a binary message."`
	Batch          bool     `help:"Publish a message for each line, as in {\"topic\":\"news\",\"data\":\"text, or any JSON\"}; topics and key as well, and base64 in place of data for binary messages."`
	File           string   `placeholder:"FILE" help:"Send what is in this file."`
	IdempotencyKey string   `placeholder:"KEY" help:"A name for this very message: sent again under the same, within the server's --publish-window, it is not published twice. Without, one is made up, for --retries."`
	Retries        count    `default:"5" placeholder:"N" help:"How often to try again when the server has too much to do, each time when it says. A batch need not: it is taken as fast as there is room. 0 means not at all."`
	Timeout        duration `default:"30s" placeholder:"TIME" help:"How long the answer may take, beside --wait; a batch has no bound. 0 means without limit."`
	JSON           bool     `name:"json" help:"Print the server's answer as it is."`

	Message *string `arg:"" optional:"" help:"The message; - or nothing for what comes on standard input."`
}

// Help is shown by 'roost publish -h'.
func (publishFlags) Help() string {
	return "Exit codes: 0 published, also to nobody; 1 refused, or a line of a batch was; 2 wrong usage."
}

func (f *publishFlags) faults() (errs []error) {
	if _, _, err := f.target(); err != nil {
		errs = append(errs, fmt.Errorf("--url: %w", err))
	}
	if f.File != "" && f.Message != nil {
		errs = append(errs, errors.New("--file: there is a message already: want one of them"))
	}
	if slices.Contains(f.topics(), "") {
		errs = append(errs, errors.New("--topic: a name is empty: for the default topic leave the flag out"))
	}
	if f.Batch && (len(f.Topic) > 0 || f.Key != "" || f.Wait.n > 0 || f.Text || f.Binary || f.IdempotencyKey != "" || f.Message != nil && *f.Message != "-") {
		errs = append(errs, errors.New("--batch: each line has its own topic, key and data: want nothing but --file or standard input beside it"))
	}
	return errs
}

// topics are those of the message. kong would make nothing of an empty name, and the message would go to
// everybody.
func (f *publishFlags) topics() (all []string) {
	for _, names := range f.Topic {
		all = append(all, strings.Split(names, ",")...)
	}
	return all
}

// target is where the server is, without a path, and how to get there.
func (f *publishFlags) target() (base string, dial dialer, err error) {
	if strings.Contains(f.URL, "://") {
		u, err := neturl.Parse(f.URL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.User != nil {
			return "", nil, errors.New("want http://host:port, https://host:port, host:port or unix:/path") // it might quote a password
		}
		return strings.TrimSuffix(f.URL, "/"), nil, nil
	}
	if err := admin.CheckAddr(f.URL); err != nil {
		return "", nil, err
	}
	base, dial = reach(f.URL)
	return base, dial, nil
}

// token is what to bring, "" for nothing.
func (f *publishFlags) token() (string, error) {
	if f.TokenFile == "" {
		return f.PublishToken, nil
	}
	text, err := readAtMost(f.TokenFile, 4<<10)
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimSpace(line); line == "" {
		return "", fmt.Errorf("--token-file: %s: the first line has no token", f.TokenFile)
	}
	return line, nil
}

// publisher is a publish command under way.
type publisher struct {
	*publishFlags
	client         *http.Client
	base, bearer   string
	stdin          io.Reader
	stdout, stderr io.Writer
}

// runPublish is the publish command. Any signal ends it.
func runPublish(f *publishFlags, stdin io.Reader, stdout, stderr io.Writer, signals <-chan os.Signal) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go func() {
		select {
		case sig := <-signals:
			cancel(fmt.Errorf("ended by a signal: %v", sig))
		case <-ctx.Done():
		}
	}()
	p := &publisher{publishFlags: f, stdin: stdin, stdout: stdout, stderr: stderr}
	base, dial, err := f.target()
	p.base, p.client = base, directly(dial)
	defer p.client.CloseIdleConnections()
	if err == nil {
		p.bearer, err = f.token()
	}
	switch {
	case err != nil:
	case f.Batch:
		err = p.batch(ctx)
	default:
		err = p.one(ctx)
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		fmt.Fprintln(stderr, "roost:", err)
		return exitFailure
	}
	return exitOK
}

// request is one for the server, with what all have.
func (p *publisher) request(ctx context.Context, path, contentType string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.base+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", contentType)
	if p.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+p.bearer)
	}
	return req, nil
}

// refused is an answer that is no success.
type refused struct {
	status int
	after  time.Duration // when to come again, if at all
	text   string
}

func (r *refused) Error() string { return r.text }

// do sends a request. The answer is a success, and its body is the caller's to close.
func (p *publisher) do(req *http.Request) (*http.Response, error) {
	res, err := p.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: is roost running, with its admin listener (--admin) at this address?", err) // names the URL
	}
	if res.StatusCode/100 == 2 {
		return res, nil
	}
	defer func() { _ = res.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10)) // the status says enough
	r := &refused{status: res.StatusCode, text: res.Status + ": " + strings.TrimSpace(string(text))}
	if res.StatusCode == http.StatusNotFound {
		r.text += ": is this the admin listener (--admin) of a roost, and not its public port?"
	}
	r.after = defaultRetry
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s >= 0 {
		r.after = time.Duration(min(s, int(longestRetry/time.Second))) * time.Second
	}
	return nil, r
}

const (
	// longestRetry bounds what a server may have the command wait.
	longestRetry = 30 * time.Second
	// defaultRetry is how long it waits when the server, or a proxy before it, does not say.
	defaultRetry = time.Second
	// mostInput bounds a message that is read, in bytes.
	mostInput = 64 << 20
	// mostAnswer bounds an answer, or a line of one, in bytes.
	mostAnswer = 1 << 20
)

// one publishes one message.
func (p *publisher) one(ctx context.Context) error {
	payload, err := p.payload(ctx)
	if err != nil {
		return err
	}
	contentType := "text/plain; charset=utf-8"
	if p.Binary {
		contentType = "application/octet-stream"
	} else if !utf8.Valid(payload) {
		return errors.New("the message is not UTF-8, and text has to be: send it with --binary")
	}
	if p.IdempotencyKey == "" && p.Retries.n > 0 {
		p.IdempotencyKey = rand.Text()
	}
	for try := 0; ; try++ {
		answer, again, err := p.send(ctx, contentType, payload)
		var r *refused
		if errors.As(err, &r) && (r.status == http.StatusTooManyRequests || r.status == http.StatusConflict) && try < p.Retries.n {
			select {
			case <-time.After(r.after):
				continue
			case <-ctx.Done():
			}
		}
		if err != nil {
			return err
		}
		return p.print(answer, again)
	}
}

// send tries once. again is true when the message had been published before.
func (p *publisher) send(ctx context.Context, contentType string, payload []byte) (answer []byte, again bool, err error) {
	if p.Timeout.n > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.Timeout.n+p.Wait.n)
		defer cancel()
	}
	query := neturl.Values{"topic": p.topics()}
	if p.Key != "" {
		query.Set("key", p.Key)
	}
	if p.Wait.n > 0 {
		query.Set("wait", p.Wait.n.String())
	}
	path := "/publish"
	if len(query.Encode()) > 0 {
		path += "?" + query.Encode()
	}
	req, err := p.request(ctx, path, contentType, bytes.NewReader(payload))
	if err != nil {
		return nil, false, err
	}
	if p.IdempotencyKey != "" {
		req.Header.Set("Idempotency-Key", p.IdempotencyKey)
	}
	res, err := p.do(req)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err = io.ReadAll(io.LimitReader(res.Body, mostAnswer))
	return answer, res.Header.Get("Idempotency-Replayed") == "true", err
}

// payload is the message. Reading ends with ctx.
func (p *publisher) payload(ctx context.Context) ([]byte, error) {
	if p.Message != nil && *p.Message != "-" {
		return []byte(*p.Message), nil
	}
	in, err := p.input(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }() // nothing was written
	text, err := io.ReadAll(io.LimitReader(in, mostInput+1))
	if err == nil && len(text) > mostInput {
		err = errors.New("longer than 64 MiB is no message")
	}
	return text, err
}

// input is the file, or standard input. What it waits for, a terminal or a pipe, may never come:
// its end, or Close, does not wait for that, nor does the end of ctx.
func (p *publisher) input(ctx context.Context) (io.ReadCloser, error) {
	in := p.stdin
	if p.File != "" && p.File != "-" {
		f, err := os.Open(p.File)
		if err != nil {
			return nil, err
		}
		in = f
	}
	r, w := io.Pipe()
	context.AfterFunc(ctx, func() { _ = r.CloseWithError(context.Cause(ctx)) })
	go func() {
		_, err := io.Copy(w, in)
		_ = w.CloseWithError(err)
		if f, ok := in.(*os.File); ok && in != p.stdin {
			_ = f.Close()
		}
	}()
	return r, nil
}

// print writes an answer in one line for people, or as it came.
func (p *publisher) print(answer []byte, again bool) error {
	if p.JSON {
		_, err := p.stdout.Write(answer)
		return err
	}
	var a struct {
		Topic       string   `json:"topic"`
		Topics      []string `json:"topics"`
		Seq         uint64   `json:"seq"`
		Subscribers int64    `json:"subscribers"`
		Delivered   *int64   `json:"delivered"`
		Dropped     int64    `json:"dropped"`
		Closed      int64    `json:"closed"`
		Pending     int64    `json:"pending"`
		P50         float64  `json:"p50_ms"`
		P99         float64  `json:"p99_ms"`
		Max         float64  `json:"max_ms"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return fmt.Errorf("the answer is not that of a roost: %w", err)
	}
	topics := a.Topic
	if topics == "" {
		topics = strings.Join(a.Topics, ", ")
	}
	line := fmt.Sprintf("published to %s as %d: %s", topics, a.Seq, counted(a.Subscribers, "subscriber"))
	if a.Delivered != nil {
		line += fmt.Sprintf(", %s delivered, %s dropped, %s closed, %s pending; p50 %v ms, p99 %v ms, max %v ms",
			grouped(*a.Delivered), grouped(a.Dropped), grouped(a.Closed), grouped(a.Pending), a.P50, a.P99, a.Max)
	}
	if again {
		line += " (not again: this idempotency key has been used for it before)"
	}
	_, err := fmt.Fprintln(p.stdout, line)
	return err
}

// counted is a number of things.
func counted(n int64, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return grouped(n) + " " + thing
}
