//go:build linux

package admin

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"roost/conn/frame"
	"roost/conn/hub"
)

// remember uses a key for a message and says what came of it.
func remember(t *testing.T, k *keys, key, text string, f *fate) (again *fate, err error) {
	t.Helper()
	m := messageOf(text)
	u, again, err := k.begin(key, m.fingerprint())
	if u != nil {
		k.end(u, f)
	}
	return again, err
}

func messageOf(text string) message { return message{op: frame.Text, payload: []byte(text)} }

// A key is good for a window, from its first use on.
func TestWindowOfKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeys(time.Minute, 100)
		one, two := &fate{seq: 1}, &fate{seq: 2}
		for _, c := range []struct {
			after time.Duration
			key   string
			text  string
			fate  *fate // of those that are published
			again *fate
			err   error
		}{
			{0, "a", "x", one, nil, nil}, {0, "a", "x", two, one, nil}, {0, "a", "y", two, nil, errOtherMessage},
			{0, "", "x", two, nil, nil}, {0, "", "x", two, nil, nil},
			{30 * time.Second, "b", "x", nil, nil, nil}, {0, "b", "x", two, nil, nil}, // the first was not published
			{30*time.Second - 1, "a", "x", two, one, nil}, {1, "a", "y", two, nil, nil}, {0, "a", "y", one, two, nil},
			{30*time.Second - 1, "b", "x", one, two, nil}, {1, "b", "x", one, nil, nil},
		} {
			time.Sleep(c.after)
			if again, err := remember(t, k, c.key, c.text, c.fate); again != c.again || err != c.err {
				t.Errorf("%+v: %v, %v", c, again, err)
			}
		}
		time.Sleep(time.Hour)
		if _, err := remember(t, k, "c", "x", one); err != nil {
			t.Error(err)
		}
		if n, evicted := k.counts(); n != 1 || evicted != 0 {
			t.Errorf("%d are remembered, %d evicted", n, evicted)
		}
	})
}

// While its first use has not ended, however long, a key is taken.
func TestRunningKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeys(time.Second, 100)
		m := messageOf("x")
		u, _, err := k.begin("a", m.fingerprint())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := remember(t, k, "b", "x", &fate{}); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if _, err := remember(t, k, "a", "x", &fate{}); err != errRunning {
			t.Errorf("got %v", err)
		}
		if again, err := remember(t, k, "b", "y", &fate{}); again != nil || err != nil { // behind it, and over
			t.Errorf("got %v, %v", again, err)
		}
		k.end(u, &fate{seq: 1})
		if again, err := remember(t, k, "a", "x", &fate{}); again != nil || err != nil { // its window is over
			t.Errorf("got %v, %v", again, err)
		}
	})
}

// The oldest keys make room, also those in use.
func TestKeysAreBounded(t *testing.T) {
	k := newKeys(time.Hour, 3)
	m := messageOf("x")
	running, _, _ := k.begin("0", m.fingerprint())
	for i := 1; i < 6; i++ {
		if _, err := remember(t, k, fmt.Sprint(i), "x", &fate{}); err != nil {
			t.Fatal(err)
		}
	}
	k.end(running, nil)
	if n, evicted := k.counts(); n != 3 || evicted != 3 || k.byAge.Len() != 3 {
		t.Errorf("%d and %d are remembered, %d evicted", n, k.byAge.Len(), evicted)
	}
	for i, want := range []bool{false, false, false, true, true, true} {
		k.mu.Lock()
		if got := k.byKey[fmt.Sprint(i)] != nil; got != want {
			t.Errorf("%d is remembered: %v", i, got)
		}
		k.mu.Unlock()
	}
	// One that had to go and came again is not the old one's to forget.
	other, _, _ := k.begin("0", m.fingerprint())
	k.end(running, nil)
	if _, _, err := k.begin("0", m.fingerprint()); err != errRunning {
		t.Errorf("got %v", err)
	}
	k.end(other, &fate{})
	none := newKeys(0, 3)
	if u, again, err := none.begin("a", m.fingerprint()); u != nil || again != nil || err != nil {
		t.Errorf("without a window: %v, %v, %v", u, again, err)
	}
}

// Messages that differ in anything have different fingerprints.
func TestFingerprint(t *testing.T) {
	seen := map[[32]byte]int{}
	for i, m := range []message{
		{}, {op: frame.Text}, {op: frame.Binary}, {payload: []byte("a")}, {key: "a"}, {topics: []string{"a"}}, {topics: []string{"a", "b"}}, {topics: []string{"ab"}},
		{topics: []string{"b", "a"}}, {key: "a", topics: []string{"b"}}, {key: "ab"}, {payload: []byte("ab")}, {topics: []string{"a"}, payload: []byte("\x01b")}, {key: "a", payload: []byte("b")},
	} {
		if other, twice := seen[m.fingerprint()]; twice {
			t.Errorf("%d and %d have the same", i, other)
		}
		seen[m.fingerprint()] = i
	}
}

// Whatever a line is, a message made of it can be published.
func FuzzLine(f *testing.F) {
	for _, line := range []string{`{"topic":"a","data":"x"}`, `{"topics":["a","b"],"key":"k","data":{"a":1}}`, `{"base64":"AA=="}`, `{"data":null}`, `{"data":"\ud800"}`, `[]`, `{`, "\xff", `{"data":1} x`, `{"Topic":"a","DATA":2}`} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := parseLine(line)
		if err != nil {
			if why := refusalOf(err).why; len(why) > 400 || strings.ContainsRune(why, '\n') {
				t.Errorf("%d bytes of answer: %.500s", len(why), why)
			}
			return
		}
		if m.op == frame.Text && !utf8.Valid(m.payload) || m.op != frame.Text && m.op != frame.Binary || len(m.payload) > len(line) || len(m.key) > mostKey {
			t.Errorf("%q gives %+v", line, m)
		}
		for _, name := range m.topics {
			if hub.CheckTopic(name) != nil {
				t.Errorf("%q gives topic %q", line, name)
			}
		}
	})
}
