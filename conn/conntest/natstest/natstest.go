// Package natstest runs a nats-server inside a test. It is apart from package conntest, so that tests
// without one do not carry it.
package natstest

import (
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Run starts a nats-server on a free port of this machine, for everybody unless change says otherwise. It
// is stopped with the test.
func Run(t testing.TB, change ...func(*server.Options)) *server.Server {
	t.Helper()
	options := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true}
	for _, c := range change {
		c(options)
	}
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { Stop(s) })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("nats-server does not come up")
	}
	return s
}

// Stop ends it and waits for that. It may be called twice.
func Stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// Port is where a server listens, before it is stopped.
func Port(s *server.Server) int { return s.Addr().(*net.TCPAddr).Port }

// On has a server listen on a port, as one that was stopped did.
func On(port int) func(*server.Options) {
	return func(o *server.Options) { o.Port = port }
}
