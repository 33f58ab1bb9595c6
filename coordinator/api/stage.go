package api

// Stage is what a coordinator has to know of a stage: who plans a run hands it a
// list of these, and it knows no stage by name.
type Stage struct {
	// Name is unique in the run. It is the kind of its tasks' leases.
	Name string
	// Over is what the map tasks are over, one of the constants below.
	Over string
	// Number is how many there are over tasks (0: none) or replicas.
	Number int
	// Reducers is how many tasks merge what the map tasks wrote: each map task
	// writes one partial for each of them.
	Reducers int
	// Outputs must be there when the stage is done: of each reducer or, in a stage
	// without, of its map tasks, which must all report the same.
	Outputs []string
}

// What the map tasks of a stage are over.
const (
	OverTasks    = "tasks"    // Stage.Number of them
	OverShards   = "shards"   // the dataset's, as many as an earlier stage reports in its count "shards"
	OverReplicas = "replicas" // Stage.Number of them, which run side by side
	OverNothing  = "nothing"  // no tasks: the run's checkpoint becomes a model version, and the run ends
)
