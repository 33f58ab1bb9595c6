package train

import (
	"encoding/json"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// contribution is what a replica gives to an exchange.
type contribution struct {
	weight float64
	vector kernel.Vector
	note   []byte
}

// usage is the note of a round: the rows that a replica used, and the sum of
// their losses.
type usage struct {
	RowSet
	Loss float64 `json:"loss"`
}

// note returns a contribution of nothing but a note.
func note(v any) (contribution, error) {
	data, err := json.Marshal(v)
	return contribution{note: data}, err
}
