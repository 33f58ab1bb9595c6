package scorer

import (
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/compact"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// instant is a moment as the shell saw it: periods are measured on a clock
// that never jumps, times that are written down come from the wall clock.
type instant struct {
	mono time.Duration // since an arbitrary beginning
	wall int64         // microseconds since 1970 UTC
}

// op is a kind of work that the machine has done by an effect and answered by
// an event. At most one of each kind is under way.
type op uint8

const (
	opOpen op = iota
	opStart
	opLoad
	opFetch
	opScore
	opClaim
	opPublish
	opDeliver
	opFinish
	opCommit
	opMerge
	opSweep
	nOps
)

var opNames = [nOps]string{"open log", "find start", "load model", "fetch", "score", "claim", "publish", "deliver", "finish", "commit offset", "merge files", "sweep files"}

func (o op) String() string { return opNames[o] }

// event is what the machine is told. Each event but the last six answers the
// effect of its op.
type event interface{ isEvent() }

type (
	// logOpened answers openLog: the offset after the last finished slot (-1 if
	// there is none), and the claim after it.
	logOpened struct {
		next     int64
		topicID  string // which topic next is an offset of, as the log says
		pending  *commitlog.Intent
		lostFrom int64 // where the loss begins that reaches up to next
		totals   commitlog.Counts
		scoredAt int64 // of the last finished slot
		err      error
	}
	// startFound answers findStart.
	startFound struct {
		offset  int64
		topicID string // which topic it is an offset of
		err     error
	}
	// modelLoaded answers loadModel.
	modelLoaded struct {
		model engine.Model
		err   error
	}
	// recordsFetched answers fetch: so many records, up to the offset next, are in
	// the backlog. end is the topic's, -1 if not known.
	recordsFetched struct {
		epoch   uint64
		records int
		bytes   int64
		next    int64
		end     int64
		err     error
	}
	// batchScored answers score: the backlog's first records, up to the offset to,
	// are in the span.
	batchScored struct {
		epoch   uint64
		records int   // taken from the backlog
		bytes   int64 // taken from the backlog
		to      int64
		dead    int  // of the records
		gaps    int  // runs of offsets without a record that the span has grown by
		cut     bool // the batch was ended early, because the span can take no more days
		// unasked: nothing is in the span, since the version needs parts of records
		// that no fetch has asked for. The next ones do.
		unasked bool
		err     error
	}
	// slotClaimed answers claim.
	slotClaimed struct {
		won bool
		err error
	}
	// objectsPublished answers publish.
	objectsPublished struct {
		adopted int // dead letters of the slot that are not among the span's: others have published them
		// cut: an object is there without events that this span has. Somebody carries
		// the claim out of which the topic has lost them, or has done so.
		cut bool
		err error
	}
	// lettersDelivered answers deliver.
	lettersDelivered struct{ err error }
	// slotFinished answers finish.
	slotFinished struct {
		totals commitlog.Counts
		entry  commitlog.Entry
		err    error
	}
	// offsetCommitted answers commitOffset.
	offsetCommitted struct{ err error }

	// runsRead answers readRuns.
	runsRead struct {
		epoch uint64
		runs  []compact.Run
		err   error
	}
	// merged answers merge: the merged file is in memory. If apart is not 0, it
	// is not: the run at that slot has other columns than the one before. moved:
	// the claim that was found is finished by now.
	merged struct {
		epoch uint64
		apart uint64
		moved bool
		err   error
	}
	// swept answers sweep. again: something is left to be deleted later.
	swept struct {
		deleted int
		again   bool
		err     error
	}

	// ticked says only that time has passed.
	ticked struct{}
	// modelsOffered gives the versions to score with, the best first.
	modelsOffered struct{ candidates []engine.Candidate }
	// pauseAsked pauses or resumes.
	pauseAsked struct{ on bool }
	// resumeAsked is the operator's word to go on after the rate of dead letters
	// had been too high.
	resumeAsked struct{}
	// wordGiven is an operator's word to go on behind offsets that are lost.
	wordGiven struct{ word Word }
	// memoryShort asks that the open span be committed early, for its memory.
	memoryShort struct{}
	// drainAsked ends the machine once what it has scored is committed.
	drainAsked struct{}
)

func (logOpened) isEvent()        {}
func (startFound) isEvent()       {}
func (modelLoaded) isEvent()      {}
func (recordsFetched) isEvent()   {}
func (batchScored) isEvent()      {}
func (slotClaimed) isEvent()      {}
func (objectsPublished) isEvent() {}
func (lettersDelivered) isEvent() {}
func (slotFinished) isEvent()     {}
func (offsetCommitted) isEvent()  {}
func (runsRead) isEvent()         {}
func (merged) isEvent()           {}
func (swept) isEvent()            {}
func (ticked) isEvent()           {}
func (modelsOffered) isEvent()    {}
func (pauseAsked) isEvent()       {}
func (resumeAsked) isEvent()      {}
func (wordGiven) isEvent()        {}
func (memoryShort) isEvent()      {}
func (drainAsked) isEvent()       {}

// effect is what the machine wants done.
type effect interface{ isEffect() }

type (
	// openLog reads the end of the log.
	openLog struct{}
	// findStart asks which topic there is and, where the log does not say it (at is
	// -1), where the stream begins.
	findStart struct{ at int64 }
	// loadModel makes a version ready to score.
	loadModel struct{ model engine.Model }
	// fetch adds records from an offset on to the backlog.
	fetch struct {
		epoch   uint64
		from    int64
		topicID string
	}
	// cancelFetch ends a fetch that waits; it answers all the same.
	cancelFetch struct{}
	// score takes records from the front of the backlog and adds what becomes of
	// them to a span.
	score struct {
		epoch      uint64
		span       uint64
		model      engine.Model
		generation thalweg.Generation
		partition  string // column by whose days the rows are split
		cut        engine.Cut
	}
	// reset forgets the backlog and all spans. Answers of an older epoch are
	// thrown away.
	reset struct{ epoch uint64 }
	// refetch forgets the backlog, and asks for all that the loaded versions need
	// from then on. Answers of an older epoch are thrown away.
	refetch struct{ epoch uint64 }
	// claim places the intent of a span, or that of a skip.
	claim struct {
		span       uint64
		topicID    string
		skip       bool
		missing    [2]int64 // of a skip
		from, to   int64
		model      engine.Model
		generation thalweg.Generation
		partition  string // column by whose days the rows are split
		scoredAt   int64  // microseconds since 1970 UTC
	}
	// publish writes the objects of a span under the log's pending intent. What
	// the intent has before kept is lost: of that the span has nothing.
	publish struct {
		span uint64
		kept int64
	}
	// deliver puts the dead letters of a span into their topic, where there is one.
	deliver struct{ span uint64 }
	// finish writes the done record.
	finish struct{ span uint64 }
	// forget frees a span whose slot is finished.
	forget struct{ span uint64 }
	// commitOffset writes the group's offset, for dashboards.
	commitOffset struct{ next int64 }
	// readRuns reads what lies in which files at the end of the log. epoch is the
	// compactor's, as in merge: answers of an older one are thrown away.
	readRuns struct{ epoch uint64 }
	// merge reads files and makes one of them; without inputs, those that follow
	// from the log's pending intent.
	merge struct {
		epoch  uint64
		inputs []compact.Run
	}
	// claimMerge places the intent of what was merged.
	claimMerge struct{ scoredAt int64 }
	// publishMerge writes the merged file under the log's pending intent. hint is
	// for its done record, of a merge with inputs.
	publishMerge struct{ hint []commitlog.Run }
	// finishMerge writes the done record.
	finishMerge struct{}
	// dropMerge frees what was merged.
	dropMerge struct{}
	// sweep deletes objects that were replaced before now minus retention, as far
	// as this runner has seen.
	sweep struct{ now, retention time.Duration }
	// stop ends the scorer; a nil err is an orderly end.
	stop struct{ err error }
)

func (openLog) isEffect()      {}
func (findStart) isEffect()    {}
func (loadModel) isEffect()    {}
func (fetch) isEffect()        {}
func (cancelFetch) isEffect()  {}
func (score) isEffect()        {}
func (reset) isEffect()        {}
func (refetch) isEffect()      {}
func (claim) isEffect()        {}
func (publish) isEffect()      {}
func (deliver) isEffect()      {}
func (finish) isEffect()       {}
func (forget) isEffect()       {}
func (commitOffset) isEffect() {}
func (readRuns) isEffect()     {}
func (merge) isEffect()        {}
func (claimMerge) isEffect()   {}
func (publishMerge) isEffect() {}
func (finishMerge) isEffect()  {}
func (dropMerge) isEffect()    {}
func (sweep) isEffect()        {}
func (stop) isEffect()         {}
