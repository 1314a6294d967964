// Package selftest proves that the load generator measures right, against a
// server whose delays are known because it is frozen for a known time: a
// process of our own that echoes, stopped with SIGSTOP and continued.
package selftest
