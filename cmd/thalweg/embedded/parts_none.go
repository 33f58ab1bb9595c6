//go:build nodev

package embedded

import (
	"errors"

	"github.com/thalweg/thalweg"
)

// Require says that this build, which is for images, lacks the embedded
// broker and S3 endpoint.
func Require(command string) error {
	return &thalweg.Error{Op: command, Kind: thalweg.Unsupported, Err: errors.New("this build has no embedded Kafka broker and S3 endpoint"),
		Hint: "use a thalweg that was built without the tag nodev"}
}

func newBroker(string, string) (Broker, error) { return nil, Require("start broker") }

func NewStore(string, Endpoints) (Store, error) { return nil, Require("start store") }
