package train

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
)

// formatVersion numbers the meaning of positions, snapshots and contributions.
// It changes whenever the same job would give other bits.
const formatVersion = 10

// state is where training stands between two exchanges: all that a worker needs
// to go on. It is immutable; applying an exchange makes a new one.
type state struct {
	position
	// best are the parameters of the best epoch; nil before the first.
	best []float32
	plan *plan // of Facts; nil before exchange 0 is collected
}

// position is the part of a state that is written as JSON.
type position struct {
	Format      int    `json:"format"`
	Fingerprint string `json:"fingerprint"`
	// The algorithm's part.
	optim.State
	// Lengths are those of the algorithm's integers.
	Lengths []int `json:"lengths,omitempty"`
	// Sequence is the number of the next exchange.
	Sequence uint64 `json:"sequence"`
	// Facts are the replicas' facts, from exchange 0.
	Facts []facts `json:"facts"`
	// Loss is the sum of the losses of the rows used in this epoch.
	Loss float64 `json:"loss"`
	// Best is the epoch, from 1, that is the result so far, and Metrics are its validation
	// metrics. Top is the best metric of any, and Stale counts the epochs since.
	Best    int                `json:"best"`
	Top     float64            `json:"top"`
	Stale   int                `json:"stale"`
	Metrics map[string]float64 `json:"metrics"`
	// Curve is the losses of epochs, of every Stride-th one in a long training.
	Curve  []Loss `json:"curve"`
	Stride int    `json:"stride"`
	// Stopped says why training ended; empty while it goes on.
	Stopped string `json:"stopped"`
	Ledger  Ledger `json:"ledger"`
}

// views names the vectors of a state with n parameters and m numbers of
// optimizer state.
func (p *position) views(n, m int) []model.View {
	views := []model.View{
		{Name: "parameters", Shape: []int{n}},
		{Name: "optimizer", Shape: []int{m}, Offset: n},
	}
	next := n + m
	if p.Blended > 0 {
		views = append(views, model.View{Name: "candidate", Shape: []int{n}, Offset: next})
		next += n
	}
	if p.Best > 0 {
		views = append(views, model.View{Name: "best", Shape: []int{n}, Offset: next})
		next += n
	}
	for i, k := range p.Lengths {
		views = append(views, model.View{Name: fmt.Sprintf("integers.%d", i), Shape: []int{2 * k}, Offset: next})
		next += 2 * k
	}
	return views
}

// encode returns a state as a part of a checkpoint, and as the snapshot for a
// worker that joins. Equal states have equal bytes.
func (s *state) encode(params int) ([]byte, error) {
	p := s.position
	var integers []float32
	for _, part := range s.Integers {
		p.Lengths = append(p.Lengths, len(part))
		for _, x := range part {
			integers = append(integers, math.Float32frombits(uint32(x)), math.Float32frombits(uint32(x>>32)))
		}
	}
	encoded, err := json.Marshal(p)
	if err == nil && s.Vector == nil {
		err = fmt.Errorf("training has not begun")
	}
	if err != nil {
		return nil, &thalweg.Error{Op: opTrain, Subject: PartState, Err: err}
	}
	views := p.views(params, len(s.Vector)-params)
	return model.EncodeTensors(map[string]string{"position": string(encoded)}, views, slices.Concat(s.Vector, s.Candidate, s.best, integers)), nil
}

// decodeState is the inverse of encode. params and size are the lengths of the
// parameters and of the whole vector. It fails with Corrupt, or with Conflict if
// the state is another job's.
func decodeState(data []byte, fingerprint string, replicas, params, size int) (*state, error) {
	fail := func(kind thalweg.Kind, err error, hint string) error {
		return &thalweg.Error{Op: "resume training", Kind: kind, Subject: PartState, Err: err, Hint: hint}
	}
	s := &state{}
	metadata, err := model.TensorMetadata(data)
	if err == nil {
		err = json.Unmarshal([]byte(metadata["position"]), &s.position)
	}
	if err != nil {
		return nil, fail(thalweg.Corrupt, err, "")
	}
	p := &s.position
	if p.Format != formatVersion || p.Fingerprint != fingerprint {
		return nil, fail(thalweg.Conflict, fmt.Errorf("it is of format %d and job %.12s, not %d and %.12s", p.Format, p.Fingerprint, formatVersion, fingerprint),
			"a checkpoint is resumed only with the spec, the data and the version that made it")
	}
	if p.Sequence == 0 || len(p.Facts) != replicas {
		return nil, fail(thalweg.Corrupt, fmt.Errorf("exchange %d with facts of %d replicas, want %d", p.Sequence, len(p.Facts), replicas), "")
	}
	if slices.ContainsFunc(p.Lengths, func(k int) bool { return k < 0 || k > model.MaxSize }) {
		return nil, fail(thalweg.Corrupt, fmt.Errorf("integers of lengths %d", p.Lengths), "")
	}
	flat, err := model.DecodeTensors(p.views(params, size-params), data)
	if err != nil {
		return nil, fail(thalweg.Corrupt, err, "")
	}
	s.Vector, flat = flat[:size:size], flat[size:]
	if p.Blended > 0 {
		s.Candidate, flat = flat[:params:params], flat[params:]
	}
	if p.Best > 0 {
		s.best, flat = flat[:params:params], flat[params:]
	}
	for _, k := range p.Lengths {
		part := make([]int64, k)
		for i := range part {
			part[i] = int64(math.Float32bits(flat[2*i])) | int64(math.Float32bits(flat[2*i+1]))<<32
		}
		s.Integers, flat = append(s.Integers, part), flat[2*k:]
	}
	p.Lengths = nil
	return s, nil
}
