//go:build nodev

package main

import (
	"errors"

	"github.com/thalweg/thalweg"
)

// requireDevParts says that this build, which is for images, lacks the embedded
// broker and S3 endpoint.
func requireDevParts(command string) error {
	return &thalweg.Error{Op: command, Kind: thalweg.Unsupported, Err: errors.New("this build has no embedded Kafka broker and S3 endpoint"),
		Hint: "use a thalweg that was built without the tag nodev"}
}

func newDevBroker(string, string) (devBroker, error) { return nil, requireDevParts("start broker") }

func newDevStore(string, devEndpoints) (devStore, error) { return nil, requireDevParts("start store") }
