//go:build linux

package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"roost/conn/frame"
	"roost/conn/server"
)

// row is a connection in /debug/conns. Times are in seconds.
type row struct {
	ID            string  `json:"id"`
	Peer          string  `json:"peer"`
	State         string  `json:"state"`
	Age           float64 `json:"age_seconds"`
	Silent        float64 `json:"silent_seconds"` // since the last byte from it
	Idle          float64 `json:"idle_seconds"`   // since the last message from it
	QueuedFrames  int     `json:"queued_frames"`
	QueuedBytes   int     `json:"queued_bytes"`
	KeptBytes     int     `json:"kept_bytes"` // of what has not arrived whole
	Dropped       uint64  `json:"dropped_frames"`
	RTT           float64 `json:"rtt_seconds"`
	RTTVar        float64 `json:"rttvar_seconds"`
	Unacked       int     `json:"unacked_segments"`
	Unsent        int     `json:"unsent_bytes"` // in the kernel's send buffer
	Retransmitted int     `json:"retransmitted_segments"`
	Subprotocol   string  `json:"subprotocol"`
	TLS           string  `json:"tls"`                 // version, "" without
	Window        int     `json:"deflate_window_bits"` // 0 when messages are not compressed
}

func newRow(c server.ConnInfo) row {
	peer := "unknown" // that of a unix socket has no address
	if c.Peer.IsValid() {
		peer = c.Peer.String()
	}
	return row{
		ID: c.ID, Peer: peer, State: c.State.String(),
		Age: c.Age.Seconds(), Silent: c.Silent.Seconds(), Idle: c.Idle.Seconds(),
		QueuedFrames: c.Backlog.Frames, QueuedBytes: c.Backlog.Bytes, KeptBytes: c.Kept, Dropped: c.Backlog.Dropped,
		RTT: c.TCP.RTT.Seconds(), RTTVar: c.TCP.RTTVar.Seconds(),
		Unacked: c.TCP.Unacked, Unsent: c.TCP.Unsent, Retransmitted: c.TCP.Retransmitted,
		Subprotocol: c.Subprotocol, TLS: c.TLS, Window: c.Window,
	}
}

// mostRows bounds ?limit. Each row takes three system calls and about 100 bytes.
const mostRows = 1000

// conns answers with the connections that are first in some order.
func (l *Listener) conns(w http.ResponseWriter, r *http.Request) {
	asJSON, err := wantsJSON(r)
	order, err2 := orderOf(cmp.Or(r.FormValue("sort"), server.ByQueue.String()))
	limit, err3 := strconv.Atoi(cmp.Or(r.FormValue("limit"), "20"))
	if err3 != nil || limit < 1 || limit > mostRows {
		err3 = fmt.Errorf("limit: %q, want 1 to %d", r.FormValue("limit"), mostRows)
	}
	if !right(w, err, err2, err3) {
		return
	}
	rows, ok := l.look(r.Context(), order, limit)
	if !ok {
		return
	}
	if asJSON {
		writeJSON(w, http.StatusOK, rows)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tPEER\tSTATE\tAGE\tIDLE\tFRAMES\tQUEUED\tUNSENT\tUNACKED\tDROPPED\tKEPT\tRTT\tRETRANS\tSUBPROTOCOL\tTLS")
	for i := range rows {
		c := &rows[i]
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t%s\t%s\n", c.ID, c.Peer, c.State,
			seconds(c.Age), seconds(c.Idle), c.QueuedFrames, c.QueuedBytes, c.Unsent, c.Unacked, c.Dropped, c.KeptBytes,
			seconds(c.RTT), c.Retransmitted, cmp.Or(c.Subprotocol, "-"), cmp.Or(c.TLS, "-"))
	}
	_ = table.Flush() // fails when the client has left
	if len(rows) == 0 {
		fmt.Fprintf(w, "\nno connection to list by %s\n", order)
	}
}

// look walks over all connections, one request at a time; others wait for the walk, and not
// for a client that is slow to read what came of it. ok is false when ctx ended before.
func (l *Listener) look(ctx context.Context, order server.Order, limit int) (rows []row, ok bool) {
	select {
	case l.looking <- struct{}{}:
		defer func() { <-l.looking }()
	case <-ctx.Done():
		return nil, false
	}
	rows = []row{}
	for _, c := range l.config.Server.Inspect(order, limit) {
		rows = append(rows, newRow(c))
	}
	return rows, true
}

// seconds is a time for people, with three digits or less.
func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	}
	return strconv.FormatInt(d.Microseconds(), 10) + "us"
}

func orderOf(name string) (server.Order, error) {
	var names []string
	for o := range server.Orders {
		if o.String() == name {
			return o, nil
		}
		names = append(names, o.String())
	}
	return 0, fmt.Errorf("sort: %q, want %s", name, strings.Join(names, ", "))
}

// closeConn closes the connection of an id, and never another one.
func (l *Listener) closeConn(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	code, err := codeOf(cmp.Or(r.FormValue("code"), "1008"))
	reason := cmp.Or(r.FormValue("reason"), "closed by operator")
	var err2 error
	const most = 123 // RFC 6455 section 5.5: 125 bytes with the code
	if len(reason) > most || !utf8.ValidString(reason) {
		err2 = fmt.Errorf("reason: want UTF-8 of up to %d bytes", most)
	}
	if !right(w, err, err2) {
		return
	}
	if !l.config.Server.CloseConn(id, code, reason) {
		text(w, http.StatusNotFound, fmt.Sprintf("no open connection has the id %q: it has ended, is closing already, or never was", id))
		return
	}
	l.config.Log.Info("a connection is closed by an operator", "id", id, "code", int(code), "reason", reason, "operator", r.RemoteAddr)
	text(w, http.StatusAccepted, fmt.Sprintf("%s is being closed with %d %q", id, code, reason))
}

// codeOf is a code that a close frame may carry, RFC 6455 section 7.4.
func codeOf(s string) (frame.StatusCode, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if code := frame.StatusCode(n); err == nil && frame.Sendable(code) {
		return code, nil
	}
	return 0, fmt.Errorf("code: %q, want a close code: 1000 to 1003, 1007 to 1014, or 3000 to 4999", s)
}

// wantsJSON is true with ?format=json, or without ?format when the client accepts
// JSON by name.
func wantsJSON(r *http.Request) (bool, error) {
	switch f := r.FormValue("format"); f {
	case "json":
		return true, nil
	case "text":
		return false, nil
	case "":
		return strings.Contains(r.Header.Get("Accept"), "application/json"), nil
	default:
		return false, fmt.Errorf("format: %q, want json or text", f)
	}
}

// right answers with 400 and every error there is; it reports whether there was none.
func right(w http.ResponseWriter, errs ...error) bool {
	var all []string
	for _, err := range errs {
		if err != nil {
			all = append(all, err.Error())
		}
	}
	if all != nil {
		text(w, http.StatusBadRequest, strings.Join(all, "\n"))
	}
	return all == nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // fails when the client has left
}
