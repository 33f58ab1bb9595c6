// Package scorer turns the events of one topic partition into scored rows in a
// bucket, each exactly once.
//
// A Scorer reads its partition from a connectors.Source, decodes and cleans
// events, predicts with the newest model version that its Models offer, and
// commits files of rows and of dead letters through a worker/stream/commitlog. A
// state machine without clock or I/O decides what to do next; the runner around
// it carries out effects and feeds back events. DESIGN.md draws the machine and
// says what is promised.
package scorer
