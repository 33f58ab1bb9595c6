package bench

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
)

// engineTime is what a script of integration/engines prints.
type engineTime struct {
	Seconds float64 `json:"seconds"` // of CPU
	Rows    int64   `json:"rows"`
}

// engineRun has another engine do the same.
func engineRun(b *testing.B, script string, args ...string) (t engineTime) {
	b.Helper()
	peer := exec.Command(filepath.FromSlash("../../.cache/python/engines/bin/python"), append([]string{filepath.FromSlash("../engines/" + script)}, args...)...)
	out, err := peer.Output()
	if err != nil {
		b.Fatalf("%v: %v: run integration/python.sh engines first", peer.Args, err)
	}
	check(b, json.Unmarshal(out, &t))
	return t
}
