// Package browser helps to test pages in headless Chromium: it starts one that talks
// to 127.0.0.1 only, opens pages, waits for conditions in them, and takes pictures.
//
// It is for tests only, of any part of the module, and knows none of them.
package browser

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// patience bounds one wait for a condition in a page. It decides only how long a
// broken page takes to fail, and leaves room for a retry that a back-off has put off.
const patience = 60 * time.Second

// Start starts chromium with a profile of its own, removed at the end, and nothing
// that would make it talk to anyone but 127.0.0.1. It skips the test where none is
// installed, unless ROOST_REQUIRE_BROWSER=1 makes that a failure. The context is for
// chromedp, and for Open.
func Start(t testing.TB) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("ROOST_REQUIRE_BROWSER") == "1" {
			t.Fatalf("ROOST_REQUIRE_BROWSER=1, but %v", err)
		}
		t.Skipf("no chromium to run the page in: %v", err)
	}
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path),
		chromedp.Headless,
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("ignore-certificate-errors", true), // a test's are signed by nobody
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), // small in containers
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
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

// Tab is one page of the browser, and one person in front of it.
type Tab struct {
	T    testing.TB
	Name string // in messages
	Ctx  context.Context
}

// observe runs before the page's own script. It keeps what must not happen in faults.
const observe = `
	window.faults = [];
	for (const type of ["error", "unhandledrejection", "securitypolicyviolation"])
		addEventListener(type, (e) => faults.push(type + ": " + (e.message ?? e.reason ?? e.violatedDirective)), true);`

// Open opens url in a new tab of the browser that Start has started. The scripts
// run before the page's own; window.faults is a list of errors, rejections and
// violations of the page's policy.
func Open(t testing.TB, browser context.Context, name, url string, scripts ...string) Tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	p := Tab{t, name, ctx}
	for _, source := range append([]string{observe}, scripts...) {
		p.Do(chromedp.Func(func(ctx context.Context, s *chromedp.Target) error {
			_, err := cdp.Call(ctx, s, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: source})
			return err
		}))
	}
	p.Do(chromedp.Navigate(url))
	return p
}

// Do does something in the tab; an error fails the test.
func (p Tab) Do(action chromedp.Action[chromedp.Void]) {
	p.T.Helper()
	if err := chromedp.Do(p.Ctx, action); err != nil {
		p.T.Fatalf("%s: %v", p.Name, err)
	}
}

// Eval runs a script in the page.
func (p Tab) Eval(script string) {
	p.T.Helper()
	p.Do(chromedp.Evaluate[chromedp.Void](script))
}

// Wait returns when condition, a JavaScript expression, holds, which is looked at after
// every change of the page. (chromedp.Poll would need eval, which a page's policy may
// forbid.)
func (p Tab) Wait(condition string) {
	p.T.Helper()
	ctx, cancel := context.WithTimeout(p.Ctx, patience)
	defer cancel()
	err := chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](`new Promise((met) => {
		const look = () => { if (`+condition+`) { observer.disconnect(); removeEventListener("scroll", look, true); met(); } };
		const observer = new MutationObserver(look);
		observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
		addEventListener("scroll", look, true);
		look();
	})`, chromedp.EvalAwaitPromise))
	if err == nil {
		return
	}
	shown, _ := chromedp.Run(p.Ctx, chromedp.Evaluate[string](
		`[document.body.dataset.state, document.hidden ? "hidden" : "visible", ...faults, document.body.innerText.slice(-2000)].join("\n")`))
	p.T.Fatalf("%s: waiting for %s: %v\nthe page shows:\n%s", p.Name, condition, err, shown)
}

// Click clicks on the element that selector finds.
func (p Tab) Click(selector string) {
	p.T.Helper()
	p.Do(chromedp.Click(selector))
}

// Resize gives the page a size in pixels.
func (p Tab) Resize(width, height int64) {
	p.T.Helper()
	p.Do(chromedp.EmulateViewport(width, height))
}

// Scheme sets what the reader prefers, "light" or "dark".
func (p Tab) Scheme(scheme string) {
	p.T.Helper()
	p.Do(chromedp.Func(func(ctx context.Context, s *chromedp.Target) error {
		_, err := cdp.Call(ctx, s, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	}))
}

// Picture is what the page shows, as PNG: the visible part, or all of it.
func (p Tab) Picture(whole bool) []byte {
	p.T.Helper()
	shot := chromedp.CaptureScreenshot()
	if whole {
		shot = chromedp.FullScreenshot(100)
	}
	png, err := chromedp.Run(p.Ctx, shot)
	if err != nil {
		p.T.Fatalf("%s: a picture: %v", p.Name, err)
	}
	return png
}

// Keep saves a picture to the folder that ROOST_SCREENSHOTS names, or to the test's
// folder for artifacts, which `go test -artifacts` keeps.
func Keep(t testing.TB, name string, png []byte) {
	t.Helper()
	dir := os.Getenv("ROOST_SCREENSHOTS")
	if dir == "" {
		dir = t.ArtifactDir()
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600); err != nil {
		t.Fatal(err)
	}
}
