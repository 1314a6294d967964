//go:build linux

package server_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"roost/conn"
	"roost/conn/conntest"
	"roost/conn/frame"
	"roost/conn/hub"
	"roost/conn/server"
)

// TestMixedClientsShareOneOrder: clients with compression, in windows of different sizes,
// and without get all messages in the same order, and each of them has its receipt. What
// fits into all windows is compressed once, however many shards and clients there are.
func TestMixedClientsShareOneOrder(t *testing.T) {
	const clients, messages = 15, 400
	srv, addr := start(t, server.Config{Handler: server.Push(), Compress: true, Shards: 4})
	var all []*conntest.Client
	for i := range clients {
		switch i % 3 {
		case 0:
			all = append(all, conntest.Dial(t, addr, "/ws"))
		case 1:
			all = append(all, conntest.DialDeflate(t, addr, "/ws"))
		default:
			c := conntest.Connect(t, addr)
			c.Raw([]byte(conntest.Request(addr, "/ws", conntest.Offer+"; server_max_window_bits=10")))
			c.AcceptedDeflate()
			all = append(all, c)
		}
	}
	text := func(i int) string {
		return fmt.Sprintf("%d %s", i, strings.Repeat("something to say; ", []int{1, 10, 50}[i%3]))
	}
	ctx, cancel := context.WithTimeout(context.Background(), conntest.Patience)
	defer cancel()
	var receipts []*hub.Receipt
	for i := range messages {
		r := hub.NewReceipt()
		if _, err := srv.PublishWait(ctx, hub.Message{Frame: frame.Prepare(frame.Text, []byte(text(i))), Receipt: r}); err != nil {
			t.Fatal(err)
		}
		receipts = append(receipts, r)
	}
	for i := range messages {
		for _, c := range all {
			c.ExpectText(text(i))
		}
	}
	compressed := 0
	for i, r := range receipts {
		if got := r.Wait(ctx); !got.Complete || got.Delivered != clients {
			t.Fatalf("message %d: %+v", i, got)
		}
		if len(text(i)) >= 128 {
			compressed++
		}
	}
	for i, c := range all {
		want := compressed
		if i%3 == 0 {
			want = 0
		}
		if c.Deflated != want {
			t.Errorf("client %d got %d messages compressed, want %d", i, c.Deflated, want)
		}
	}
	if got := srv.Stats().CompressedOut.Messages; got != uint64(compressed) {
		t.Errorf("compressed %d times, want %d", got, compressed)
	}
}

// TestMixedClientsConflate: who is behind gets the latest value of each key, in its own form.
func TestMixedClientsConflate(t *testing.T) {
	srv, addr := start(t, server.Config{Handler: server.Push(), Compress: true, Shards: 1,
		SlowConsumer: conn.Conflate, WriteQueueFrames: 8, WriteQueueBytes: 64 << 20, BroadcastQueueBytes: 64 << 20})
	clients := map[bool]*conntest.Client{false: conntest.Dial(t, addr, "/ws"), true: conntest.DialDeflate(t, addr, "/ws")}
	wall := make([]byte, 16<<20) // more than the kernel takes, and no shorter compressed
	_, _ = rand.NewChaCha8([32]byte{}).Read(wall)
	ctx, cancel := context.WithTimeout(context.Background(), conntest.Patience)
	defer cancel()
	if _, err := srv.PublishWait(ctx, hub.Message{Frame: frame.Prepare(frame.Binary, wall)}); err != nil {
		t.Fatal(err)
	}
	value := func(key string, n int) string {
		return fmt.Sprintf("%s is %d, %s", key, n, strings.Repeat("more or less, ", 20))
	}
	const rounds = 60
	keys := []string{"a", "b", "c"}
	for n := range rounds {
		for _, key := range keys {
			if _, err := srv.PublishWait(ctx, hub.Message{Key: key, Frame: frame.Prepare(frame.Text, []byte(value(key, n)))}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := srv.Hub().Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if got, want := srv.Stats().Conflated, uint64(2*len(keys)*(rounds-1)); got != want {
		t.Errorf("%d were replaced, want %d", got, want)
	}
	for deflate, c := range clients {
		if op, p, err := c.Next(); err != nil || op != ws.OpBinary || len(p) != len(wall) {
			t.Fatalf("%v, %d bytes, %v", op, len(p), err)
		}
		for _, key := range keys {
			c.ExpectText(value(key, rounds-1))
		}
		if got, want := c.Deflated, map[bool]int{true: len(keys)}[deflate]; got != want {
			t.Errorf("compression %v: %d came compressed, want %d", deflate, got, want)
		}
	}
}

// What a client that does not read holds up, it holds up in one form: both are counted.
func TestCompressedQueuesAreCounted(t *testing.T) {
	srv, addr := start(t, server.Config{Handler: server.Push(), Compress: true, Shards: 1, WriteQueueBytes: -1, WriteQueueTotal: -1})
	for range 3 {
		conntest.DialDeflate(t, addr, "/ws")
	}
	conntest.Dial(t, addr, "/ws")
	wall := make([]byte, 16<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(wall[:8<<20]) // compresses to about a half
	ctx, cancel := context.WithTimeout(context.Background(), conntest.Patience)
	defer cancel()
	if _, err := srv.PublishWait(ctx, hub.Message{Frame: frame.Prepare(frame.Binary, wall)}); err != nil {
		t.Fatal(err)
	}
	if err := srv.Hub().Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if got := srv.Stats().WriteQueued; got < 24<<20 || got > 26<<20 {
		t.Errorf("%d bytes wait, want about 16 MiB plain and 8 MiB compressed", got)
	}
}
