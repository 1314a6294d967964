package secure

// Bell wakes one goroutine. Nil is one that nobody hears.
type Bell chan struct{}

// NewBell is a bell that has not rung.
func NewBell() Bell { return make(Bell, 1) }

// Ring does not wait: a bell that rings already will do.
func (b Bell) Ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// Wait returns when the bell rings, or has rung since the call before.
func (b Bell) Wait() { <-b }
