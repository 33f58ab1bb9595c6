package tablewriter

import (
	"fmt"

	"github.com/thalweg/thalweg/storage/table/delta"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// Source is a commit log whose slots go into the table.
type Source struct {
	Topic     string
	Partition int
	Replay    bool // the partition's replay log
}

// AppID is what the source's txn actions are called.
func (s Source) AppID() string {
	id := fmt.Sprintf("thalweg/%s/%d", s.Topic, s.Partition)
	if s.Replay {
		id += "/replay"
	}
	return id
}

func (s Source) String() string { return s.AppID() }

// slot is what a finished slot means to the table.
type slot struct {
	seq         uint64
	objects     []commitlog.Object // scored
	partitionBy string
	timeMS      int64 // when it was scored
	rows        int64
	inputs      []uint64 // of a compaction: the slots whose objects these replace
}

// slotOf returns what a log's entry means to the table.
func slotOf(e commitlog.Entry) slot {
	s := slot{seq: e.Intent.Seq, partitionBy: e.Intent.PartitionBy, timeMS: e.Intent.ScoredAtUS / 1000, inputs: e.Done.Inputs}
	for _, o := range e.Done.Objects {
		if o.Kind == commitlog.Scored {
			s.objects = append(s.objects, o)
			s.rows += o.Rows
		}
	}
	return s
}

// file is an object of rows as its footer describes it.
type file struct {
	schema delta.Schema
	stats  string // the protocol's, as JSON
}

// found is what an inspection learned of an object: a file, or why not.
type found struct {
	file *file
	err  error // that concerns the object alone: it is missing, or damaged
}

// event is what the machine is told: one of the types below.
type event any

type (
	// tableOpened answers openTable.
	tableOpened struct {
		snapshot *delta.Snapshot
		err      error
	}
	// slotsRead answers readSlots: the next finished slots of a source, and whether
	// there was no further one.
	slotsRead struct {
		source Source
		slots  []slot
		end    bool
		err    error
	}
	// inspected answers inspect.
	inspected struct {
		objects map[string]found        // by key
		inputs  map[Source][]*delta.Add // live files of the slots asked for
		err     error
	}
	// committed answers commit: the version is ours, or the winner's.
	committed struct {
		won    bool
		winner *delta.Commit
		err    error
	}
	// caughtUp answers catchUp.
	caughtUp struct {
		snapshot *delta.Snapshot
		err      error
	}
	// checkpointed answers checkpoint.
	checkpointed struct {
		snapshot *delta.Snapshot
		err      error
	}

	// sourceAdded and sourceRemoved say which logs to follow.
	sourceAdded   struct{ source Source }
	sourceRemoved struct{ source Source }
	// slotFinished says that all slots of a source below next are finished.
	slotFinished struct {
		source Source
		next   uint64
	}
)

// effect is what the machine wants done, one at a time: one of the types below.
type effect any

type (
	// openTable reads the newest snapshot of the table.
	openTable struct{}
	// readSlots reads finished slots of a source, at most max.
	readSlots struct {
		source Source
		from   uint64
		max    int
	}
	// inspect reads footers of objects, and finds the live files of slots.
	inspect struct {
		objects  []commitlog.Object
		inputs   map[Source]map[uint64]bool
		snapshot *delta.Snapshot
	}
	// commit tries to make the next version of the table.
	commit struct{ commit *delta.Commit }
	// catchUp reads the versions after the snapshot.
	catchUp struct{ snapshot *delta.Snapshot }
	// checkpoint writes a checkpoint of the snapshot.
	checkpoint struct {
		snapshot  *delta.Snapshot
		expiredMS int64 // tombstones older than this are left out
	}
)
