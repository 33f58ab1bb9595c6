//go:build !nodev

package main

import (
	"github.com/thalweg/thalweg/connectors/devbroker"
	"github.com/thalweg/thalweg/storage/devserver"
)

// requireDevParts reports whether this build has the embedded parts: it has.
func requireDevParts(string) error { return nil }

// newDevBroker returns the embedded broker, which keeps its topics in dir.
func newDevBroker(dir, address string) (devBroker, error) {
	return devbroker.New(dir, devbroker.Config{Address: address})
}

// newDevStore returns the S3 endpoint over dir; Unsupported where the file
// system has no user xattrs.
func newDevStore(dir string, e devEndpoints) (devStore, error) {
	return devserver.New(devserver.Config{Dir: dir, Address: e.S3, AccessKey: e.AccessKey, SecretKey: e.SecretKey})
}
