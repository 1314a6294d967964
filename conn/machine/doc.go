// Package machine knows what a machine has, and what a connection takes of it:
// limits, memory, and the kernel's part of a socket by slab cache.
//
// It reads files of /proc and /sys only. It knows nothing of servers and
// connections that exist.
package machine
