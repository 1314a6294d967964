// Package report writes a bench.Plan and a bench.Result for people (Text) and
// for programs (JSON). It knows how to say things, not how they were measured,
// and judges nothing: the verdict is in the result.
package report
