package auth

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// replace puts a file in the place of another, as Kubernetes and careful people do.
func replace(t *testing.T, path string, text []byte) {
	t.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

func takes(v *Verifier, token string) func() bool {
	return func() bool { _, err := v.Verify(token, at); return err == nil }
}

// A file is read again when it has changed, or when somebody asks.
func TestFileIsWatched(t *testing.T) {
	other := []byte("another secret, which is as long as it must be")
	was, is := sign(t, jose.HS256, secret, "", good()), sign(t, jose.HS256, other, "", good())
	for name, every := range map[string]time.Duration{"watched": time.Millisecond, "asked": time.Hour} {
		log := new(transcript)
		path := file(t, secret)
		v := open(t, Config{Keys: path, Log: log.logger(), watchEvery: every})
		look := func() {
			if name == "asked" {
				v.Reload()
			}
		}
		if !takes(v, was)() || takes(v, is)() {
			t.Fatal(name, ": wrong from the start")
		}
		replace(t, path, secret[:10]) // a fault
		look()
		eventually(t, "it is told", func() bool { return strings.Contains(log.String(), "10 bytes") })
		if !takes(v, was)() {
			t.Error(name, ": the old keys are gone")
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		look()
		replace(t, path, other)
		look()
		eventually(t, "the new key is taken", takes(v, is))
		if takes(v, was)() {
			t.Error(name, ": the old key is taken")
		}
		eventually(t, "it is told", func() bool { return strings.Contains(log.String(), "read again") })
		if text := log.String(); strings.Contains(text, "another secret") || strings.Contains(text, string(secret[:10])) {
			t.Errorf("%s: a secret in the log:\n%s", name, text)
		}
	}
}

// A fault that lasts is told once, and so is its end; whoever asks is told each time.
func TestFaultsAreToldOnce(t *testing.T) {
	log := new(transcript)
	v := open(t, Config{Keys: file(t, secret)})
	v.Close() // from here on its source is ours
	v.config.Log = log.logger()
	fault := errors.New("away")
	for _, step := range []struct {
		changed, asked bool
		err            error
		want           string
	}{
		{false, false, nil, ""}, {true, false, nil, "INFO"}, {false, false, fault, "ERROR"}, {false, false, fault, ""},
		{false, true, fault, "ERROR"}, {false, false, nil, "INFO"}, {false, false, nil, ""}, {false, true, nil, "INFO"}, {false, false, fault, "ERROR"},
	} {
		before := log.String()
		v.tell(step.changed, step.asked, step.err)
		if told := log.String()[len(before):]; (told == "") != (step.want == "") || !strings.Contains(told, step.want) {
			t.Errorf("%+v: %q", step, told)
		}
	}
}

func TestOpenFails(t *testing.T) {
	web := new(page)
	server := httptest.NewServer(web)
	t.Cleanup(server.Close)
	set := jwks(jwk("a", "", &ecKey().PublicKey))
	for name, c := range map[string]struct {
		keys  string
		serve http.HandlerFunc
		want  string
	}{
		"no file":   {"/nonexistent/keys", nil, "no such file"},
		"a folder":  {t.TempDir(), nil, "no regular file"},
		"a device":  {"/dev/zero", nil, "no regular file"},
		"long file": {file(t, bytes.Repeat([]byte("x"), mostKeyBytes+1)), nil, "longer than"},
		"nobody":    {"http://127.0.0.1:1/keys", nil, "refused"},
		"404":       {"", http.NotFound, "404"},
		"204":       {"", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, "204"},
		"redirect":  {"", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, "no redirect"},
		"cut off": {"", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9999")
			_, _ = w.Write(set)
		}, "EOF"},
		"endless": {"", func(w http.ResponseWriter, _ *http.Request) {
			for b := make([]byte, 64<<10); ; {
				if _, err := w.Write(b); err != nil {
					return
				}
			}
		}, "longer than"},
	} {
		url := c.keys
		if c.serve != nil {
			web.set(c.serve)
			url = server.URL + "/?key=hush"
		}
		v, err := Open(Config{Keys: url, Log: new(transcript).logger()})
		if err == nil {
			v.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if n := web.count(); n != 5 { // nobody went elsewhere
		t.Errorf("%d visits", n)
	}
}

// A URL is fetched in intervals; in between, tokens with unknown keys make it fetched once
// in a while, however many they are. Faults change nothing.
func TestURLIsFetched(t *testing.T) {
	web, log := new(page), new(transcript)
	server := httptest.NewServer(web)
	t.Cleanup(server.Close)
	first, second := jwk("first", "", &rsaKey().PublicKey), jwk("second", "", &ecKey().PublicKey)
	web.text(jwks(first))
	v := open(t, Config{Keys: server.URL, Log: log.logger(), leastBetween: time.Hour})
	old, young := sign(t, jose.RS256, rsaKey(), "first", good()), sign(t, jose.ES256, ecKey(), "second", good())
	if !takes(v, old)() {
		t.Fatal("wrong from the start")
	}
	web.text(jwks(first, second))
	for range 10_000 {
		if takes(v, young)() {
			t.Fatal("fetched sooner than allowed")
		}
	}
	if n := web.count(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	v.Reload()
	eventually(t, "the new key is taken", takes(v, young))
	if n := web.count(); n != 2 || !takes(v, old)() {
		t.Errorf("fetched %d times", n)
	}

	web.text(jwks(first))
	storm := open(t, Config{Keys: server.URL, Log: log.logger(), leastBetween: time.Millisecond})
	web.text(jwks(second))
	eventually(t, "an unknown key is looked for", takes(storm, young))
	if takes(storm, old)() {
		t.Error("the old key is taken")
	}
	web.set(http.NotFound)
	storm.Reload()
	eventually(t, "it is told", func() bool { return strings.Contains(log.String(), "404") })
	if !takes(storm, young)() {
		t.Error("the keys are gone")
	}
	web.text(jwks(first))
	eventually(t, "it is tried again without being asked", takes(storm, old))
	eventually(t, "it is told", func() bool { return strings.Contains(log.String(), "read again") })

	often := open(t, Config{Keys: server.URL, Log: log.logger(), Refresh: time.Millisecond, leastBetween: time.Hour})
	web.text(jwks(second))
	eventually(t, "it is fetched in intervals", takes(often, young))
}

// Nobody waits for keys that take long.
func TestCloseDuringAFetch(t *testing.T) {
	web := new(page)
	server := httptest.NewServer(web)
	t.Cleanup(server.Close)
	web.text(jwks(jwk("a", "", secret), jwk("b", "", &ecKey().PublicKey)))
	v := open(t, Config{Keys: server.URL})
	if v.Keys() != 1 { // a secret from a URL is none
		t.Errorf("%d keys", v.Keys())
	}
	asked := make(chan struct{})
	web.set(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	})
	v.Reload()
	<-asked
	if !takes(v, sign(t, jose.ES256, ecKey(), "b", good()))() {
		t.Error("not taken during a fetch")
	}
}
