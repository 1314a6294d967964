// Package auth decides who may connect, and what they may do then: by a signed token that
// the request carries, or by asking a back end about the request.
//
// It knows requests, keys and claims. It knows no connections: whoever has one asks, keeps
// the [Grant] and applies it. A [Verifier] answers at once, from keys in memory. A [Backend]
// answers later, so it must be asked from where nobody waits.
package auth
