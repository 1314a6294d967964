//go:build linux

package admin_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"math"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/gobwas/ws"

	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/conntest/browser"
	"roost/conn/frame"
	"roost/conn/server"
)

// TestDashboard looks at a server under load in a real browser, compares what is
// plotted with the metrics, and closes the connection that is slow.
func TestDashboard(t *testing.T) {
	chromium := browser.Start(t)
	r := start(t, server.Config{Handler: server.Echo(), UserTimeout: -1, PingInterval: -1, SlowConsumer: conn.Drop})
	const clients, leave = 200, 10
	crowd := newCrowd(t, r, clients)
	slow := conntest.DialNarrow(t, r.addr, "/ws", 4096) // reads nothing, until it is closed
	crowd.load.Go(func() {
		for range 200 { // until the server does not read it either
			if _, err := slow.Write(conntest.Frame(true, ws.OpText, string(make([]byte, 64<<10)))); err != nil {
				return
			}
		}
	})
	p := browser.Open(t, chromium, "operator", "http://"+r.admin.Addr()+"/")
	p.Resize(1100, 800)
	p.Scheme("light")
	p.Wait(`document.body.dataset.state === "ready"`)
	p.Wait(value("connections") + ` === "` + strconv.Itoa(clients+1) + `"`)
	p.Wait(value("deliveries") + ` > 0 && ` + value("messages") + ` > 0 && ` + value("fanout") + ` > 0 && ` + value("memory") + ` > 1e6`)
	p.Wait(value("density") + ` === "" && document.querySelector("figure[data-plot=density] .reading").textContent.includes("from 5,000 connections")`)
	// How full it is: descriptors are as the metrics have them, and nothing is near an end.
	p.Wait(fmt.Sprintf(`document.querySelector("#levels li[data-level=Descriptors] .of").textContent.replaceAll(",", "").endsWith(" of %.0f")`,
		r.values()["roost_descriptors_limit"]))
	p.Wait(`document.querySelector("#levels li[data-level='Write queues'] [role=meter]").getAttribute("aria-valuetext").includes(" of ")`)
	p.Wait(`document.querySelector("#levels li[data-level=Connections]") === null`) // without --max-conns
	p.Wait(`document.getElementById("about").textContent.endsWith(", 1 topic")`)
	if got := r.values()["roost_connections"]; got != clients+1 {
		t.Errorf("%v connections in the metrics", got)
	}
	// The slow one has a row of its own, and the only one.
	peer := slow.LocalAddr().String()
	p.Wait(`document.querySelectorAll("#conns tbody tr").length === 1 && document.querySelector("#conns tbody td").textContent === "` + peer + `"`)
	light := p.Picture(true)
	browser.Keep(t, "dashboard-light", light)
	drawn(t, light, 1100, [3]uint8{0x2f, 0x6f, 0x5e})

	// The keyboard reads a plot, and closes the slow connection.
	p.Eval(`document.querySelector("figure[data-plot=deliveries]").focus()`)
	p.Do(chromedp.KeyEvent("\u0302")) // arrow left
	p.Wait(`/ ago: [\d.,]+( k)?\/s$/.test(document.querySelector("figure[data-plot=deliveries] .reading").textContent)`)
	p.Eval(`document.querySelector("#conns tbody button").focus()`)
	p.Do(chromedp.KeyEvent("\r"))
	p.Wait(`document.getElementById("ask").open && document.getElementById("ask-text").textContent.includes("` + peer + `")`)
	p.Do(chromedp.KeyEvent("\t"))
	p.Do(chromedp.KeyEvent("\r"))
	p.Wait(`document.getElementById("conns-note").textContent.includes('is being closed with 1008 "closed by operator"')`)
	slow.Closed()
	_ = slow.Close()
	p.Wait(total("operator") + ` === "1"`)

	// When the load is over, what was plotted adds up to what was counted.
	crowd.leave(leave)
	// With what they have not read, some are gone and some have reset.
	p.Wait(`[...document.querySelectorAll("#closes tr[data-reason^=peer]")].reduce((sum, tr) => sum + Number(tr.dataset.total), 0) === ` + strconv.Itoa(leave))
	crowd.rest()
	p.Wait(value("deliveries") + ` === "0" && ` + value("messages") + ` === "0" && ` + value("closes") + ` === "0"`)
	p.Wait(value("connections") + ` === "` + strconv.Itoa(clients-leave) + `"`)
	counted := r.values()
	for plot, metric := range map[string]string{
		"deliveries": "roost_deliveries_total", "messages": "roost_messages_received_total",
	} {
		if area := plotted(t, p, plot).area(); math.Abs(area-counted[metric]) > counted[metric]/20 {
			t.Errorf("%s: plotted are %.0f in all, counted %.0f", plot, area, counted[metric])
		}
	}
	if now := plotted(t, p, "connections").last(); math.Abs(now-counted["roost_connections"]) > 0.5 {
		t.Errorf("the plot ends at %v connections, there are %v", now, counted["roost_connections"])
	}

	// A page that is opened anew shows what was before.
	points := len(plotted(t, p, "deliveries"))
	p.Do(chromedp.Reload())
	p.Wait(value("connections") + ` === "` + strconv.Itoa(clients-leave) + `"`)
	if again := len(plotted(t, p, "deliveries")); again < points {
		t.Errorf("%d samples after a reload, %d before", again, points)
	}

	// A phone in the dark.
	p.Resize(360, 640)
	p.Scheme("dark")
	p.Wait(`document.documentElement.scrollWidth <= innerWidth`)
	p.Wait(`[...document.querySelectorAll("#plots svg")].every((svg) => { const box = svg.getBoundingClientRect(); return box.width > 280 && [...svg.querySelectorAll("text")].every((text) => {
		const b = text.getBoundingClientRect(); return b.left >= box.left - 1 && b.right <= box.right + 1 && b.top >= box.top - 1 && b.bottom <= box.bottom + 1 }) })`)
	p.Eval(`document.getElementById("sort").value = "age"; document.getElementById("sort").dispatchEvent(new Event("change"))`)
	p.Wait(`document.querySelectorAll("#conns tbody tr").length === 20`)
	dark := p.Picture(true)
	browser.Keep(t, "dashboard-phone-dark", dark)
	drawn(t, dark, 360, [3]uint8{0x7c, 0xc4, 0xad})

	// The end is told: first that the server drains, then that nobody answers.
	_ = r.server.Close()
	p.Wait(`document.body.dataset.state === "not-ready" && document.getElementById("state").textContent === "Not ready: server is draining"`)
	p.Wait(`faults.length === 0`)
	_ = r.admin.Close()
	p.Wait(`document.body.dataset.state === "lost"`)
}

// TestDashboardWithToken needs no more than the browser's own prompt.
func TestDashboardWithToken(t *testing.T) {
	chromium := browser.Start(t)
	r := start(t, server.Config{Handler: server.Echo()}, withToken)
	c := conntest.Dial(t, r.addr, "/ws")
	// Answers the prompt. (A page whose own address has a password may not fetch.)
	p := browser.Open(t, chromium, "operator", "http://me:"+"a%20token%20of%2022%20letters."+"@"+r.admin.Addr()+"/metrics")
	p.Do(chromedp.Navigate("http://" + r.admin.Addr() + "/"))
	p.Wait(`document.body.dataset.state === "ready"`)
	p.Wait(value("connections") + ` === "1"`)
	p.Eval(`document.getElementById("sort").value = "age"; document.getElementById("sort").dispatchEvent(new Event("change"))`)
	p.Wait(`document.querySelectorAll("#conns tbody button").length === 1`)
	p.Eval(`document.querySelector("#conns tbody button").click(); document.querySelector("#ask button[value=close]").click()`)
	if code := c.Closed(); code != ws.StatusPolicyViolation {
		t.Errorf("closed with %d", code)
	}
	p.Wait(`faults.length === 0`)
}

// Conditions are JavaScript expressions.

func value(plot string) string {
	return `document.querySelector("figure[data-plot=` + plot + `]")?.dataset.value`
}

func total(reason string) string {
	return `document.querySelector("#closes tr[data-reason=` + reason + `]")?.dataset.total`
}

// curve is a line of a plot: seconds before now, and values, read from the drawing.
type curve []struct{ at, value float64 }

// plotted reads the first line of a plot from its path.
func plotted(t *testing.T, p browser.Tab, plot string) (c curve) {
	t.Helper()
	figure := `document.querySelector("figure[data-plot=` + plot + `]")`
	d, err := chromedp.Run(p.Ctx, chromedp.Evaluate[string](figure+`.querySelector("path.first").getAttribute("d")`))
	if err != nil {
		t.Fatal(err)
	}
	top, err := chromedp.Run(p.Ctx, chromedp.Evaluate[float64](`Number(`+figure+`.dataset.top)`))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`[ML]([\d.]+) ([\d.]+)`).FindAllStringSubmatch(d, -1) {
		x, err1 := strconv.ParseFloat(m[1], 64)
		y, err2 := strconv.ParseFloat(m[2], 64)
		if err1 != nil || err2 != nil {
			t.Fatalf("%s: path %q", plot, d)
		}
		// The axes of plot.js: 58 to 352 are ten minutes, 126 to 8 are 0 to the top.
		c = append(c, struct{ at, value float64 }{(352 - x) * 600 / 294, (126 - y) / 118 * top})
	}
	if len(c) < 2 {
		t.Fatalf("%s: %d points in %q", plot, len(c), d)
	}
	return c
}

// area is the sum of all seconds; the first sample is a second after the start.
func (c curve) area() (sum float64) {
	before := c[0].at + 1
	for _, s := range c {
		sum += s.value * (before - s.at)
		before = s.at
	}
	return sum
}

func (c curve) last() float64 { return c[len(c)-1].value }

// drawn looks for the colour of the plots in a picture.
func drawn(t *testing.T, picture []byte, width int, colour [3]uint8) {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	if got := img.Bounds().Dx(); got != width {
		t.Errorf("the picture is %d wide, want %d", got, width)
	}
	n := 0
	for y := range img.Bounds().Dy() {
		for x := range width {
			if is(img, x, y, colour) {
				n++
			}
		}
	}
	if n < 200 {
		t.Errorf("%d pixels of the picture have the plots' colour", n)
	}
}

func is(img image.Image, x, y int, colour [3]uint8) bool {
	r, g, b, _ := img.At(x, y).RGBA()
	return [3]uint8{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8)} == colour
}

// crowd is clients that read, some of which talk, while everybody is broadcast to.
type crowd struct {
	clients []*conntest.Client
	stop    context.CancelFunc
	load    sync.WaitGroup
	readers sync.WaitGroup
}

func newCrowd(t *testing.T, r *rig, n int) *crowd {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &crowd{stop: cancel}
	for range n {
		client := conntest.Dial(t, r.addr, "/ws")
		c.clients = append(c.clients, client)
		c.readers.Go(func() {
			for {
				if _, _, err := client.Next(); err != nil {
					return
				}
			}
		})
	}
	c.load.Go(func() {
		pace := time.NewTicker(20 * time.Millisecond)
		defer pace.Stop()
		f := frame.Prepare(frame.Binary, make([]byte, 4000))
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-pace.C:
				_ = r.server.Hub().BroadcastWait(ctx, f)
				_, _ = c.clients[n-1-i%20].Write(conntest.Frame(true, ws.OpText, "hello"))
			}
		}
	})
	t.Cleanup(func() {
		c.rest()
		for _, client := range c.clients {
			_ = client.Close()
		}
		c.readers.Wait()
	})
	return c
}

// leave has the first n go, without a word.
func (c *crowd) leave(n int) {
	for _, client := range c.clients[:n] {
		_ = client.Close()
	}
}

// rest ends the load.
func (c *crowd) rest() {
	c.stop()
	c.load.Wait()
}
