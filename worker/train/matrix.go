package train

import (
	"github.com/thalweg/thalweg/pipeline/metric"
)

// matrix is the rows of one replica: its training rows in shuffled order, cut
// into blocks of one batch each, and its validation rows in the order of the
// dataset.
type matrix struct {
	*store
	training   []block
	validation []block
	facts      facts
	away       spilled

	epoch int   // that order is of; -1 for none
	order []int // of training blocks
}

// facts is what the other workers must know of a replica's rows.
type facts struct {
	// Rows are the replica's training rows, in Blocks batches.
	Rows   RowSet `json:"rows"`
	Blocks int    `json:"blocks"`
	// Read are all training rows of the shards that the replica has units of.
	Read RowSet `json:"read"`
	// Validation counts the replica's validation rows.
	Validation int64 `json:"validation"`
	// Labels are the moments of the labels over the replica's training rows.
	Labels metric.Moments `json:"labels"`
	// Weights are of the same rows, where they have some.
	Weights weightSums `json:"weights,omitzero"`
}

// blocks returns training blocks [from, to) in the order of an epoch, as far as
// they are there.
func (m *matrix) blocks(seed uint64, replica, epoch, from, to int) []int {
	if m.epoch != epoch || len(m.order) != len(m.training) {
		m.order = append(m.order[:0], make([]int, len(m.training))...)
		permutation(m.order, epochSeed(seed, replica, epoch))
		m.epoch = epoch
	}
	return m.order[min(from, len(m.order)):min(to, len(m.order))]
}
