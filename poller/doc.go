// Package poller answers two questions for a large number of raw sockets: when
// is one ready, and which goroutine handles it?
//
// It knows descriptors, readiness and scheduling. It does not know WebSocket,
// never reads from or writes to a connection, and starts no goroutine per
// descriptor.
//
// A [Poller] runs several reactors. Each is one epoll instance of package
// netpoll (github.com/mailru/easygo) with one goroutine in epoll_wait(2). A
// connection embeds a [Registration]; [Poller.Register] adds its descriptor to
// one reactor, once, for both directions and edge-triggered. From then on an
// event takes this way:
//
//	epoll_wait -> Registration.dispatch -> Handler.Ready, in the reactor
//	                                    -> pool queue -> worker -> Handler.Ready
//
// # Scheduling
//
// An event is a hint. dispatch marks it in the registration's state word and takes
// hold of the registration unless it is queued or running already. So a registration
// is in the queue at most once, the queue is as long as there are connections at the
// most, calls of one handler never overlap, and an edge that arrives while somebody
// runs the handler makes it run once more.
//
// The pool has a fixed number of workers, and the reactors are the first of them: to
// wake a worker for every event would cost more than the handlers do. A reactor runs
// the handlers of a batch of events itself until that takes long; what is left of the
// batch it queues, as long as the queue is short, and the workers take it from there.
// When more than [Config.Help] wait it takes some back. So a handler must not block;
// with [Config.Blocking] reactors run none, and every ready connection wakes a worker
// of its own while one is idle.
//
// # Descriptors
//
// A descriptor has one owner, its Registration, and is closed once, in
// [Registration.Close], by the goroutine that holds the registration: the one
// whose Ready call is in progress. Everybody else asks for the close with
// [Registration.Call]. The descriptor leaves epoll before it is closed. A
// callback that the reactor had fetched before that may still run; it finds the
// state word closed and does nothing. When the number has been given to a new
// connection in the meantime, that one sees an event which is not its own: it
// costs a read that returns EAGAIN.
package poller
