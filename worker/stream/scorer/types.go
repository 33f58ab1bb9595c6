package scorer

import (
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/compact"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// op is a kind of work that the machine has done by an effect and that an event
// answers. At most one of each kind is under way.
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
	opReach
	opSend
	nOps
)

var opNames = [nOps]string{"open log", "find start", "load model", "fetch", "score", "claim", "publish", "deliver", "finish", "commit offset", "merge files", "sweep files", "learn which rows are in their topic", "send rows"}

func (o op) String() string { return opNames[o] }

// event is what the machine is told: one of the types below. All but the last
// five answer the effect of an op.
type event any

type (
	// logOpened answers openLog.
	logOpened struct {
		commitlog.State
		generation thalweg.Generation // of the newest slot that scored, where its rows go to another topic
		err        error
	}
	// startFound answers findStart.
	startFound struct {
		offset  int64
		topicID string // which topic it is an offset of
		err     error
	}
	// modelLoaded answers loadModel.
	modelLoaded struct {
		model   engine.Model
		err     error
		claimed bool // as loadModel had it
	}
	// recordsFetched answers fetch: so many records, up to the offset next, are in
	// the backlog. end is the topic's, -1 if not known.
	recordsFetched struct {
		epoch       uint64
		records     int
		bytes       int64
		next        int64
		end         int64
		leaderEpoch int32 // of the last record before next
		err         error
	}
	// batchScored answers score: the backlog's first records, up to the offset to,
	// are in the span.
	batchScored struct {
		epoch       uint64
		records     int   // taken from the backlog
		bytes       int64 // taken from the backlog
		to          int64
		leaderEpoch int32            // of the last record before to
		dead        int              // of the records
		candidate   [2]int           // of the records and the dead, those of the candidate of a canary
		why         string           // of the last that is dead
		unfit       map[string]int64 // values of rows, by column, that are null because they did not fit
		notes       map[string]int64 // events that fail data tests of severity warn, and the like, by what they do
		gaps        int              // runs of offsets without a record that the span has grown by
		cut         bool             // the batch was ended early, because the span can take no more days
		unsent      int64            // bytes of rows that are to be sent
		// needsRefetch: nothing is in the span, since the version needs parts of
		// records that no fetch has asked for. The next ones do.
		needsRefetch bool
		err          error
	}
	// slotClaimed answers commit of opClaim.
	slotClaimed struct {
		won bool
		err error
	}
	// objectsPublished answers commit of opPublish.
	objectsPublished struct {
		adopted int // dead letters of the slot that are not among the span's: others have published them
		// cut: an object is there without events that this span has. Somebody carries
		// the claim out of which the topic has lost them, or has done so.
		cut bool
		err error
	}
	// deadLettersDelivered answers commit of opDeliver.
	deadLettersDelivered struct{ err error }
	// slotFinished answers commit of opFinish.
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
	// merged answers commit of opMerge: the merged file is in memory. If boundary is not 0, it
	// is not: the run at that slot has other columns than the one before. moved:
	// the claim that was found is finished by now.
	merged struct {
		epoch    uint64
		boundary uint64
		moved    bool
		err      error
	}
	// rowsReached answers reachRows: how far rows are in their topic, by the group that
	// remembers it.
	rowsReached struct {
		epoch uint64
		at    connectors.Position
		group string
		err   error
	}
	// rowsSent answers sendRows.
	rowsSent struct {
		epoch uint64
		err   error
	}
	// swept answers sweep. again: something was deleted, or is to be later.
	swept struct {
		again bool
		err   error
	}

	// ticked says that time has passed, and nothing else.
	ticked struct{}
	// modelsOffered gives the versions to score with, the best first.
	modelsOffered struct{ candidates []engine.Candidate }
	// asked is what an operator wants.
	asked struct {
		paused  bool
		resumed bool              // go on after too many events were dead letters
		skip    SkipAuthorization // go on behind lost offsets
	}
	// memoryShort asks that the open span be committed early, for its memory.
	memoryShort struct{}
	// drainAsked ends the machine once what it has scored is committed.
	drainAsked struct{}
)

// effect is what the machine wants done: one of the types below.
type effect any

type (
	// openLog reads the end of the log.
	openLog struct{}
	// findStart asks which topic there is and, where the log does not say it (at is
	// -1), where the stream begins.
	findStart struct{ at int64 }
	// loadModel makes a version ready to score.
	loadModel struct {
		model   engine.Model
		claimed bool // what was begun with it is to be finished
	}
	// fetch adds records from an offset on to the backlog.
	fetch struct {
		epoch       uint64
		from        int64
		leaderEpoch int32 // of the last record before from
		topicID     string
	}
	// cancelFetch ends a fetch that waits; it answers all the same.
	cancelFetch struct{}
	// score takes records from the front of the backlog and adds what becomes of
	// them to a span.
	score struct {
		epoch uint64
		span  *span
		cut   engine.Cut
	}
	// reset forgets the backlog, and frees what is given up. Answers of an older
	// epoch are thrown away.
	reset struct {
		epoch   uint64
		dropped []slotJob
	}
	// refetch forgets the backlog, and asks for all that the loaded versions need
	// from then on. Answers of an older epoch are thrown away.
	refetch struct{ epoch uint64 }
	// commit takes what is to be a slot of the log through a stage: opMerge reads
	// files and makes one of them, opClaim places the intent, opPublish writes the
	// objects under the log's pending intent, opDeliver puts the dead letters into
	// their topic, opFinish writes the done record.
	commit struct {
		stage op
		job   slotJob
	}
	// release frees what is finished or given up.
	release struct{ job slotJob }
	// commitOffset writes the group's offset, for dashboards.
	commitOffset struct{ next int64 }
	// readRuns reads what lies in which files at the end of the log. epoch is that
	// of merges: answers of an older one are thrown away.
	readRuns struct{ epoch uint64 }
	// sweep deletes objects that were replaced before now minus retention, as far
	// as this runner has seen.
	sweep struct{ now, retention time.Duration }
	// reachRows takes the topic of rows over from whoever sent to it, and asks how far
	// they got.
	reachRows struct{ epoch uint64 }
	// sendRows commits what a span has to be sent, and the position that it leads to;
	// without a span that alone.
	sendRows struct {
		epoch uint64
		span  *span
		to    connectors.Position
	}
	// forgetRows drops rows before an offset, which are in their topic.
	forgetRows struct{ before int64 }
	// stop ends the scorer; a nil err is an orderly end.
	stop struct{ err error }
)

// slotJob is on its way into a slot of the log: a span, or a compaction.
type slotJob interface{ slot() *slotState }

// slotState is what any slotJob has.
type slotState struct {
	stage    op // what it waits for
	scoredAt int64

	// What the shell holds of it. The machine does not look at it.
	intent *commitlog.Intent // as it is claimed; the same for every try
	done   commitlog.Done    // once everything is published
}

func (s *slotState) slot() *slotState { return s }

// span is a range of offsets that is being scored by one version and will be,
// or is, one slot of the log.
type span struct {
	slotState
	id             uint64
	from, to       int64
	firstAvailable int64 // from, or where in a claim being recovered the topic begins by now
	limit          int64 // end of the range of a claim being recovered, -1: none
	model          engine.Model
	registered     int64 // when the model was
	generation     thalweg.Generation
	partitionBy    string // column by whose days rows are split
	events         int
	bytes          int64
	gaps           int
	cut            bool          // it can take no more days
	since          time.Duration // when its first event was scored
	dead           int           // of the events
	topicID        string
	leaderEpoch    int32    // of the last record before to
	skip           bool     // nothing is scored: offsets are given up
	missing        [2]int64 // of a skip
	sends          bool     // its rows go to a topic too
	upTo           int64    // end of rows that were sent as this span is, before it began here; 0: none were

	// What the shell holds of it. The machine does not look at it.
	rows     *engine.Rows    // nil: nothing was scored
	rowBytes int64           // of rows, as the budget knows it
	began    time.Time       // when its first records were fetched; zero: there are no traces
	outgoing engine.Outgoing // rows that are to be sent
}
