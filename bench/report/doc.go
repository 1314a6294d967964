// Package report presents what bench measured: a bench.Plan and a bench.Result
// when a run has just ended (Plan, Text, JSON), recordings at any later time
// (Write, in each Format), several runs of each side against another (Compare),
// and of several scenarios in one table (Matrix). It knows how to say, draw and
// compare things, not how they were measured, and judges nothing: the verdict is
// in the result.
package report
