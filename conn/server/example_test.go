//go:build linux

package server_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"roost/conn"
	"roost/conn/frame"
	"roost/conn/handshake"
	"roost/conn/hub"
	"roost/conn/server"
)

// lobby greets who comes, passes messages on to everybody, and says who left.
type lobby struct {
	hub *hub.Hub
}

// Attach is called once, by Start: see server.Attacher.
func (l *lobby) Attach(h *hub.Hub) { l.hub = h }

func (l *lobby) OnOpen(c *conn.Conn, r *handshake.Request) {
	c.SetData(string(r.Query)) // r is gone after OnOpen: keep a copy
	_ = c.Write(frame.Text, []byte("welcome"))
}

func (l *lobby) OnMessage(c *conn.Conn, op frame.Opcode, payload []byte) {
	// Encoded once, shared by all; payload need not be kept.
	_ = l.hub.Broadcast(frame.Prepare(op, payload))
}

func (l *lobby) OnClose(c *conn.Conn, info conn.CloseInfo) {
	fmt.Printf("%v left: %v, code %d\n", c.Data(), info.Reason, info.Code)
}

// A server with a handler of its own, embedded in another program.
func Example() {
	srv, err := server.New(server.Config{
		Listen:  []string{"127.0.0.1:0"},
		Handler: &lobby{},
		Log:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := srv.Start(); err != nil {
		fmt.Println(err)
		return
	}

	client, err := dial(fmt.Sprintf("ws://%v/ws?name=ada", srv.Addrs()[0]))
	if err != nil {
		fmt.Println(err)
		return
	}
	say := func(text string) { _ = wsutil.WriteClientText(client, []byte(text)) }
	hear := func() {
		text, err := wsutil.ReadServerText(client)
		fmt.Println(string(text), err)
	}
	hear()
	say("hello, everybody")
	hear()
	// From anywhere else in the program:
	_ = srv.Hub().BroadcastWait(context.Background(), frame.Prepare(frame.Text, []byte("news from the back end")))
	hear()

	closeClient(client)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(srv.Shutdown(ctx))
	// Output:
	// welcome <nil>
	// hello, everybody <nil>
	// news from the back end <nil>
	// name=ada left: peer-closed, code 1000
	// <nil>
}

// Topics, from the program's side: a client asks for one in its URL, and the program learns
// how many a message has reached.
func ExampleServer_Hub() {
	srv, err := server.New(server.Config{
		Listen:  []string{"127.0.0.1:0"},
		Handler: server.Push(), // takes no messages from clients
		Log:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := srv.Start(); err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = srv.Close() }()
	phone, err := dial(fmt.Sprintf("ws://%v/ws?topic=football", srv.Addrs()[0]))
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, topic := range []string{"football", "chess"} {
		receipt := hub.NewReceipt() // for one message
		_, err := srv.Hub().PublishWait(ctx, hub.Message{
			Topics:  []string{topic},
			Key:     "score", // replaces an older one that waits for a slow client, with conn.Conflate
			Frame:   frame.Prepare(frame.Text, []byte("1:0")),
			Receipt: receipt,
		})
		report := receipt.Wait(ctx)
		fmt.Println(topic, err, report.Complete, report.Subscribers, report.Delivered)
	}
	text, err := wsutil.ReadServerText(phone)
	fmt.Println(string(text), err)
	closeClient(phone)
	// Output:
	// football <nil> true 1 1
	// chess <nil> true 0 0
	// 1:0 <nil>
}

// client is a blocking WebSocket client made of gobwas/ws.
type client struct {
	net.Conn
	br *bufio.Reader // may hold frames that came together with the handshake's answer
}

func (c client) Read(p []byte) (int, error) { return c.br.Read(p) }

func dial(url string) (client, error) {
	nc, br, _, err := ws.Dial(context.Background(), url)
	if err != nil {
		return client{}, err
	}
	if br == nil {
		br = bufio.NewReader(nc)
	}
	return client{nc, br}, nc.SetDeadline(time.Now().Add(10 * time.Second))
}

// closeClient is the closing handshake, seen from the client.
func closeClient(c client) {
	_ = ws.WriteFrame(c, ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))))
	_, _ = ws.ReadFrame(c)
	_ = c.Close()
}
