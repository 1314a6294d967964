//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// patience bounds one wait for a condition in the page. It decides only how
// long a broken page takes to fail, and leaves room for a retry that the
// back-off has put off.
const patience = 60 * time.Second

// TestChatInBrowser lets two people chat in a real browser, through a restart
// of the server.
func TestChatInBrowser(t *testing.T) {
	chromium := findBrowser(t)
	bin := filepath.Join(t.TempDir(), "roost")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	addr := freeAddr(t)
	server := startServer(t, bin, addr)
	browser := startBrowser(t, chromium)
	ann, bob := openTab(t, browser, "ann", addr), openTab(t, browser, "bob", addr)

	ann.wait(connected)
	bob.wait(connected)
	ann.wait(text("#clients", "2 clients"))
	bob.wait(text("#clients", "2 clients"))

	const markup, emoji = `<b>markup</b> & <img src=x onerror="fault">`, "¡hola! 🐦‍⬛ 👩🏽‍💻 \n  second line"
	ann.typeIn(markup)
	ann.pressEnter()
	ann.wait(lastMessage(markup))
	bob.wait(lastMessage(markup))
	bob.typeIn(emoji)
	bob.click("#send")
	ann.wait(lastMessage(emoji))
	bob.wait(lastMessage(emoji))
	ann.wait(`document.querySelectorAll("#log b, #log img").length === 0`)
	ann.shoot("desktop-light", 1100, 720, false)

	// Nobody connected: the state says so, and a draft survives.
	server.stop()
	ann.wait(`document.body.dataset.state === "reconnecting"`)
	bob.wait(`document.body.dataset.state === "reconnecting"`)
	const draft = "written while the server was away"
	ann.typeIn(draft)
	ann.pressEnter()
	ann.wait(`document.getElementById("send").disabled`)
	ann.wait(`document.getElementById("draft").value === "` + draft + `"`)
	ann.shoot("phone-reconnecting", 360, 640, false)

	// Both come back by themselves.
	server = startServer(t, bin, addr)
	ann.wait(connected)
	bob.wait(connected)
	ann.click("#send")
	ann.wait(lastMessage(draft))
	bob.wait(lastMessage(draft))
	bob.typeIn("welcome back")
	bob.pressEnter()
	ann.wait(lastMessage("welcome back"))
	ann.wait(text("#clients", "2 clients"))

	ann.eval(`raw.send(new Uint8Array(40))`)
	bob.wait(`document.querySelector(".message:last-child").textContent.includes("binary, 40 bytes00 00 ")`)
	bob.shoot("desktop-dark", 1100, 720, true)

	ann.resize(360, 640)
	ann.typeIn(longWord)
	ann.pressEnter()
	ann.wait(lastMessage(longWord))
	ann.wait(`[document.documentElement, document.getElementById("log")].every((e) => e.scrollWidth <= e.clientWidth)`)
	ann.shoot("phone-dark", 360, 640, true)

	// A reader who scrolled up is left in peace; the list stays bounded.
	ann.eval(`for (let i = 0; i < 100; i++) raw.send("stream " + i)`)
	bob.wait(lastMessage("stream 99"))
	bob.eval(`const log = document.getElementById("log"); log.scrollTop = 0; log.dispatchEvent(new Event("scroll"))`)
	ann.eval(`for (let i = 0; i < 600; i++) raw.send("flood " + i)`)
	ann.wait(lastMessage("flood 599"))
	bob.wait(lastMessage("flood 599"))
	bob.wait(`document.querySelectorAll(".message").length === 500`)
	ann.wait(`(({scrollHeight, scrollTop, clientHeight}) => scrollHeight - scrollTop - clientHeight < 2)(document.getElementById("log"))`)
	bob.wait(`document.getElementById("log").scrollTop < 1000 && document.getElementById("unread").textContent.startsWith("600 new")`)
	bob.shoot("desktop-unread", 1100, 720, false)
	bob.click("#unread")
	bob.wait(`document.getElementById("unread").hidden`)

	// With a back-off of days, only the button and the browser's own event help.
	ann.eval(`Math.random = () => 1e6`)
	bob.eval(`Math.random = () => 1e6`)
	server.stop()
	ann.wait(`document.body.dataset.state === "reconnecting"`)
	bob.wait(`document.body.dataset.state === "reconnecting"`)
	startServer(t, bin, addr)
	ann.eval(`dispatchEvent(new Event("online"))`)
	bob.click("#retry")
	ann.wait(connected)
	bob.wait(connected + ` && document.activeElement.id === "draft"`)

	for _, who := range []tab{ann, bob} {
		who.wait(`faults.length === 0`)
	}
}

var longWord = string(bytes.Repeat([]byte("unbroken"), 60))

// Conditions are JavaScript expressions, true when met.

const connected = `document.body.dataset.state === "connected" && !document.getElementById("send").disabled`

func text(selector, want string) string {
	return fmt.Sprintf(`document.querySelector(%q)?.textContent === %q`, selector, want)
}

func lastMessage(want string) string { return text(".message:last-child .text", want) }

// tab is one page of the browser, and one person in front of it.
type tab struct {
	t    *testing.T
	name string
	ctx  context.Context
}

// observe runs before the page's own script. It keeps what must not happen in
// faults, and the page's newest WebSocket in raw.
const observe = `
	window.faults = [];
	for (const type of ["error", "unhandledrejection", "securitypolicyviolation"])
		addEventListener(type, (e) => faults.push(type + ": " + (e.message ?? e.reason ?? e.violatedDirective)), true);
	window.WebSocket = class extends WebSocket {
		constructor(...args) { super(...args); window.raw = this; }
	};`

func openTab(t *testing.T, browser context.Context, name, addr string) tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	p := tab{t, name, ctx}
	p.do(chromedp.Func(func(ctx context.Context, s *chromedp.Target) error {
		_, err := cdp.Call(ctx, s, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: observe})
		return err
	}))
	p.do(chromedp.Navigate("http://" + addr + "/"))
	return p
}

func (p tab) do(action chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, action); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}

func (p tab) eval(script string) {
	p.t.Helper()
	p.do(chromedp.Evaluate[chromedp.Void](script))
}

// wait returns when condition holds, which is looked at after every change of
// the page. (chromedp.Poll would need eval, which the page's policy forbids.)
func (p tab) wait(condition string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
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
	shown, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string](
		`[document.body.dataset.state, document.hidden ? "hidden" : "visible", ...faults, document.body.innerText.slice(-2000)].join("\n")`))
	p.t.Fatalf("%s: waiting for %s: %v\nthe page shows:\n%s", p.name, condition, err, shown)
}

func (p tab) click(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(selector))
}

// typeIn inserts text as a paste or an emoji keyboard would, line feeds included.
func (p tab) typeIn(s string) {
	p.t.Helper()
	p.do(chromedp.Focus("#draft"))
	p.do(chromedp.Func(func(ctx context.Context, s2 *chromedp.Target) error {
		_, err := cdp.Call(ctx, s2, input.InsertText, input.InsertTextParams{Text: s})
		return err
	}))
}

// pressEnter sends the key alone: chromedp's own Enter adds a character event,
// which a page that handled the key would not see from a keyboard.
func (p tab) pressEnter() {
	p.t.Helper()
	for _, event := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeRawKeyDown, input.DispatchKeyEventTypeKeyUp} {
		p.do(chromedp.Func(func(ctx context.Context, s *chromedp.Target) error {
			_, err := cdp.Call(ctx, s, input.DispatchKeyEvent, input.DispatchKeyEventParams{
				Type: event, Key: "Enter", Code: "Enter", WindowsVirtualKeyCode: 13, NativeVirtualKeyCode: 13,
			})
			return err
		}))
	}
}

func (p tab) resize(width, height int64) {
	p.t.Helper()
	p.do(chromedp.EmulateViewport(width, height))
}

// shoot saves a screenshot to the folder that ROOST_SCREENSHOTS names, if any.
func (p tab) shoot(name string, width, height int64, dark bool) {
	p.t.Helper()
	dir := os.Getenv("ROOST_SCREENSHOTS")
	if dir == "" {
		return
	}
	scheme := map[bool]string{false: "light", true: "dark"}[dark]
	p.resize(width, height)
	p.do(chromedp.Func(func(ctx context.Context, s *chromedp.Target) error {
		_, err := cdp.Call(ctx, s, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	}))
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// findBrowser skips the test where no chromium is installed, unless
// ROOST_REQUIRE_BROWSER=1 makes that a failure.
func findBrowser(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err == nil {
		return path
	}
	if os.Getenv("ROOST_REQUIRE_BROWSER") == "1" {
		t.Fatalf("ROOST_REQUIRE_BROWSER=1, but %v", err)
	}
	t.Skipf("no chromium to run the page in: %v", err)
	return ""
}

// startBrowser starts chromium with a profile of its own, removed at the end,
// and nothing that would make it talk to anyone but the server under test.
func startBrowser(t *testing.T, path string) context.Context {
	t.Helper()
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path),
		chromedp.Headless,
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true),
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

// freeAddr returns an address nobody listened on a moment ago. It is fixed up
// front, because the server comes back on the same one.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// process is a running roost.
type process struct {
	t   *testing.T
	cmd *exec.Cmd

	drained sync.WaitGroup // the goroutine that reads stderr
	stderr  bytes.Buffer   // owned by that goroutine until drained
}

// startServer returns when the server accepts connections. It tries after every
// line of the log, one of which says that the server is ready.
func startServer(t *testing.T, bin, addr string) *process {
	t.Helper()
	s := &process{t: t, cmd: exec.Command(bin, "--listen", addr)}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)

	lines := bufio.NewReader(io.TeeReader(stderr, &s.stderr))
	for {
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatalf("the server ended before it accepted on %s: %v\n%s", addr, err, s.stderr.String())
		}
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			break
		}
	}
	s.drained.Go(func() { _, _ = io.Copy(io.Discard, lines) })
	return s
}

// stop ends the server the way an operator does and expects a clean exit.
func (s *process) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	s.drained.Wait()
	if err := s.cmd.Wait(); err != nil {
		s.t.Fatalf("after SIGTERM: %v\n%s", err, s.stderr.String())
	}
}

func (s *process) kill() {
	if s.cmd.ProcessState != nil {
		return // stopped
	}
	_ = s.cmd.Process.Kill()
	s.drained.Wait()
	_ = s.cmd.Wait()
	if s.t.Failed() {
		s.t.Logf("the server's log:\n%s", s.stderr.String())
	}
}
