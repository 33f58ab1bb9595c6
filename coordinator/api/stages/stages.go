// Package stages is what a coordinator has to know of the stages of a run. Who
// plans a run hands it a list of these, and it knows no stage by name.
package stages

// PurgeVerb is the verb of the run that removes what a pipeline which is being
// deleted has written. Only its deletion starts one.
const PurgeVerb = "purge"

// ScoreVerb is the verb of the run that scores a dataset with a version of a model. Its
// arguments are the model's name, the version (number and checkpoint, key#sha256), where
// the dataset lies and where its table goes (s3://bucket/key, and connections of stores),
// the format of the dataset where it is another than that of the training data, and the
// share of rows that may be rejected.
const (
	ScoreVerb         = "score"
	ModelArgument     = "model"
	VersionArgument   = "version"
	FromArgument      = "from"
	FromConnection    = "from_connection"
	IntoArgument      = "into"
	IntoConnection    = "into_connection"
	FormatArgument    = "format"
	MaxRejectArgument = "max_rejected"
)

// Inputs that the stages of a run get beside the outputs of those before.
const (
	// ParentInput names the version whose weights training starts from, and
	// ChampionInput the version that the alias named when the run began: number and
	// checkpoint (key#sha256).
	ParentInput   = "parent"
	ChampionInput = "champion"
	// KnownInput is of a run that its schedule started: the number of the newest version,
	// and the ObjectsOutput of the run that trained it.
	KnownInput = "known"
)

// SkippedShards counts the shards that a run leaves out.
const SkippedShards = "shards.skipped"

// Outputs by which a run's stages tell the coordinator something.
const (
	// ObjectsOutput names the objects of the training data.
	ObjectsOutput = "objects"
	// EndOutput ends the run as succeeded, and says why there is nothing left to do.
	EndOutput = "nothing_new"
	// FoundOutput is what a map task tells people of its result while its stage goes on.
	FoundOutput = "found"
	// RejectedOutput says why the alias must not move to the run's version.
	RejectedOutput = "rejected"
	// ExportOutput begins the names of outputs that are the version in other formats.
	ExportOutput = "export."
)

// Plan is one stage as planned. The log keeps it as it is.
type Plan struct {
	// Name is unique in the run. It is the kind of its tasks' leases.
	Name string `json:"name"`
	// Over is what the map tasks are over.
	Over Over `json:"over"`
	// Number is how many map tasks there are over tasks (0: none) or replicas (0: as
	// many as an earlier stage reports in its count "replicas").
	Number uint32 `json:"number,omitempty"`
	// Reducers is how many tasks merge what the map tasks wrote: each map task
	// writes one partial for each of them.
	Reducers uint32 `json:"reducers,omitempty"`
	// Outputs must be there when the stage is done: of each reducer or, in a stage
	// without, of its map tasks, which must all report the same.
	Outputs []string `json:"outputs,omitempty"`
	// Waves cut the map tasks over tasks into parts, one after the other, and add up to
	// Number: the tasks of a wave are made once all of those before it are done, and get
	// the partials that these addressed to the stage's only reducer. None: all are made at
	// once, and get nothing.
	Waves []uint32 `json:"waves,omitempty"`
	// Together is how many map tasks over tasks are with workers at once at most; 0: as
	// many as these have slots for.
	Together uint32 `json:"together,omitempty"`
	// BackupAfter is how many times the median of the stage a task may take before an
	// idle worker does it too; 0: DefaultBackupAfter. Replicas have no backups.
	BackupAfter float64 `json:"backup_after,omitempty"`
	// MinWorkers is how many workers must be alive for the stage to get on: with fewer, no
	// task is leased and replicas pause between two rounds. 0: one is enough.
	MinWorkers uint32 `json:"min_workers,omitempty"`
	// MaxWorkers is how many workers may hold tasks of the stage at once; 0: any number.
	MaxWorkers uint32 `json:"max_workers,omitempty"`
}

// Bounds of Plan.BackupAfter: shards of a dataset differ, and a backup of a task that is
// merely larger would be wasted.
const (
	DefaultBackupAfter = 3
	MinBackupAfter     = 1
	MaxBackupAfter     = 1000
)

// MaxMinWorkers bounds Plan.MinWorkers: a run that waits for so many would wait for ever in most clusters.
const MaxMinWorkers = 1024

// Over is what the map tasks of a stage are over.
type Over string

// What the map tasks of a stage can be over.
const (
	OverTasks    Over = "tasks"    // Plan.Number of them
	OverShards   Over = "shards"   // the dataset's, as many as an earlier stage reports in its count "shards"
	OverReplicas Over = "replicas" // which run side by side, take no slot and resume from the run's newest checkpoint
	OverNothing  Over = "nothing"  // no tasks: the run's checkpoint becomes a model version, and the run ends
)
