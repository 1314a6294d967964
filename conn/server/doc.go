// Package server composes the parts into a running server: listeners, reactors
// and workers (package poller), connections (package conn), the hub with its
// broadcasters (package conn/hub), and net/http for what is not a WebSocket.
//
// It knows the configuration, admission, deadlines, and how to start and stop. It
// does not know flags or files: package main in cmd/roost does, and so may any
// other program that embeds it with its own Handler:
//
//	srv, err := server.New(server.Config{Listen: []string{":8000"}, Handler: h})
//	err = srv.Start()
//	...
//	err = srv.Shutdown(ctx)
package server
