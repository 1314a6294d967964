package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

const (
	serverStartTime = 30 * time.Second
	serverStopTime  = 30 * time.Second
	// lookAgain is the pause between two attempts to reach the server.
	lookAgain = 50 * time.Millisecond
	// tailBytes is how much of the server's output is kept, to explain its end.
	tailBytes = 4 << 10
)

// server is the server that the run has started.
type server struct {
	cmd   *exec.Cmd
	tail  tail
	ended chan struct{} // closed when it has
	err   error         // of Wait, after ended
}

// startServer runs a shell command and waits until something accepts at address.
func startServer(ctx context.Context, command, address string) (*server, error) {
	if c, err := net.DialTimeout("tcp", address, time.Second); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("exec: something listens at %s already; stop it, or leave out --exec", address)
	}
	// exec, so that the process is the server and not a shell that waits for it.
	s := &server{cmd: exec.Command("sh", "-c", "exec "+command), ended: make(chan struct{})}
	s.cmd.Stdout, s.cmd.Stderr = &s.tail, &s.tail
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's Ctrl-C ends the run first
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("exec: %w", err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.ended)
	}()
	if err := s.reach(ctx, address); err != nil {
		s.stop()
		return nil, fmt.Errorf("exec: %q: %w\n%s", command, err, s.tail.String())
	}
	return s, nil
}

// reach waits until something accepts at address.
func (s *server) reach(ctx context.Context, address string) error {
	bounded, cancel := context.WithTimeout(ctx, serverStartTime)
	defer cancel()
	ticker := time.NewTicker(lookAgain)
	defer ticker.Stop()
	for {
		if c, err := new(net.Dialer).DialContext(bounded, "tcp", address); err == nil {
			return c.Close()
		}
		select {
		case <-s.ended:
			return errors.Join(errors.New("the server ended before it listened at "+address), s.err)
		case <-bounded.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("nothing listens at %s after %v", address, serverStartTime)
		case <-ticker.C:
		}
	}
}

func (s *server) pid() int { return s.cmd.Process.Pid }

// stop ends the server and all it has started: first with SIGTERM, after
// serverStopTime with SIGKILL.
func (s *server) stop() {
	group := -s.pid()
	_ = syscall.Kill(group, syscall.SIGTERM) // it may have ended
	select {
	case <-s.ended:
	case <-time.After(serverStopTime):
		_ = syscall.Kill(group, syscall.SIGKILL)
		<-s.ended
	}
}

// tail keeps the last of what is written. It may be used by any goroutine.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - tailBytes; over > 0 {
		t.text = t.text[:copy(t.text, t.text[over:])]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
