package scenario

import "time"

// Stage is a point of a run at which the agents meet.
type Stage string

// The stages, in order.
const (
	Opened  Stage = "opened"  // the connections stand, or have failed
	Settled Stage = "settled" // traffic begins when all are
	Sent    Stage = "sent"    // nothing more will be sent
	Drained Stage = "drained" // what was under way has come, or is given up
)

// Share is what one agent brings to a meeting.
type Share struct {
	Interrupted bool
	Open        int64    // Opened: connections
	Members     int64    // Opened: open connections in the room
	Publishers  []int    // Opened: by group, publishers in the room
	Sent        []uint32 // Sent: messages of each of them, group after group
}

// Meeting is what an agent gets from a meeting.
type Meeting struct {
	Shares []Share       // by agent
	Own    int           // index of the agent's own
	At     time.Duration // on the run's clock: when all were there
}

// interrupted tells whether any agent was.
func (m *Meeting) interrupted() bool {
	for _, s := range m.Shares {
		if s.Interrupted {
			return true
		}
	}
	return false
}

// open is the number of connections of all agents.
func (m *Meeting) open() (sum int64) {
	for _, s := range m.Shares {
		sum += s.Open
	}
	return sum
}

// Seat is an agent's place among the agents of a run.
type Seat interface {
	// Meet brings a share to the meeting of a stage and returns at once. release
	// is called once, by any goroutine, when every agent has brought one.
	Meet(stage Stage, share Share, release func(Meeting))
}
