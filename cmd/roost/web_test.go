//go:build linux

package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func get(t *testing.T, h http.Handler, method, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func nobody() int { return 0 }

func TestPageFiles(t *testing.T) {
	h := chatPage(pageConfig{"/ws", "chat", ""}, nobody)
	for path, contentType := range map[string]string{
		"/":            "text/html; charset=utf-8",
		"/style.css":   "text/css; charset=utf-8",
		"/app.js":      "text/javascript; charset=utf-8",
		"/icon.svg":    "image/svg+xml",
		"/config.json": "application/json",
	} {
		t.Run(path, func(t *testing.T) {
			res := get(t, h, "GET", path)
			if res.StatusCode != http.StatusOK || res.ContentLength == 0 {
				t.Errorf("status %d, %d bytes", res.StatusCode, res.ContentLength)
			}
			for name, want := range map[string]string{
				"Content-Type":            contentType,
				"Cache-Control":           "no-cache",
				"Content-Security-Policy": contentSecurityPolicy,
				"X-Content-Type-Options":  "nosniff",
			} {
				if got := res.Header.Get(name); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
			if again := get(t, h, "GET", path, "If-None-Match", res.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
				t.Errorf("with its own ETag: status %d, want 304", again.StatusCode)
			}
			if post := get(t, h, "POST", path); post.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("POST: status %d, want 405", post.StatusCode)
			}
			if head := get(t, h, "HEAD", path); head.StatusCode != http.StatusOK {
				t.Errorf("HEAD: status %d, want 200", head.StatusCode)
			}
		})
	}
}

func TestPageHasNothingElse(t *testing.T) {
	for _, path := range []string{"/index.html", "/web/index.html", "/nothing", "/style.css/"} {
		if res := get(t, chatPage(pageConfig{"/ws", "chat", ""}, nobody), "GET", path); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: status %d, want 404", path, res.StatusCode)
		}
	}
}

// The policy forbids inline code, so the page must hold none.
func TestPageHasNoInlineCode(t *testing.T) {
	html := string(embedded("index.html"))
	for _, inline := range []string{"<style", "style=", "onclick=", "onload=", "javascript:", "<script>"} {
		if strings.Contains(html, inline) {
			t.Errorf("index.html contains %q, which the Content-Security-Policy blocks", inline)
		}
	}
}

func TestConfigOfThePage(t *testing.T) {
	const path = `/a "quoted" path`
	var config struct{ Path, Handler, Auth string }
	res := get(t, chatPage(pageConfig{path, "chat", "token"}, nobody), "GET", "/config.json")
	if err := json.NewDecoder(res.Body).Decode(&config); err != nil || config.Path != path || config.Handler != "chat" || config.Auth != "token" {
		t.Errorf("got %+v, %v, want %q, chat and token", config, err, path)
	}
}

func TestClientsAskAtASteadyRate(t *testing.T) {
	for clients, refresh := range map[int]int{0: 2000, 200: 2000, 201: 2010, 1_000_000: 10_000_000} {
		var answer struct {
			Clients   int
			RefreshMS int `json:"refresh_ms"`
		}
		res := get(t, chatPage(pageConfig{"/ws", "chat", ""}, func() int { return clients }), "GET", "/clients")
		if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		if answer.Clients != clients || answer.RefreshMS != refresh {
			t.Errorf("%d clients: got %+v, want a refresh of %d ms", clients, answer, refresh)
		}
	}
}
