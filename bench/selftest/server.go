package selftest

import (
	"fmt"
	"io"
	"net"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// Serve echoes on a loopback port, whose address it writes to out as a line,
// until in ends, as it does when the process that started this one ends.
func Serve(in io.Reader, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, l.Addr()); err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed below; out of descriptors, and the test says so
			}
			go echo(c)
		}
	}()
	_, err = io.Copy(io.Discard, in)
	_ = l.Close()
	return err
}

func echo(c net.Conn) {
	defer c.Close()
	if _, err := ws.Upgrade(c); err != nil {
		return
	}
	for {
		payload, op, err := wsutil.ReadClientData(c) // answers pings and close frames
		if err != nil || wsutil.WriteServerMessage(c, op, payload) != nil {
			return
		}
	}
}
