package fleet

import (
	"roost/bench"
	"roost/bench/scenario"
)

// job is what a worker process is to do.
type job struct {
	Config bench.Config
	Spec   scenario.Spec
}

// command is what a worker is told, one JSON value after the other. One of the
// fields is set.
type command struct {
	Job     *job              `json:",omitempty"` // the first, and only once
	Release *scenario.Meeting `json:",omitempty"` // of the stage the worker waits at
	Stop    bool              `json:",omitempty"` // end early, in order
}

// news is what a worker tells, one JSON value after the other. One of the fields
// is set.
type news struct {
	Stage    scenario.Stage   `json:",omitempty"` // with Share: the worker waits there
	Share    *scenario.Share  `json:",omitempty"`
	Snapshot *bench.Snapshot  `json:",omitempty"`
	Report   *scenario.Report `json:",omitempty"` // the last
	Error    string           `json:",omitempty"` // the last
}
