//go:build linux && !race

package socket

import "testing"

// The race detector allocates on its own, so this file is left out under it.
func TestDataPathAllocatesNothing(t *testing.T) {
	a, b := pair(t)
	closing(t, a, b)
	buf := make([]byte, 64)
	bufs := [][]byte{[]byte("one"), nil, []byte("two")}
	for _, c := range []struct {
		name string
		run  func()
	}{
		{"Send and Recv", func() {
			if n, errno := Send(a, buf); n != len(buf) || errno != 0 {
				t.Fatal(n, errno)
			}
			if n, errno := Recv(b, buf); n != len(buf) || errno != 0 {
				t.Fatal(n, errno)
			}
		}},
		{"Writev and Recv", func() {
			if n, errno := Writev(a, bufs); n != 6 || errno != 0 {
				t.Fatal(n, errno)
			}
			if n, errno := Recv(b, buf); n != 6 || errno != 0 {
				t.Fatal(n, errno)
			}
		}},
		{"Recv with nothing there", func() {
			if _, errno := Recv(b, buf); errno != Again {
				t.Fatal(errno)
			}
		}},
	} {
		if n := testing.AllocsPerRun(100, c.run); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

func TestAcceptAllocatesNothing(t *testing.T) {
	const runs = 50
	lfd, err := Listen("127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, lfd)
	for range runs + 1 { // AllocsPerRun warms up with one more
		closing(t, dial(t, lfd))
	}
	if n := testing.AllocsPerRun(runs, func() {
		fd, errno := Accept(lfd)
		if errno != 0 {
			t.Fatal(errno)
		}
		Close(fd)
	}); n != 0 {
		t.Errorf("Accept and Close: %v allocations", n)
	}
}
