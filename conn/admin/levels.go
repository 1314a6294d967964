//go:build linux

package admin

// level is how much of something bounded is in use, which is the first thing to know
// of a server: whether it is near an end.
type level struct {
	Name  string  `json:"name"`
	Unit  string  `json:"unit"` // "", "bytes", or "share"
	Used  float64 `json:"used"`
	Limit float64 `json:"limit"`
	Of    string  `json:"of"` // what sets the limit
}

// levels are those that have a limit, which is never 0.
func (n *snapshot) levels(busy float64) []level {
	memory := level{"Memory", "bytes", float64(n.process.memory()), 0, "the machine or its control group"}
	if n.room > 0 {
		memory.Limit = memory.Used + n.room
	}
	if most := float64(n.settings.MaxMemory); most > 0 && (memory.Limit == 0 || most < memory.Limit) {
		memory.Limit, memory.Of = most, "--max-memory"
	}
	all := []level{
		{"Connections", "", float64(n.Open), float64(n.settings.MaxConns), "--max-conns"},
		{"Descriptors", "", float64(n.open), float64(n.process.descriptorLimit()), "ulimit -n, LimitNOFILE="},
		memory,
		{"Handshakes", "", float64(n.Handshaking), float64(n.settings.MaxHandshakes), "--max-handshakes"},
		{"Write queues", "bytes", float64(n.WriteQueued), float64(n.settings.WriteQueueTotal), "--write-queue-total"},
		{"Read buffers", "bytes", float64(n.ReadKept), float64(n.settings.ReadBufferTotal), "--read-buffer-total"},
		{"Broadcast queue", "", float64(n.Hub.Waiting), float64(n.settings.BroadcastQueueFrames), "--broadcast-queue-frames"},
		{"Waits for NATS", "bytes", float64(n.Cluster.QueuedBytes), float64(n.Cluster.QueueLimit), "--cluster-queue-bytes"},
		{"Busiest reactor", "share", busy, 1, "of its time"},
	}
	bounded := all[:0]
	for _, l := range all {
		if l.Limit > 0 {
			bounded = append(bounded, l)
		}
	}
	return bounded
}
