//go:build linux

package socket

import (
	"bytes"
	"testing"
)

func TestWritev(t *testing.T) {
	many := make([][]byte, MaxIovecs+10)
	for i := range many {
		many[i] = []byte{byte(i)}
	}
	sparse := [][]byte{nil, []byte("a")}
	for range MaxIovecs {
		sparse = append(sparse, nil, []byte{})
	}
	sparse = append(sparse, []byte("b"))
	for _, c := range []struct {
		name string
		bufs [][]byte
		want []byte
	}{
		{"none", nil, nil},
		{"only empty ones", [][]byte{nil, {}}, nil},
		{"one", [][]byte{[]byte("one")}, []byte("one")},
		{"in order", [][]byte{[]byte("in "), []byte("or"), []byte("der")}, []byte("in order")},
		{"empty ones do not count", sparse, []byte("ab")},
		{"exactly as many as fit", many[:MaxIovecs], bytes.Join(many[:MaxIovecs], nil)},
		{"more than fit", many, bytes.Join(many[:MaxIovecs], nil)},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := pair(t)
			closing(t, a, b)
			n, errno := Writev(a, c.bufs)
			if n != len(c.want) || errno != 0 {
				t.Fatalf("writev: %d, %v; want %d bytes", n, errno, len(c.want))
			}
			got := make([]byte, 256)
			n, errno = Recv(b, got)
			if len(c.want) == 0 {
				if errno != Again {
					t.Errorf("recv: %d, %v; want EAGAIN", n, errno)
				}
				return
			}
			if !bytes.Equal(got[:n], c.want) {
				t.Errorf("the peer got %q, want %q", got[:n], c.want)
			}
		})
	}
}

// What the kernel took may end within any buffer.
func TestWritevTakesPart(t *testing.T) {
	server, client := loopback(t, "127.0.0.1:0")
	closing(t, server, client)
	bufs := make([][]byte, 32)
	for i := range bufs {
		bufs[i] = bytes.Repeat([]byte{byte(i + 1)}, 1<<20-i)
	}
	all := bytes.Join(bufs, nil)
	taken, errno := Writev(server, bufs)
	if errno != 0 || taken == 0 || taken == len(all) {
		t.Fatalf("writev of %d bytes: %d, %v; want a part", len(all), taken, errno)
	}
	got, buf := make([]byte, 0, taken), make([]byte, 64<<10)
	for len(got) < taken {
		n, errno := Recv(client, buf)
		if errno != 0 && errno != Again || errno == 0 && n == 0 {
			t.Fatalf("recv: %d, %v", n, errno)
		}
		got = append(got, buf[:n]...)
	}
	if !bytes.Equal(got, all[:taken]) {
		t.Error("the peer read something else than the part that was taken")
	}
}
