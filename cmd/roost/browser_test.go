//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"roost/conn/conntest"
	"roost/conn/conntest/browser"
)

// TestChatInBrowser lets two people chat in a real browser, through a restart
// of the server.
func TestChatInBrowser(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "roost")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	t.Run("plain", func(t *testing.T) { chatInBrowser(t, bin, "off", "") })
	t.Run("compressed", func(t *testing.T) {
		chatInBrowser(t, bin, "on", "permessage-deflate; server_no_context_takeover; client_no_context_takeover")
	})
}

// chatInBrowser runs the server with --compress. extensions are what the browser says has
// been agreed to.
func chatInBrowser(t *testing.T, bin, compress, extensions string) {
	t.Helper()
	chromium := browser.Start(t)
	addr := freeAddr(t)
	server := startServer(t, bin, addr, "--compress", compress, "--compress-min=16")
	ann, bob := openTab(t, chromium, "ann", addr), openTab(t, chromium, "bob", addr)

	ann.Wait(connected)
	bob.Wait(connected)
	ann.Wait(text("#clients", "2 clients"))
	bob.Wait(text("#clients", "2 clients"))
	bob.Wait(`raw.extensions === "` + extensions + `"`)

	const markup, emoji = `<b>markup</b> & <img src=x onerror="fault">`, "¡hola! 🐦‍⬛ 👩🏽‍💻 \n  second line"
	ann.typeIn(markup)
	ann.pressEnter()
	ann.Wait(lastMessage(markup))
	bob.Wait(lastMessage(markup))
	bob.typeIn(emoji)
	bob.Click("#send")
	ann.Wait(lastMessage(emoji))
	bob.Wait(lastMessage(emoji))
	ann.Wait(`document.querySelectorAll("#log b, #log img").length === 0`)
	ann.shoot("desktop-light", 1100, 720, false)

	// Nobody connected: the state says so, and a draft survives.
	server.stop()
	ann.Wait(`document.body.dataset.state === "reconnecting"`)
	bob.Wait(`document.body.dataset.state === "reconnecting"`)
	const draft = "written while the server was away"
	ann.typeIn(draft)
	ann.pressEnter()
	ann.Wait(`document.getElementById("send").disabled`)
	ann.Wait(`document.getElementById("draft").value === "` + draft + `"`)
	ann.shoot("phone-reconnecting", 360, 640, false)

	// Both come back by themselves.
	server = startServer(t, bin, addr, "--compress", compress, "--compress-min=16")
	ann.Wait(connected)
	bob.Wait(connected)
	ann.Click("#send")
	ann.Wait(lastMessage(draft))
	bob.Wait(lastMessage(draft))
	bob.typeIn("welcome back")
	bob.pressEnter()
	ann.Wait(lastMessage("welcome back"))
	ann.Wait(text("#clients", "2 clients"))

	ann.Eval(`raw.send(new Uint8Array(40))`)
	bob.Wait(`document.querySelector(".message:last-child").textContent.includes("binary, 40 bytes00 00 ")`)
	bob.shoot("desktop-dark", 1100, 720, true)

	ann.Resize(360, 640)
	ann.typeIn(longWord)
	ann.pressEnter()
	ann.Wait(lastMessage(longWord))
	ann.Wait(`[document.documentElement, document.getElementById("log")].every((e) => e.scrollWidth <= e.clientWidth)`)
	ann.shoot("phone-dark", 360, 640, true)

	// A reader who scrolled up is left in peace; the list stays bounded.
	ann.Eval(`for (let i = 0; i < 100; i++) raw.send("stream " + i)`)
	bob.Wait(lastMessage("stream 99"))
	bob.Eval(`const log = document.getElementById("log"); log.scrollTop = 0; log.dispatchEvent(new Event("scroll"))`)
	ann.Eval(`for (let i = 0; i < 600; i++) raw.send("flood " + i)`)
	ann.Wait(lastMessage("flood 599"))
	bob.Wait(lastMessage("flood 599"))
	bob.Wait(`document.querySelectorAll(".message").length === 500`)
	ann.Wait(`(({scrollHeight, scrollTop, clientHeight}) => scrollHeight - scrollTop - clientHeight < 2)(document.getElementById("log"))`)
	bob.Wait(`document.getElementById("log").scrollTop < 1000 && document.getElementById("unread").textContent.startsWith("600 new")`)
	bob.shoot("desktop-unread", 1100, 720, false)
	bob.Click("#unread")
	bob.Wait(`document.getElementById("unread").hidden`)

	// With a back-off of days, only the button and the browser's own event help.
	ann.Eval(`Math.random = () => 1e6`)
	bob.Eval(`Math.random = () => 1e6`)
	server.stop()
	ann.Wait(`document.body.dataset.state === "reconnecting"`)
	bob.Wait(`document.body.dataset.state === "reconnecting"`)
	startServer(t, bin, addr, "--compress", compress)
	ann.Eval(`dispatchEvent(new Event("online"))`)
	bob.Click("#retry")
	ann.Wait(connected)
	bob.Wait(connected + ` && document.activeElement.id === "draft"`)

	for _, who := range []tab{ann, bob} {
		who.Wait(`faults.length === 0`)
	}
}

// TestSecureChatInBrowser has one person chat over TLS with another who does not, both with
// compression.
func TestSecureChatInBrowser(t *testing.T) {
	chromium := browser.Start(t)
	bin := filepath.Join(t.TempDir(), "roost")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	cert, key := conntest.NewAuthority(t).IssueFiles("localhost")
	secure, plain := freeAddr(t), freeAddr(t)
	server := startWith(t, bin, secure, "--listen", plain+",tls:"+secure, "--tls-cert", cert, "--tls-key", key, "--compress=on", "--compress-min=1")
	ann := tab{browser.Open(t, chromium, "ann", "https://"+secure+"/", observe)}
	bob := openTab(t, chromium, "bob", plain)
	ann.Wait(connected + ` && raw.url.startsWith("wss:") && raw.extensions.includes("permessage-deflate")`)
	bob.Wait(connected)
	ann.typeIn("whispered")
	ann.pressEnter()
	bob.Wait(lastMessage("whispered"))
	bob.typeIn("said aloud")
	bob.pressEnter()
	ann.Wait(lastMessage("said aloud") + ` && faults.length === 0`)
	server.stop()
	ann.Wait(`document.body.dataset.state === "reconnecting"`)
}

var longWord = string(bytes.Repeat([]byte("unbroken"), 60))

// Conditions are JavaScript expressions, true when met.

const connected = `document.body.dataset.state === "connected" && !document.getElementById("send").disabled`

func text(selector, want string) string {
	return fmt.Sprintf(`document.querySelector(%q)?.textContent === %q`, selector, want)
}

func lastMessage(want string) string { return text(".message:last-child .text", want) }

// tab is one page of the browser, and one person in front of it.
type tab struct{ browser.Tab }

// observe keeps the page's newest WebSocket in raw.
const observe = `
	window.WebSocket = class extends WebSocket {
		constructor(...args) { super(...args); window.raw = this; }
	};`

func openTab(t *testing.T, chromium context.Context, name, addr string) tab {
	t.Helper()
	return tab{browser.Open(t, chromium, name, "http://"+addr+"/", observe)}
}

// typeIn inserts text as a paste or an emoji keyboard would, line feeds included.
func (p tab) typeIn(s string) {
	p.T.Helper()
	p.Do(chromedp.Focus("#draft"))
	p.Do(chromedp.Func(func(ctx context.Context, s2 *chromedp.Target) error {
		_, err := cdp.Call(ctx, s2, input.InsertText, input.InsertTextParams{Text: s})
		return err
	}))
}

// pressEnter sends the key alone: chromedp's own Enter adds a character event,
// which a page that handled the key would not see from a keyboard.
func (p tab) pressEnter() {
	p.T.Helper()
	for _, event := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeRawKeyDown, input.DispatchKeyEventTypeKeyUp} {
		p.Do(chromedp.Func(func(ctx context.Context, s *chromedp.Target) error {
			_, err := cdp.Call(ctx, s, input.DispatchKeyEvent, input.DispatchKeyEventParams{
				Type: event, Key: "Enter", Code: "Enter", WindowsVirtualKeyCode: 13, NativeVirtualKeyCode: 13,
			})
			return err
		}))
	}
}

// shoot keeps a picture, if somebody wants it.
func (p tab) shoot(name string, width, height int64, dark bool) {
	p.T.Helper()
	p.Resize(width, height)
	p.Scheme(map[bool]string{false: "light", true: "dark"}[dark])
	browser.Keep(p.T, name, p.Picture(false))
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
func startServer(t *testing.T, bin, addr string, flags ...string) *process {
	t.Helper()
	return startWith(t, bin, addr, append([]string{"--listen", addr}, flags...)...)
}

// startWith is startServer with flags, which have it listen on addr.
func startWith(t *testing.T, bin, addr string, flags ...string) *process {
	t.Helper()
	s := &process{t: t, cmd: exec.Command(bin, append(flags, "--admin=")...)}
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
