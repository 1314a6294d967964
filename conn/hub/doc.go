// Package hub is the set of a server's connections, and the broadcaster that
// reaches all of them.
//
// It knows who is connected and in what order frames were published. It does not
// know how a connection writes (package conn) or where messages come from.
//
// # Slots
//
// Connections are spread over shards. In its shard a connection has one slot from
// Join to Leave. Because a slot never moves, the broadcaster can walk the slots in
// small steps without a lock in between: joins and leaves go on during a walk,
// and still no connection is missed or served twice.
//
// # One order for everybody
//
// [Hub.Broadcast] enters a prepared frame into the FIFO of every shard under one
// lock. Each shard has one broadcaster goroutine, which takes what waits in its
// FIFO, joins it into one buffer if it is more than one frame, and hands that to
// every open connection of the shard. So every connection sees all frames in the
// same order, and a burst costs one system call per connection, not one per frame.
// A lone frame never waits for company.
//
// # Backpressure
//
// The FIFOs are bounded. When one is full the publishers are slowed down, and
// nothing is dropped: connections stop being read ([Hub.Admit]), other goroutines
// wait in [Hub.BroadcastWait]. No broadcaster ever waits for a connection: what a
// socket does not take enters that connection's own bounded queue.
package hub
