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
// # Topics
//
// A topic is a name with members; it exists while it has some. Every connection starts
// in the default topic, whose members are not listed anywhere: they are all slots but
// those in a bit set that a chunk of slots has once somebody there has asked for
// topics. So a connection in the default topic alone takes nothing more than its slot. In
// each shard the members of another topic are a dense list, and a membership takes about 50
// bytes. A fan-out walks the list in small steps without a lock in between: it keeps those
// it has visited before the others, also when somebody leaves, so nobody is missed or
// served twice. Who joins meanwhile is not visited: what goes out was published before.
//
// A message may go to several topics. It reaches everybody in one of them, once.
//
// # One order for everybody
//
// [Hub.Publish] enters a prepared frame into the FIFO of every shard with members, under
// one lock. Each shard has one broadcaster goroutine, which takes the next frame from its
// FIFO, and those behind it that go to the same topics, joins them into one buffer if
// there are several, and hands that to every open member. So the members of a topic
// see its frames in the same order, and a burst costs one system call per connection, not
// one per frame. A frame may overtake those for other topics, but none with which it has a
// topic in common. A lone frame never waits for company.
//
// # What became of it
//
// A [Receipt] is told the fate of its message on each connection: when the kernel had its
// last byte, or why it never will. Connections tell it through the frames they share, so it
// costs nothing where nobody asks.
//
// # Backpressure
//
// The FIFOs are bounded. When one is full the publishers are slowed down, and
// nothing is dropped: connections stop being read ([Hub.Admit]), other goroutines
// wait in [Hub.PublishWait]. No broadcaster ever waits for a connection: what a
// socket does not take enters that connection's own bounded queue.
package hub
