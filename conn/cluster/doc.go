// Package cluster joins the nodes of a fleet: what is published on one reaches the
// subscribers of all, over NATS. It knows which topics this node has members for and
// what waits to be sent and to be delivered. It does not know connections or the hub:
// [Local] is the node as it sees it. Nobody else knows of NATS.
//
// # Subjects
//
// A fleet has a name, so that several can share one NATS:
//
//	roost.NAME.t.TOPIC   messages for a topic; a '.' in its name is written '!'
//	roost.NAME.node      each node announces itself once a second
//	roost.NAME.presence  requests for the number of members of topics
//	roost.NAME.answer.*  answers to them; those who ask make up the rest
//
// A node subscribes to the topics that it has members for. The first member makes it
// subscribe at once, and a second after the last has left it unsubscribes, so that a topic
// that flaps costs NATS nothing.
//
// # Messages
//
// A message on a topic's subject is a version, flags, what the flags say, and the
// payload as clients get it. Numbers are big-endian.
//
//	1 byte   version, 1
//	1 byte   low half: 1 for text (must be UTF-8), 2 for binary, as in RFC 6455 section 5.2;
//	         high half: flags
//	flag 16  8 bytes that name the node and 8 bytes with the number of the message, from 1
//	flag 32  1 byte with the number of topics, then each as 1 byte of length and the name
//	flag 64  1 byte of length and the key: the message replaces an earlier one with this key
//	the rest payload
//
// Other programs publish without a node, and mostly without more than the two bytes:
//
//	printf '\001\001hello' | nats pub --force-stdin roost.roost.t.all
//
// Whatever does not look like this is dropped and counted.
//
// # Once, and in order
//
// A message for several topics is sent to the subject of each, with the list of them and
// one number. A node that subscribes to more than one takes the copy that comes first, for
// the members of all topics in the list. It recognises the others by their number: from
// each node it takes numbers that grow only. That decides by itself, whatever is
// subscribed to or not in between. NATS keeps the order of what one connection has sent over
// all subjects, so nothing that comes for the first time is mistaken for a copy.
//
// # When NATS is away
//
// Each connection is made anew; the client library's own reconnecting is switched off,
// because only then it is certain which message went over which connection. What has been
// sent is kept until NATS has answered a ping behind it, and a second longer, in which NATS
// passes it on. What is kept is sent again after a
// reconnect, before anything newer, and is recognised by who has it already. A
// node that comes back also waits for those it knew before, 3 seconds at most, because what
// NATS gets while they are away is lost to them.
//
// All that waits and all that is kept is bounded, and beyond the bound the oldest goes: what
// is new is worth more to subscribers. It counts as lost unless NATS had it. There are two
// losses that nobody can count: what a node misses while it alone is cut off from NATS, and what
// a NATS that is killed has kept for more than a second from a node that reads too slowly. That a
// connection ended is logged and counted.
//
// Nothing here blocks those who publish, join and leave. What comes from NATS is delivered
// in order to a hub that may make it wait; what does not fit in the meantime is lost, the oldest
// first, and counted. The connection to NATS is read all the time.
package cluster
