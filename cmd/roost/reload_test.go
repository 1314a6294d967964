//go:build linux

package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"roost/conn/conntest"
)

// hangUp sends SIGHUP and returns the log up to the line that ends the reload.
func (c *command) hangUp(t *testing.T) string {
	t.Helper()
	c.signals <- syscall.SIGHUP
	var all strings.Builder
	for line := range c.log {
		all.WriteString(line + "\n")
		if strings.Contains(line, "SIGHUP") {
			return all.String()
		}
	}
	t.Fatalf("the command ended:\n%s", all.String())
	return ""
}

// end stops the command and returns the rest of its log.
func (c *command) end(t *testing.T) string {
	t.Helper()
	c.signals <- syscall.SIGTERM
	if code := <-c.code; code != exitOK {
		t.Errorf("exit code %d, want 0", code)
	}
	return c.rest()
}

func rewrite(t *testing.T, path, text string) {
	t.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

func TestReloadTakesOverWhatMayChange(t *testing.T) {
	file := writeConfig(t, "log-level: info", "max-http-conns: 3")
	c := execute(t, "--config", file)
	if log := c.hangUp(t); !strings.Contains(log, "changes=0") {
		t.Errorf("nothing had changed:\n%s", log)
	}
	rewrite(t, file, "log-level: debug\nmax-http-conns: 3\nsubprotocols: []\n") // none, as before
	log := c.hangUp(t)
	if !strings.Contains(log, "setting=log-level old=info new=debug") || !strings.Contains(log, "changes=1") {
		t.Errorf("not reloaded:\n%s", log)
	}
	client := conntest.Dial(t, c.addr, "/ws")
	_ = client.Close()
	for line := range c.log { // that of the connection, which only debug has
		if strings.Contains(line, "level=DEBUG") {
			break
		}
	}
	rewrite(t, file, "max-http-conns: 3\n") // back to the default
	if log := c.hangUp(t); !strings.Contains(log, "old=debug new=info source=default") {
		t.Errorf("not reloaded:\n%s", log)
	}
	c.end(t)
}

// TestReloadIsAllOrNothing: one fault, or one change that takes a restart, and every
// value stays.
func TestReloadIsAllOrNothing(t *testing.T) {
	const good = "log-level: info\nworkers: 2\n"
	file := writeConfig(t, good)
	c := execute(t, "--config", file)
	for _, bad := range []struct {
		text string
		want []string
	}{
		{"log-level: error\nworkers: 3\nshards: 1\n", []string{"workers cannot change at run time: restart roost to have 3 (" + file + ":2), or set it back to 2", "shards cannot change"}},
		{"log-level: error\nwrokers: 3\nshards: x\n", []string{"the nearest is workers", `\"x\" is not a count`}},
		{"log-level: loud\nworkers: 2\n", []string{`\"loud\" is unknown`}},
		{"log-level: error\n", []string{"workers cannot change at run time: restart roost to have 0 (default)"}},
		{"", []string{"has no settings"}},
	} {
		rewrite(t, file, bad.text)
		c.signals <- syscall.SIGHUP
		for _, want := range bad.want { // a line each
			line := <-c.log
			for _, want := range []string{want, "level=ERROR", "the settings stay as they were"} {
				if !strings.Contains(line, want) {
					t.Errorf("%q: no %q in %s", bad.text, want, line)
				}
			}
		}
	}
	rewrite(t, file, good) // that info is still logged shows that no error level was taken over
	if log := c.hangUp(t); !strings.Contains(log, "level=INFO") || !strings.Contains(log, "changes=0") {
		t.Errorf("something was taken over:\n%s", log)
	}
	c.end(t)
}

func TestReloadWithoutAFile(t *testing.T) {
	c := execute(t)
	if log := c.hangUp(t); !strings.Contains(log, "nothing to reload without --config") {
		t.Errorf("silent about it:\n%s", log)
	}
	c.end(t)
}

func TestNoReloadDuringADrain(t *testing.T) {
	c := execute(t, "--close-timeout", "1h", "--config", writeConfig(t, "log-level: info"))
	client := conntest.Dial(t, c.addr, "/ws")
	c.signals <- syscall.SIGTERM
	if _, _, err := client.Next(); err != nil { // the close frame, which it does not answer yet
		t.Fatal(err)
	}
	if log := c.hangUp(t); !strings.Contains(log, "SIGHUP is ignored") {
		t.Errorf("silent about it:\n%s", log)
	}
	_ = client.Close()
	if code := <-c.code; code != exitOK {
		t.Errorf("exit code %d, want 0", code)
	}
	c.rest()
}

// TestReloadOfLimits lowers a limit on clients that are there.
func TestReloadOfLimits(t *testing.T) {
	file := writeConfig(t, "max-conns: 2")
	c := execute(t, "--config", file)
	a, b := conntest.Dial(t, c.addr, "/ws"), conntest.Dial(t, c.addr, "/ws")
	rewrite(t, file, "max-conns: 1\nmessage-rate: -3\n")
	if log := c.hangUp(t); !strings.Contains(log, "level=ERROR") {
		t.Errorf("a fault was taken over:\n%s", log)
	}
	rewrite(t, file, "max-conns: 1\nmessage-rate: 1000\norigins: [https://app.example]\n")
	if log := c.hangUp(t); !strings.Contains(log, "setting=max-conns old=2 new=1") || !strings.Contains(log, "changes=3") {
		t.Errorf("not reloaded:\n%s", log)
	}
	a.Text("still here")
	a.ExpectText("still here")
	b.ExpectText("still here")
	refused := conntest.Connect(t, c.addr)
	refused.Raw([]byte(conntest.Request(c.addr, "/ws", "Origin: https://app.example")))
	if res := refused.Response(); res.StatusCode != 503 {
		t.Errorf("one too many: %s, want 503", res.Status)
	}
	_, _, _ = a.Close(), b.Close(), refused.Close()
	c.end(t)
}

// TestSignalIsNotHeldUpByTheFile: a pipe has taken the place of the config file, and who
// has it open writes nothing. Many SIGHUPs are one, and SIGTERM is heard.
func TestSignalIsNotHeldUpByTheFile(t *testing.T) {
	file := writeConfig(t, "log-level: info")
	c := execute(t, "--config", file)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if log := c.hangUp(t); !strings.Contains(log, "has no settings") {
		t.Errorf("nobody writes into the pipe:\n%s", log)
	}
	pipe, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		c.signals <- syscall.SIGHUP
	}
	c.end(t)
	_ = pipe.Close() // so that the reading ends
}
