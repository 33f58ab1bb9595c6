package process

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/worker/stream/budget"
)

// RuntimeBytes is what a worker's heap may hold besides what its streams do before
// the collector runs all the time: models, garbage, and an event that is larger
// than it should be.
const RuntimeBytes = 112 << 20

// minStreamBytes is the least that streams can work with.
const minStreamBytes = 8 << 20

// StreamMemory returns the memory of the streams of this process, of which the
// heap may hold so much more.
func StreamMemory(bytes, more int64) (*budget.Memory, error) {
	if bytes < minStreamBytes {
		return nil, terminal.UsageError("--stream-bytes", strconv.FormatInt(bytes, 10), fmt.Sprintf("at least %d, 8 MiB", minStreamBytes))
	}
	m := budget.NewMemory(bytes, runtime.GOMAXPROCS(0))
	if os.Getenv("GOMEMLIMIT") == "" {
		m.SetSoftLimit(bytes + more)
	}
	return m, nil
}
