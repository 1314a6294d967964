//go:build linux

package report_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"roost/bench/report"
)

// TestPageInBrowser opens the page in a real browser: light and dark, wide and
// as narrow as a phone.
func TestPageInBrowser(t *testing.T) {
	ctx := startBrowser(t)
	var html bytes.Buffer
	if err := report.Write(&html, report.FormatHTML, []report.File{{Name: "a.json", Recording: recording()}, {Name: "b.json", Recording: recording()}}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(path, html.Bytes(), 0o600); err != nil {
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

	const backgroundIs = `getComputedStyle(document.body).backgroundColor === `
	for _, width := range []int64{1200, 360} {
		for scheme, background := range map[string]string{"light": `"rgb(255, 255, 255)"`, "dark": `"rgb(18, 22, 28)"`} {
			do(chromedp.EmulateViewport(width, 800))
			do(chromedp.Func(func(ctx context.Context, s *chromedp.Target) error {
				_, err := cdp.Call(ctx, s, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
					Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
				})
				return err
			}))
			holds(backgroundIs + background)
			holds(`document.documentElement.scrollWidth <= innerWidth`)
			for _, plot := range []string{"percentiles", "latency", "connections", "rates", "memory", "cpu"} {
				figure := `document.querySelectorAll('[data-plot="` + plot + `"] svg')`
				holds(figure + `.length === 2`)
				holds(`[...` + figure + `].every((svg) => svg.getBoundingClientRect().width > 280 && svg.querySelectorAll("path").length > 3)`)
				// A line in the page's colour, not the stand-in of the drawing.
				holds(`[...` + figure + `].every((svg) => [...svg.querySelectorAll("path")].some((p) =>
					getComputedStyle(p).stroke === "` + map[string]string{"light": "rgb(11, 98, 196)", "dark": "rgb(108, 176, 255)"}[scheme] + `"))`)
			}
		}
	}
	holds(`performance.getEntriesByType("resource").length === 0`) // nothing but the page itself
	holds(`document.scripts.length === 0`)                         // a flag's value is text
	holds(`faults.length === 0`)
}

// startBrowser starts chromium with a profile of its own, removed at the end. It
// skips the test where there is none, unless ROOST_REQUIRE_BROWSER=1 makes that a failure.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("ROOST_REQUIRE_BROWSER") == "1" {
			t.Fatalf("ROOST_REQUIRE_BROWSER=1, but %v", err)
		}
		t.Skipf("no chromium to look at the page with: %v", err)
	}
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), // small in containers
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND"),
	)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Log("closing chromium:", err)
		}
		cancel()
		cancelAlloc()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting %s: %v", path, err)
	}
	return ctx
}
