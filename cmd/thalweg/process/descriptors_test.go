package process

import (
	"strings"
	"testing"
)

func TestTooFewDescriptorsAreNamedBeforeAnythingStarts(t *testing.T) {
	err := checkDescriptors("dev", 256)
	if err == nil || !strings.Contains(err.Error(), "256 open files") || !strings.Contains(err.Error(), "ulimit -Hn") {
		t.Errorf("256: %v", err)
	}
	if err := checkDescriptors("dev", minDescriptors); err != nil {
		t.Errorf("enough: %v", err)
	}
}
