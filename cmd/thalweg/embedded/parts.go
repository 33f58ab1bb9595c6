//go:build !nodev

package embedded

import (
	"github.com/thalweg/thalweg/connectors/devbroker"
	"github.com/thalweg/thalweg/storage/devserver"
)

// Require reports whether this build has the embedded parts: it has.
func Require(string) error { return nil }

// newBroker returns the embedded broker, which keeps its topics in dir.
func newBroker(dir, address string) (Broker, error) {
	return devbroker.New(dir, devbroker.Config{Address: address})
}

// NewStore returns the S3 endpoint over dir; Unsupported where the file
// system has no user xattrs.
func NewStore(dir string, e Endpoints) (Store, error) {
	return devserver.New(devserver.Config{Dir: dir, Address: e.S3, AccessKey: e.AccessKey, SecretKey: e.SecretKey})
}
