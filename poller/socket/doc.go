// Package socket makes the system calls of roost: it opens, reads, writes,
// configures and closes stream sockets by descriptor number.
//
// It knows descriptors and errnos. It does not know who owns a descriptor, when
// it is ready (package poller) or what its bytes mean (package conn).
//
// Every descriptor it creates is non-blocking and close-on-exec. No function
// waits for the peer: those that cannot proceed return [Again].
//
// The functions on the data path (Recv, Send, Writev, Accept) use raw system
// calls, which skip the Go scheduler's hand-over around a system call. That is
// sound only because none of them can block, and it means that a loop over many
// of them must call runtime.Gosched now and then, or a goroutine that comes back
// from epoll_wait(2) finds no processor to run on.
package socket
