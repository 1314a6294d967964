//go:build linux

// Easygo serves with github.com/gobwas/ws and github.com/mailru/easygo/netpoll as
// the article "A Million WebSockets and Go" and its example do, and most who
// copied them: https://github.com/gobwas/ws-examples/tree/master/src/chat
//
// By design an idle connection costs two descriptors (netpoll duplicates it),
// both known to Go's own poller and one to netpoll's, a closure, and entries in
// netpoll's map and ours, but no goroutine and no buffer. With 20,000
// descriptors that is 9,990 connections. A pool of 128 goroutines shakes hands
// and reads, without bufio: a message is at least two reads. One goroutine
// writes the broadcasts, in the order they came, where the example schedules one
// task for each delivery and so may turn two of them around.
//
// Connections are one-shot: an event takes one message, then Resume arms the
// descriptor again. The example's edge-triggered ones would leave the second of
// two messages that arrive together lying.
//
// As in the example every write has a deadline, and a client that misses it is
// closed; 100 ms there is for a machine that is not under test, so it is
// peer.WriteTimeout here. Resume, however, puts the socket into blocking mode
// (https://github.com/mailru/easygo/issues/11): for a client that has sent
// something the deadline no longer counts, and if it stops reading it stops
// the writer. The recipe is left as it is.
package main

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/mailru/easygo/netpoll"

	"roost/bench/peers/internal/peer"
)

const poolSize = 128 // as in the example

func main() {
	ctx, address := peer.Start()
	poller, err := netpoll.New(nil)
	if err != nil {
		peer.Fail(err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		peer.Fail(err)
	}
	s := &server{
		poller: poller,
		pool:   newPool(poolSize),
		room:   room{users: make(map[*user]struct{}), out: make(chan []byte, 1)},
	}
	go s.room.write()
	go s.accept(l)
	peer.Ready(l.Addr().String())
	<-ctx.Done()
}

type server struct {
	poller netpoll.Poller
	pool   *pool
	room   room
}

// accept takes connections no faster than the pool takes handshakes.
func (s *server) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil { // out of descriptors, most likely; the example waits as long
			time.Sleep(5 * time.Millisecond)
			continue
		}
		s.pool.schedule(func() { s.open(conn) })
	}
}

func (s *server) open(conn net.Conn) {
	u := &user{conn: conn}
	_ = conn.SetDeadline(time.Now().Add(peer.HandshakeTimeout)) // an error shows in the upgrade
	upgrader := ws.Upgrader{OnRequest: func(uri []byte) error {
		switch string(uri) {
		case "/echo":
		case "/ws":
			u.room = &s.room
		default:
			return ws.RejectConnectionError(ws.RejectionStatus(404))
		}
		return nil
	}}
	if _, err := upgrader.Upgrade(conn); err != nil {
		conn.Close()
		return
	}
	_ = conn.SetDeadline(time.Time{})
	desc, err := netpoll.HandleReadOnce(conn)
	if err != nil { // out of descriptors, most likely
		conn.Close()
		return
	}
	u.desc = desc
	if u.room != nil {
		u.room.add(u)
	}
	u.polling.Lock()
	err = s.poller.Start(desc, func(event netpoll.Event) {
		if event&(netpoll.EventReadHup|netpoll.EventHup) != 0 {
			s.close(u)
			return
		}
		s.pool.schedule(func() { s.receive(u) })
	})
	u.polling.Unlock()
	if err != nil {
		s.close(u)
	}
}

func (s *server) receive(u *user) {
	if err := u.receive(); err != nil {
		s.close(u)
		return
	}
	u.polling.Lock()
	err := s.poller.Resume(u.desc)
	u.polling.Unlock()
	if err != nil {
		s.close(u)
	}
}

// close ends u; whoever has its event calls it.
func (s *server) close(u *user) {
	if u.room != nil {
		u.room.remove(u)
	}
	u.polling.Lock()
	defer u.polling.Unlock()
	_ = s.poller.Stop(u.desc) // fails only when it was not started
	u.desc.Close()            //nolint:errcheck // the connection ends either way
	u.conn.Close()
}

// user is a connection after the handshake.
type user struct {
	conn net.Conn
	room *room // nil on /echo

	polling sync.Mutex // held for every use of desc: Start still uses it when the first event comes
	desc    *netpoll.Desc

	writing sync.Mutex // held for a whole frame
}

// receive reads one message, or control frame, and handles it. It blocks until
// all of it has come.
func (u *user) receive() error {
	control := wsutil.ControlFrameHandler(u, ws.StateServerSide)
	r := wsutil.Reader{
		Source:         u.conn,
		State:          ws.StateServerSide,
		CheckUTF8:      true,
		MaxMessageSize: peer.MaxMessageBytes,
		OnIntermediate: control,
	}
	header, err := r.NextFrame()
	if err != nil {
		return err
	}
	if header.OpCode.IsControl() {
		return control(header, &r)
	}
	payload, err := io.ReadAll(&r)
	if err != nil {
		return err
	}
	frame, err := ws.CompileFrame(ws.NewFrame(header.OpCode, true, payload))
	if err != nil {
		return err
	}
	if u.room != nil {
		u.room.out <- frame
		return nil
	}
	_, err = u.Write(frame)
	return err
}

// Write writes one whole frame.
func (u *user) Write(frame []byte) (int, error) {
	u.writing.Lock()
	defer u.writing.Unlock()
	if err := u.conn.SetWriteDeadline(time.Now().Add(peer.WriteTimeout)); err != nil {
		return 0, err
	}
	return u.conn.Write(frame)
}

// room is the set of users on /ws.
type room struct {
	mu    sync.Mutex
	users map[*user]struct{}
	out   chan []byte // frames to write to all
}

func (r *room) add(u *user) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.users[u] = struct{}{}
}

func (r *room) remove(u *user) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.users, u)
}

func (r *room) write() {
	for frame := range r.out {
		r.mu.Lock()
		for u := range r.users {
			if _, err := u.Write(frame); err != nil && !errors.Is(err, net.ErrClosed) {
				// A shutdown, unlike a close, reaches the duplicate as well: the poller
				// reports it, and that closes both.
				u.shutDown()
			}
		}
		r.mu.Unlock()
	}
}

func (u *user) shutDown() {
	tcp := u.conn.(*net.TCPConn)
	_ = tcp.CloseWrite() // it may be gone
	_ = tcp.CloseRead()
}

// pool runs tasks in at most as many goroutines as it has room for; they are
// started when needed and stay.
type pool struct {
	room chan struct{}
	work chan func()
}

func newPool(size int) *pool {
	return &pool{room: make(chan struct{}, size), work: make(chan func())}
}

// schedule waits until a goroutine takes the task.
func (p *pool) schedule(task func()) {
	select {
	case p.work <- task:
		return
	default:
	}
	select {
	case p.work <- task:
	case p.room <- struct{}{}:
		go func() {
			for task := task; ; task = <-p.work {
				task()
			}
		}()
	}
}
