//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"roost/conn/admin"
)

// healthFlags are those of the health command.
type healthFlags struct {
	fileFlag

	Admin   string   `default:"127.0.0.1:8001" placeholder:"HOST:PORT" help:"Address of the server's admin listener, as of serve: HOST:PORT or unix:/path. Without a host, or with that of all addresses, it is this machine's own."`
	Ready   bool     `help:"Ask whether it takes clients (/readyz) and not only whether it is alive (/healthz): a server that drains is alive and not ready."`
	Timeout duration `default:"2s" placeholder:"TIME" help:"How long the answer may take. 0 means without limit."`
}

// Help is shown by 'roost health -h'.
func (healthFlags) Help() string {
	return "For a container's HEALTHCHECK and for scripts. Exit codes: 0 it is, 1 it is not, 2 wrong usage."
}

func (f *healthFlags) faults() []error {
	if f.Admin == "" {
		return []error{errors.New("--admin: there is nobody to ask when the admin listener is off; say where it listens")}
	}
	if err := admin.CheckAddr(f.Admin); err != nil {
		return []error{fmt.Errorf("--admin: %w", err)}
	}
	return nil
}

// runHealth is the health command: one question, one line.
func runHealth(f *healthFlags, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithCancel(context.Background())
	if f.Timeout.n > 0 {
		ctx, cancel = context.WithTimeout(ctx, f.Timeout.n)
	}
	defer cancel()
	answer, err := ask(ctx, f.dial(), f.url())
	if err != nil {
		fmt.Fprintf(stderr, "roost: %v\n", err)
		return exitFailure
	}
	fmt.Fprintln(stdout, answer)
	return exitOK
}

// dial is how to get there: nil for the way that the URL tells.
func (f *healthFlags) dial() func(ctx context.Context, network, addr string) (net.Conn, error) {
	path, ok := strings.CutPrefix(f.Admin, "unix:")
	if !ok {
		return nil
	}
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
}

// url is the question.
func (f *healthFlags) url() string {
	addr := f.Admin
	if strings.HasPrefix(addr, "unix:") {
		addr = "localhost:80"
	}
	host, port, _ := net.SplitHostPort(addr) // checked by faults
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	path := "/healthz"
	if f.Ready {
		path = "/readyz"
	}
	return "http://" + net.JoinHostPort(host, port) + path
}

// ask returns the first line of a good answer. Any other answer is an error.
func ask(ctx context.Context, dial func(context.Context, string, string) (net.Conn, error), url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	// No proxy, no second connection, no other place: only this server's own word counts.
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, DialContext: dial},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("%w: is roost running, with its admin listener (--admin) at this address?", err) // names the URL
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1000))
	if err != nil {
		return "", fmt.Errorf("%s: %w", url, err)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s: %s", url, res.Status, line)
	}
	return line, nil
}
