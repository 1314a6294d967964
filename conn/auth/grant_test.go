package auth

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

func TestRights(t *testing.T) {
	v := open(t, Config{Keys: file(t, secret), DefaultTopic: "lobby"})
	for _, c := range []struct {
		claims   fields
		sub, pub string // topics that are allowed, of those below
	}{
		{good(), "lobby", ""},
		{good().with("topics", []string{}), "", ""},
		{good().with("topics", nil).with("pub", nil), "lobby", ""},
		{good().with("topics", []string{"news"}), "news", ""},
		{good().with("topics", []string{"news", "lobby"}).with("pub", []string{"lobby"}), "lobby news", "lobby"},
		{good().with("topics", []string{"news*"}).with("pub", []string{"news/*"}), "news news/de news/de/a", "news/de news/de/a"},
		{good().with("topics", []string{"*"}).with("pub", true), "lobby news news/de news/de/a", "lobby news news/de news/de/a"},
		{good().with("pub", false), "lobby", ""},
		{good().with("pub", []string{}), "lobby", ""},
	} {
		g, err := v.Verify(sign(t, jose.HS256, secret, "", c.claims), at)
		if err != nil {
			t.Fatal(err)
		}
		for _, topic := range []string{"lobby", "news", "news/de", "news/de/a"} {
			if want := slices.Contains(strings.Fields(c.sub), topic); g.MaySubscribe(topic) != want {
				t.Errorf("%v: subscribing to %q: %v", c.claims, topic, !want)
			}
			if want := slices.Contains(strings.Fields(c.pub), topic); g.MayPublish(topic) != want {
				t.Errorf("%v: publishing to %q: %v", c.claims, topic, !want)
			}
		}
	}
	var everything *Grant
	if !everything.MaySubscribe("x") || !everything.MayPublish("x") || everything.Expired(1<<60) {
		t.Error("where nobody is asked, everything is allowed")
	}
	if n := testing.AllocsPerRun(100, func() { everything.MayPublish("x") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	g := newGrant("", 5, []string{"a*c", "b"}, []string{"x*", "*y"})
	if n := testing.AllocsPerRun(100, func() { g.MayPublish("abc/y") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if g.Expired(4) || !g.Expired(5) || newGrant("", 0, nil, nil).Expired(1<<60) {
		t.Error("expired in the wrong second")
	}
}

// Clients with equal rights have them once.
func TestRightsAreShared(t *testing.T) {
	a := newGrant("a", 1, []string{"x", "y*"}, []string{"*"})
	b := newGrant("b", 2, []string{"x", "y*"}, []string{"*"})
	if a.rights != b.rights || a.rights == newGrant("a", 1, []string{"x"}, []string{"*"}).rights {
		t.Error("not the same, or not different")
	}
}

// FuzzMatch compares with regular expressions.
func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{
		{"*", ""}, {"", ""}, {"a", "a"}, {"a", "ab"}, {"a*", "a"}, {"*a", "ba"}, {"a*a", "a"}, {"a*a", "aa"}, {"a*b*c", "aXbYbZc"},
		{"*a*a*", "aa"}, {"*ab*ab", "abab"}, {"**", "x"}, {"a**b", "ab"}, {"*aab", "aaab"}, {"?", "x"}, {"[a]", "a"}, {"a/*", "a/b/c"}, {"a.c", "abc"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		parts := strings.Split(pattern, "*")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		re, err := regexp.Compile(`(?s)\A` + strings.Join(parts, `(?:.|[^.])*`) + `\z`)
		if err != nil {
			t.Skip("no UTF-8")
		}
		if want := pattern != "" && re.MatchString(s); match(pattern, s) != want {
			t.Errorf("%q on %q: %v", pattern, s, !want)
		}
	})
}
