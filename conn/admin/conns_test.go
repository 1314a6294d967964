//go:build linux

package admin_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/frame"
	"roost/conn/server"
)

// listed asks for the connections in an order, by peer address.
func (r *rig) listed(query string) map[string]map[string]any {
	r.t.Helper()
	var rows []map[string]any
	body := r.want(http.StatusOK, "GET", "/debug/conns?format=json&"+query)
	if err := json.Unmarshal([]byte(body), &rows); err != nil {
		r.t.Fatalf("%v: %s", err, body)
	}
	all := map[string]map[string]any{}
	for _, row := range rows {
		all[row["peer"].(string)] = row
	}
	return all
}

// The one that does not read is found, and closing it closes nobody else.
func TestSlowConnectionIsFoundAndClosed(t *testing.T) {
	r := start(t, server.Config{Handler: server.Echo(), WriteQueueFrames: -1, WriteQueueBytes: -1, WriteQueueTotal: -1, UserTimeout: -1})
	quick := conntest.Dial(t, r.addr, "/ws")
	slow := conntest.DialNarrow(t, r.addr, "/ws", 4096)
	go func() { // for both; the slow one's frames stay with the server
		for range 200 {
			_ = r.server.Hub().BroadcastWait(t.Context(), frame.Prepare(frame.Binary, make([]byte, 64<<10)))
		}
	}()
	for range 200 {
		quick.Expect(ws.OpBinary, string(make([]byte, 64<<10)))
	}
	var row map[string]any
	eventually(t, "the slow one is listed", func() bool {
		row = r.listed("sort=queue")[slow.LocalAddr().String()]
		return row != nil
	})
	if row["queued_bytes"].(float64) < 64<<10 || row["queued_frames"].(float64) < 1 || row["state"] != "open" || row["unacked_segments"].(float64) < 0 {
		t.Errorf("the slow one: %v", row)
	}
	if n := len(r.listed("sort=age")); n != 2 {
		t.Errorf("%d connections by age, want 2", n)
	}
	id := row["id"].(string)
	text := r.want(http.StatusOK, "GET", "/debug/conns?sort=queue&limit=1", id, slow.LocalAddr().String(), "open")
	if n := strings.Count(text, "\n"); n != 2 {
		t.Errorf("%d lines, want a head and one row:\n%s", n, text)
	}

	r.want(http.StatusAccepted, "POST", "/debug/conns/"+id+"/close?code=4001&reason=too+slow", id, "4001", "too slow")
	if code := slow.Closed(); code != 4001 {
		t.Errorf("closed with %d, want 4001", code)
	}
	_ = slow.Close()
	eventually(t, "it has ended", func() bool { return r.server.Stats().Ended[conn.ReasonOperator] == 1 })
	r.want(http.StatusNotFound, "POST", "/debug/conns/"+id+"/close", "no open connection")
	quick.Text("still here")
	quick.ExpectText("still here")
}

func TestCloseByDefault(t *testing.T) {
	r := start(t, server.Config{Handler: server.Echo()})
	c := conntest.Dial(t, r.addr, "/ws")
	id := r.listed("sort=age")[c.LocalAddr().String()]["id"].(string)
	r.want(http.StatusAccepted, "POST", "/debug/conns/"+id+"/close")
	_, payload, err := c.Next()
	if err != nil || string(payload) != "\x03\xf0closed by operator" {
		t.Errorf("the close frame holds %q, %v; want 1008 and why", payload, err)
	}
	// It has not answered: closing it again finds nothing that is open.
	r.want(http.StatusNotFound, "POST", "/debug/conns/"+id+"/close")
}

func TestCloseFaults(t *testing.T) {
	r := start(t, server.Config{Handler: server.Echo()})
	c := conntest.Dial(t, r.addr, "/ws")
	id := r.listed("sort=age")[c.LocalAddr().String()]["id"].(string)
	for _, q := range []string{"code=0", "code=999", "code=1004", "code=1005", "code=1006", "code=1015", "code=2999", "code=5000", "code=-1", "code=x", "code=66536",
		"reason=" + strings.Repeat("x", 124), "reason=%ff", "code=1&reason=%ff"} {
		r.want(http.StatusBadRequest, "POST", "/debug/conns/"+id+"/close?"+q, "want")
	}
	for _, id := range []string{"x", "-", "1", "999-1", id + "0", url.PathEscape("../" + id)} {
		r.want(http.StatusNotFound, "POST", "/debug/conns/"+id+"/close")
	}
	c.Text("untouched")
	c.ExpectText("untouched")
	r.want(http.StatusAccepted, "POST", "/debug/conns/"+id+"/close?code=1000&reason="+strings.Repeat("x", 123))
	if code := c.Closed(); code != 1000 {
		t.Errorf("closed with %d", code)
	}
}

func TestConnsFaults(t *testing.T) {
	r := start(t, server.Config{Handler: server.Echo()})
	for _, q := range []string{"sort=size", "limit=0", "limit=-1", "limit=1001", "limit=x", "limit=1e2", "format=xml"} {
		name, _, _ := strings.Cut(q, "=")
		r.want(http.StatusBadRequest, "GET", "/debug/conns?"+q, name+": ", "want")
	}
	r.want(http.StatusBadRequest, "GET", "/debug/conns?sort=x&limit=x&format=x", "sort: ", "limit: ", "format: ")
	for _, order := range []string{"queue", "drops", "age", "idle", "rtt"} {
		r.want(http.StatusOK, "GET", "/debug/conns?sort="+order, "no connection to list by "+order)
		if n := len(r.listed("sort=" + order)); n != 0 {
			t.Errorf("%d connections by %s", n, order)
		}
	}
	r.want(http.StatusOK, "GET", "/debug/conns?limit=1000")
	r.want(http.StatusOK, "GET", "/debug/conns?limit=1")
}

// A client gets what it accepts: curl text, a script JSON.
func TestFormats(t *testing.T) {
	r := start(t, server.Config{Handler: server.Echo()})
	for _, path := range []string{"/debug/conns", "/debug/density"} {
		for _, c := range []struct{ query, accept, want string }{
			{"", "*/*", "text/plain"}, {"", "application/json", "application/json"}, {"?format=json", "*/*", "application/json"},
			{"?format=text", "application/json", "text/plain"}, {"", "text/html,application/xhtml+xml,*/*;q=0.8", "text/plain"},
		} {
			if res, _ := r.do("GET", path+c.query, "Accept", c.accept); !strings.HasPrefix(res.Header.Get("Content-Type"), c.want) {
				t.Errorf("%s%s accepting %s: %s, want %s", path, c.query, c.accept, res.Header.Get("Content-Type"), c.want)
			}
		}
		r.want(http.StatusBadRequest, "GET", path+"?format=yaml", "format: ")
	}
}

// Columns are aligned, whatever stands in them.
func TestTextIsAligned(t *testing.T) {
	r := start(t, server.Config{Handler: server.Echo(), Subprotocols: []string{"one"}})
	conntest.Dial(t, r.addr, "/ws", "Sec-WebSocket-Protocol: one")
	conntest.Dial(t, r.addr, "/ws")
	lines := strings.Split(strings.TrimSpace(r.want(http.StatusOK, "GET", "/debug/conns?sort=age", "SUBPROTOCOL", "one")), "\n")
	if len(lines) != 3 {
		t.Fatalf("%q", lines)
	}
	words := regexp.MustCompile(`\S+`)
	for _, line := range lines[1:] {
		head, row := words.FindAllStringIndex(lines[0], -1), words.FindAllStringIndex(line, -1)
		if len(head) != len(row) {
			t.Fatalf("%d columns, %d values: %q", len(head), len(row), line)
		}
		for i := range head {
			if head[i][0] != row[i][0] {
				t.Errorf("column %d begins at %d, its value at %d:\n%s\n%s", i, head[i][0], row[i][0], lines[0], line)
			}
		}
	}
}

// A client that comes through a unix socket has no address.
func TestPeerWithoutAddress(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	r := start(t, server.Config{Handler: server.Echo(), Listen: []string{"127.0.0.1:0", "unix:" + path}})
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	eventually(t, "it has been accepted", func() bool { return r.server.Stats().Handshaking == 1 })
	if row := r.listed("sort=age")["unknown"]; row == nil || row["rtt_seconds"] != 0. {
		t.Errorf("%v", row)
	}
	r.want(http.StatusOK, "GET", "/debug/conns?sort=age", "unknown")
}
