//go:build nodev

package main

import (
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
)

func TestABuildWithoutEmbeddedPartsSaysSo(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, command := range []string{"dev", "demo"} {
		if _, err := runLine(t, command); !thalweg.Is(err, thalweg.Unsupported) || !strings.Contains(err.Error(), "nodev") {
			t.Errorf("%s: %v", command, err)
		}
	}
}
