package conn

// State is where a connection is in its life. It moves forward only.
type State uint8

const (
	// StateNew: accepted, not yet watched by the poller. No deadline applies.
	StateNew State = iota
	// StateHandshaking: the request head is incomplete. The handshake deadline applies,
	// counted from the accept.
	StateHandshaking
	// StateOpen: frames flow both ways.
	StateOpen
	// StateClosing: our last bytes, a close frame or an HTTP refusal, are queued or sent.
	// Nothing else will be sent, and what arrives is discarded until the peer
	// closes. The close deadline applies.
	StateClosing
	// StateFailed: the connection is of no more use and waits for a worker to end it.
	// No byte is read or written any more.
	StateFailed
	// StateHandedOff: the descriptor belongs to net/http. Terminal; does not become Closed.
	StateHandedOff
	// StateClosed: the descriptor is closed. Terminal.
	StateClosed
)

func (s State) String() string {
	switch s {
	case StateNew:
		return "new"
	case StateHandshaking:
		return "handshaking"
	case StateOpen:
		return "open"
	case StateClosing:
		return "closing"
	case StateFailed:
		return "failed"
	case StateHandedOff:
		return "handed-off"
	case StateClosed:
		return "closed"
	}
	return "unknown"
}

// Reason is why a connection ended. It decides nothing by itself: it indexes the
// counters, is the field in the log and the value given to OnClose.
type Reason uint8

const (
	// ReasonNone: the connection has not ended.
	ReasonNone Reason = iota
	// ReasonPeerClosed: the peer began the closing handshake.
	ReasonPeerClosed
	// ReasonPeerGone: the peer closed the stream without a close frame.
	ReasonPeerGone
	// ReasonPeerReset: a read or write failed, by a reset in most cases.
	ReasonPeerReset
	// ReasonPeerVanished: the kernel gave the peer up, because it acknowledged or took
	// nothing for too long (--tcp-user-timeout), or could not be reached.
	ReasonPeerVanished
	// ReasonApplication: Conn.Close was called.
	ReasonApplication
	// ReasonOperator: an operator closed this connection.
	ReasonOperator
	// ReasonPolicy: the peer sent a message, and the handler takes none, or none from it.
	ReasonPolicy
	// ReasonProtocolError: a frame broke RFC 6455.
	ReasonProtocolError
	// ReasonInvalidPayload: text or a close reason was not UTF-8, or a compressed message
	// could not be inflated.
	ReasonInvalidPayload
	// ReasonTooBig: a message exceeded the limit.
	ReasonTooBig
	// ReasonSlowConsumer: the outbound queue overflowed.
	ReasonSlowConsumer
	// ReasonWriteQueueTotal: all outbound queues together exceeded their bound, and
	// this was among the largest.
	ReasonWriteQueueTotal
	// ReasonReadBufferTotal: all incomplete messages together exceeded their bound,
	// and this was among the largest.
	ReasonReadBufferTotal
	// ReasonMaxMemory: the process needed more memory than it may have, and this was
	// among those with the longest outbound queues.
	ReasonMaxMemory
	// ReasonMessageRate: the peer sent more messages per second than it may (1008).
	ReasonMessageRate
	// ReasonHandlerPanic: a Handler method panicked.
	ReasonHandlerPanic
	// ReasonHandshakeRefused: the request was answered with an HTTP error.
	ReasonHandshakeRefused
	// ReasonUnauthorized: the request had no token that is good for it (401), or may not do
	// what it asked for (403).
	ReasonUnauthorized
	// ReasonAuthUnavailable: the back end could not be asked about the request (503).
	ReasonAuthUnavailable
	// ReasonHandshakeAbandoned: the peer left before its request was complete.
	ReasonHandshakeAbandoned
	// ReasonHandshakeTimeout: the request was not complete in time.
	ReasonHandshakeTimeout
	// ReasonOverloaded: the server was at its limit of connections (503).
	ReasonOverloaded
	// ReasonAcceptRatePerIP: too many connections per second came from this address (429).
	ReasonAcceptRatePerIP
	// ReasonMaxConnsPerIP: too many connections are open from this address (503).
	ReasonMaxConnsPerIP
	// ReasonHandshakeFlood: too many requests were incomplete at once, and this had
	// been for longest.
	ReasonHandshakeFlood
	// ReasonTokenExpired: what let the client in holds no longer (4401).
	ReasonTokenExpired
	// ReasonIdleTimeout: no message came from the peer for too long.
	ReasonIdleTimeout
	// ReasonPongTimeout: a ping was not answered.
	ReasonPongTimeout
	// ReasonShutdown: the server is stopping.
	ReasonShutdown
	// ReasonHandedOff: the descriptor went to net/http.
	ReasonHandedOff
	// ReasonRegisterFailed: the poller could not watch the descriptor (503).
	ReasonRegisterFailed
	// ReasonTLSPlaintext: a request came without TLS on a port for it (400).
	ReasonTLSPlaintext
	// ReasonTLSHandshake: the two sides could not agree in the TLS handshake, or the
	// peer's certificate was refused, or ours by the peer.
	ReasonTLSHandshake
	// ReasonTLSProtocol: a record broke the rules of TLS.
	ReasonTLSProtocol
	// ReasonTLSKeyUpdate: the peer has changed its keys, and the kernel cannot (1012).
	ReasonTLSKeyUpdate
	// ReasonTLSKernel: the kernel did not take over the TLS of the connection.
	ReasonTLSKernel

	// Reasons is not a reason: it ends a loop over all of them.
	Reasons
)

var reasonNames = [Reasons]string{
	ReasonNone:               "none",
	ReasonPeerClosed:         "peer-closed",
	ReasonPeerGone:           "peer-gone",
	ReasonPeerReset:          "peer-reset",
	ReasonPeerVanished:       "peer-vanished",
	ReasonApplication:        "application",
	ReasonOperator:           "operator",
	ReasonPolicy:             "policy",
	ReasonProtocolError:      "protocol-error",
	ReasonInvalidPayload:     "invalid-payload",
	ReasonTooBig:             "too-big",
	ReasonSlowConsumer:       "slow-consumer",
	ReasonWriteQueueTotal:    "write-queue-total",
	ReasonReadBufferTotal:    "read-buffer-total",
	ReasonMaxMemory:          "max-memory",
	ReasonMessageRate:        "message-rate",
	ReasonHandlerPanic:       "handler-panic",
	ReasonHandshakeRefused:   "handshake-refused",
	ReasonUnauthorized:       "unauthorized",
	ReasonAuthUnavailable:    "auth-unavailable",
	ReasonHandshakeAbandoned: "handshake-abandoned",
	ReasonHandshakeTimeout:   "handshake-timeout",
	ReasonOverloaded:         "overloaded",
	ReasonAcceptRatePerIP:    "accept-rate-per-ip",
	ReasonMaxConnsPerIP:      "max-conns-per-ip",
	ReasonHandshakeFlood:     "handshake-flood",
	ReasonTokenExpired:       "token-expired",
	ReasonIdleTimeout:        "idle-timeout",
	ReasonPongTimeout:        "pong-timeout",
	ReasonShutdown:           "shutdown",
	ReasonHandedOff:          "handed-off",
	ReasonRegisterFailed:     "register-failed",
	ReasonTLSPlaintext:       "tls-plaintext",
	ReasonTLSHandshake:       "tls-handshake",
	ReasonTLSProtocol:        "tls-protocol",
	ReasonTLSKeyUpdate:       "tls-key-update",
	ReasonTLSKernel:          "tls-kernel",
}

func (r Reason) String() string {
	if r < Reasons {
		return reasonNames[r]
	}
	return "unknown"
}
