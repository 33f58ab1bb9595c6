// Package stages is what a coordinator has to know of the stages of a run. Who
// plans a run hands it a list of these, and it knows no stage by name.
package stages

// PurgeVerb is the verb of the run that removes what a pipeline which is being
// deleted has written. Only its deletion starts one.
const PurgeVerb = "purge"

// ParentInput is the input of a run's stages that names the version whose weights
// training starts from: its number and its checkpoint, key#sha256.
const ParentInput = "parent"

// KnownInput is the input of a run of a schedule that names the newest version and the
// objects that it was trained on: its number, and what ObjectsOutput was.
const KnownInput = "known"

// ObjectsOutput is the output of a run that names the objects of its training data, and
// EndOutput one that ends the run as succeeded: it says why nothing is left to do.
const (
	ObjectsOutput = "objects"
	EndOutput     = "nothing_new"
)

// ChampionInput is the input of a run's stages that names the version that the alias
// named when the run began: its number and its checkpoint, key#sha256.
const ChampionInput = "champion"

// RejectedOutput is the output of a run that says why its version must not become what
// the alias names.
const RejectedOutput = "rejected"

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
}

// Over is what the map tasks of a stage are over.
type Over string

// What the map tasks of a stage can be over.
const (
	OverTasks    Over = "tasks"    // Plan.Number of them
	OverShards   Over = "shards"   // the dataset's, as many as an earlier stage reports in its count "shards"
	OverReplicas Over = "replicas" // which run side by side, take no slot and resume from the run's newest checkpoint
	OverNothing  Over = "nothing"  // no tasks: the run's checkpoint becomes a model version, and the run ends
)
