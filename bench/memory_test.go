package bench

import (
	"bufio"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"
)

func TestSizeOfConn(t *testing.T) {
	if size := unsafe.Sizeof(Conn{}); size > 40 {
		t.Errorf("a slot takes %d bytes, want 40 or less", size)
	}
}

// startServer starts this program as a server of its own, for ws or wss, and returns
// its URL.
func startServer(t *testing.T, scheme string) (url string) {
	t.Helper()
	server := exec.Command(os.Args[0])
	server.Env = append(os.Environ(), serverVariable+"="+scheme)
	server.Stderr = os.Stderr
	in, err1 := server.StdinPipe()
	out, err2 := server.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		server.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// heapOfClient is what is alive with so many open and idle connections.
func heapOfClient(t *testing.T, url string, conns int) int64 {
	t.Helper()
	d := newDriven(t, Config{URLs: []string{url}, Conns: conns, Handshakes: 32, TLS: TLS{Insecure: true}})
	d.handler = counting{new(int)}
	dialling := d.Dial(Dial{To: conns})
	d.until("dial", dialling.Done)
	if d.OpenCount() != conns {
		t.Fatalf("%d of %d open", d.OpenCount(), conns)
	}
	var m runtime.MemStats
	for range 2 { // what finalizers and pools hold goes with the second
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	d.Release()
	return int64(m.HeapAlloc)
}

// counting is a handler without memory of its own.
type counting struct{ opened *int }

func (c counting) Opened(*Conn)                               { *c.opened++ }
func (c counting) Message(*Conn, byte, []byte, time.Duration) {}
func (c counting) Pong(*Conn, []byte)                         {}
func (c counting) Ended(*Conn)                                {}

// TestMemoryPerConnection compares clients of one and of many connections, so
// that what a client has once does not count.
func TestMemoryPerConnection(t *testing.T) {
	t.Run("ws", func(t *testing.T) { memoryPerConnection(t, "ws", 5000, 150) })
	t.Run("wss", func(t *testing.T) { memoryPerConnection(t, "wss", 200, 10_000) })
}

func memoryPerConnection(t *testing.T, scheme string, conns int, most int64) {
	t.Helper()
	if limit, err := raiseDescriptorLimit(); err != nil || limit < conns+100 {
		t.Skipf("%d descriptors, error %v", limit, err)
	}
	url := startServer(t, scheme)
	var one, many int64
	// Each in a test of its own, whose end lets go of the client.
	t.Run("one", func(t *testing.T) { one = heapOfClient(t, url, 1) })
	t.Run("many", func(t *testing.T) { many = heapOfClient(t, url, conns) })
	each := (many - one) / int64(conns-1)
	t.Logf("%d bytes of heap per idle connection", each)
	if each > most {
		t.Errorf("%d bytes of heap per idle connection, want %d or less", each, most)
	}
}
