//go:build linux

package socket

import "testing"

func TestCookieIsOfOneSocket(t *testing.T) {
	a, b := loopback(t, "127.0.0.1:0")
	closing(t, a, b)
	one, err := Cookie(a)
	if err != nil || one == 0 {
		t.Fatal(one, err)
	}
	if again, _ := Cookie(a); again != one {
		t.Errorf("cookie %x became %x", one, again)
	}
	if other, _ := Cookie(b); other == one {
		t.Error("both ends have the same cookie")
	}
	if _, err := Cookie(-1); err == nil {
		t.Error("no error for a descriptor that is none")
	}
}

func TestInfo(t *testing.T) {
	a, b := loopback(t, "127.0.0.1:0")
	closing(t, a, b)
	fill := make([]byte, 64<<10)
	for {
		if _, errno := Send(a, fill); errno == Again {
			break
		} else if errno != 0 {
			t.Fatal(errno)
		}
	}
	info, err := Info(a)
	if err != nil || info.RTT <= 0 {
		t.Errorf("%+v, %v", info, err)
	}
	if info.Unacked == 0 && info.Unsent == 0 {
		t.Errorf("nothing waits behind a full buffer: %+v", info)
	}
	c, d := pair(t)
	closing(t, c, d)
	if _, err := Info(c); err == nil {
		t.Error("a unix socket has no TCP info")
	}
}
