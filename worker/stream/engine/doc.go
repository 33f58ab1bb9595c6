// Package engine takes the events of a partition to scored rows and dead letters
// with one version of a model, and publishes them under a claim of the commit log.
//
// What becomes of an event depends on that event and the version alone, and the
// bytes of a file on its claim, the version and the events: how events were
// fetched or batched changes nothing.
package engine
