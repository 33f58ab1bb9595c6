package process

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/worker/stream/budget"
)

// RuntimeBytes is what a worker's heap may hold besides what its streams do before
// the collector runs all the time: models, garbage, and an event that is larger
// than it should be.
const RuntimeBytes = 112 << 20

// trainingBytes is what a heap may hold besides while runs train: batches, models, a bucket
// of rows that is sorted.
const trainingBytes = 70 << 20

// minStreamBytes is the least that streams can work with.
const minStreamBytes = 8 << 20

// StreamMemory returns the memory of the streams of this process, of which the
// heap may hold so much more, and while runs train as many rows as are cached.
func StreamMemory(bytes, more, cached int64) (*budget.Memory, error) {
	if bytes < minStreamBytes {
		return nil, terminal.UsageError("--stream-bytes", strconv.FormatInt(bytes, 10), fmt.Sprintf("at least %d, 8 MiB", minStreamBytes))
	}
	m := budget.NewMemory(bytes, runtime.GOMAXPROCS(0))
	if os.Getenv("GOMEMLIMIT") == "" {
		m.SetSoftLimit(bytes+more, bytes+more+cached+trainingBytes)
	}
	return m, nil
}

// minCachedBytes is the least of rows that a training keeps in memory without spilling all.
const minCachedBytes = 64 << 20

// CacheBytes returns how many bytes of training rows this process keeps, which are wanted, of
// memory bytes that it may use (0: not known) beside its streams: fewer, unless somebody asked
// for them, where it would be killed for want of memory while it trains.
func CacheBytes(wanted int64, asked bool, streams, memory int64) (int64, error) {
	if limit := debug.SetMemoryLimit(-1); memory <= 0 || limit < memory {
		memory = limit
	}
	room := memory - streams - RuntimeBytes - trainingBytes
	switch {
	case wanted <= room:
		return wanted, nil
	case room < minCachedBytes:
		return 0, terminal.UsageError("--stream-bytes", strconv.FormatInt(streams, 10), fmt.Sprintf("less: the process may use %s of memory, and needs %s besides for training", humanize.IBytes(uint64(memory)), humanize.IBytes(RuntimeBytes+trainingBytes+minCachedBytes)))
	case asked:
		return 0, terminal.UsageError("--cache-bytes", strconv.FormatInt(wanted, 10), fmt.Sprintf("at most %d: the process may use %s of memory, its container's, the machine's or GOMEMLIMIT", room, humanize.IBytes(uint64(memory))))
	}
	return room, nil
}

// The files of Linux that say how much memory there is.
const (
	meminfo   = "/proc/meminfo"
	cgroupMax = "/sys/fs/cgroup/memory.max"
)

// MemoryBytes returns how much memory this process may use: what its container is given,
// or else what the machine has; 0 where neither can be told.
func MemoryBytes() int64 {
	limit, _ := os.ReadFile(cgroupMax)
	total, _ := os.ReadFile(meminfo)
	return memoryOf(string(limit), string(total))
}

// memoryOf reads the texts of cgroupMax and meminfo.
func memoryOf(limit, total string) int64 {
	var machine int64
	for line := range strings.Lines(total) {
		if n, _ := fmt.Sscanf(line, "MemTotal: %d kB", &machine); n == 1 {
			machine <<= 10
			break
		}
	}
	own, err := strconv.ParseInt(strings.TrimSpace(limit), 10, 64) // max: none
	if err != nil || own <= 0 || machine > 0 && own > machine {
		return machine
	}
	return own
}
