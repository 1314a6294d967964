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
	base, dial := reach(f.Admin)
	path := "/healthz"
	if f.Ready {
		path = "/readyz"
	}
	answer, err := ask(ctx, dial, base+path)
	if err != nil {
		fmt.Fprintf(stderr, "roost: %v\n", err)
		return exitFailure
	}
	fmt.Fprintln(stdout, answer)
	return exitOK
}

// dialer connects to what a URL names, in its own way.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// reach is the URL of an admin listener at addr, as of --admin, without a path, and how to get
// there: nil for the way that the URL tells.
func reach(addr string) (base string, dial dialer) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return "http://localhost", func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
	}
	host, port, _ := net.SplitHostPort(addr) // checked by faults
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

// directly is a client that asks this server only: no proxy, no other place. Its idle
// connections are to be closed. It does not say that it closes, because net/http would not let it
// read the answer then when that comes before the body has been sent.
func directly(dial dialer) *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DialContext: dial},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ask returns the first line of a good answer. Any other answer is an error.
func ask(ctx context.Context, dial dialer, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	client := directly(dial)
	defer client.CloseIdleConnections()
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
