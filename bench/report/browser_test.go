//go:build linux

package report_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"roost/bench/report"
	"roost/conn/conntest/browser"
)

// plots are all figures that a run with everything has, by name.
var plots = []string{"percentiles", "heat", "latency", "handshakes", "connections", "connects", "rates", "memory", "cpu", "loop", "switches"}

// TestPageInBrowser opens the page in a real browser: light and dark, wide and
// as narrow as a phone. With SCREENSHOTS=folder it keeps what it saw.
func TestPageInBrowser(t *testing.T) {
	ctx := browser.Start(t)
	rec := recording(60, 1)
	rec.Result.Parts[1].Name = strings.Repeat("long", 30) // must break somewhere
	rec.Result.Histograms[rec.Result.Parts[1].Name+".latency"] = rec.Result.Histograms["ask.latency"]
	path := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(path, []byte(written(t, report.FormatHTML, rec, recording(3600, 2))), 0o600); err != nil {
		t.Fatal(err)
	}
	do := func(action chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, action); err != nil {
			t.Fatal(err)
		}
	}
	holds := func(condition string) {
		t.Helper()
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](condition))
		if err != nil || !ok {
			t.Errorf("error %v, or not so: %s", err, condition)
		}
	}
	do(chromedp.Func(func(ctx context.Context, s *chromedp.Target) error {
		_, err := cdp.Call(ctx, s, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `
			window.faults = [];
			for (const type of ["error", "unhandledrejection", "securitypolicyviolation"])
				addEventListener(type, (e) => faults.push(type), true);
			for (const level of ["error", "warn"]) console[level] = (...what) => faults.push(what.join(" "));`})
		return err
	}))
	do(chromedp.Navigate("file://" + path))

	backgrounds := map[string]string{"light": "rgb(255, 255, 255)", "dark": "rgb(18, 22, 28)"}
	lines := map[string]string{"light": "rgb(11, 98, 196)", "dark": "rgb(108, 176, 255)"}
	for _, width := range []int64{1200, 360} {
		for scheme, background := range backgrounds {
			do(chromedp.EmulateViewport(width, 800))
			do(chromedp.Func(func(ctx context.Context, s *chromedp.Target) error {
				_, err := cdp.Call(ctx, s, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
					Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
				})
				return err
			}))
			holds(`getComputedStyle(document.body).backgroundColor === "` + background + `"`)
			holds(`document.documentElement.scrollWidth <= innerWidth`)
			for _, plot := range plots {
				figure := `[...document.querySelectorAll('[data-plot="` + plot + `"] > svg')]`
				holds(figure + `.length === 2`)
				holds(figure + `.every((svg) => svg.getBoundingClientRect().width > 280 && svg.querySelectorAll("path").length > 3)`)
				// In the page's colour, not the stand-in of the drawing.
				attribute := map[bool]string{true: "fill", false: "stroke"}[plot == "heat"]
				holds(figure + `.every((svg) => [...svg.querySelectorAll("path")].some((p) => getComputedStyle(p).` + attribute + ` === "` + lines[scheme] + `"))`)
				// No text leaves the drawing.
				holds(figure + `.every((svg) => { const box = svg.getBoundingClientRect(); return [...svg.querySelectorAll("text")].every((text) => {
					const b = text.getBoundingClientRect(); return b.left >= box.left - 2 && b.right <= box.right + 2 && b.top >= box.top - 2 && b.bottom <= box.bottom + 2 }) })`)
			}
			holds(`document.querySelectorAll('[data-plot="comparison"] > svg').length === 1`)
			holds(`[...document.querySelectorAll('[data-plot="heat"]')].every((f) => f.querySelectorAll(".shades li").length === 6)`)
			screenshot(ctx, t, scheme+"-"+strconv.FormatInt(width, 10))
		}
	}
	holds(`performance.getEntriesByType("resource").length === 0`) // nothing but the page itself
	holds(`document.scripts.length === 0`)                         // a flag's value is text
	holds(`faults.length === 0`)
}

// screenshot keeps the whole page for somebody to look at, if asked for.
func screenshot(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	folder := os.Getenv("SCREENSHOTS")
	if folder == "" {
		return
	}
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, name+".png"), png, 0o600)
	}
	if err != nil {
		t.Error(err)
	}
}
