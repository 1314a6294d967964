// Package conntest helps to test connections and servers: a raw client that can
// send anything, and checks that nothing leaks.
//
// It knows the wire format, on the client's side. It is for tests only and
// depends on no other package of the connection's side, so that a mistake there
// is not made here as well.
package conntest
