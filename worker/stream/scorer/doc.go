// Package scorer turns the events of one topic partition into scored rows in a
// bucket, each exactly once.
//
// A Scorer reads its partition from a connectors.Source, decodes and cleans
// events, predicts with the newest model version that its Models offer, and
// commits files of rows and of dead letters through a worker/stream/commitlog. What
// to do next is decided by a state machine without clock or I/O; the Scorer
// around it does what the machine wants and tells it what came of it.
// DESIGN.md draws the machine and says what is promised.
package scorer
