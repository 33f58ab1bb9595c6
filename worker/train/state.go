package train

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
)

// formatVersion numbers the meaning of positions, snapshots and contributions.
// It changes whenever the same job would give other bits.
const formatVersion = 2

// State is where training stands between two exchanges: all that a worker needs
// to go on. It is immutable; applying an exchange makes a new one.
type State struct {
	// Vector is the model's parameters and behind them what else the algorithm
	// keeps, all zero at first; nil before the facts are known.
	Vector []float32

	position position
	// mean is the candidate that the epoch is judged by; nil before Blend is called
	// in an epoch.
	mean []float32
	// best are the parameters of the best epoch; nil before the first.
	best []float32
}

// Blend takes parameters, which are kept, into the candidate that the epoch is
// judged by: the mean of all that were blended in the epoch.
func (s *State) Blend(params []float32) {
	if s.position.Mean > 0 {
		mean := make([]float32, len(params))
		kernel.Blend(mean, s.mean, params, 1/float64(s.position.Mean+1))
		params = mean
	}
	s.mean = params
	s.position.Mean++
}

// position is the part of a state that is written as JSON.
type position struct {
	Format      int    `json:"format"`
	Fingerprint string `json:"fingerprint"`
	// Sequence is the number of the next exchange.
	Sequence uint64 `json:"sequence"`
	// Facts are the replicas' facts, from exchange 0.
	Facts []facts `json:"facts"`
	// Mean counts the parameters in the candidate.
	Mean int `json:"mean"`
	// Loss is the sum of the losses of the rows used in this epoch.
	Loss float64 `json:"loss"`
	// Best is the epoch, from 1, with the best validation metric; Stale counts the
	// epochs since.
	Best    int                `json:"best"`
	Stale   int                `json:"stale"`
	Metrics map[string]float64 `json:"metrics"`
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
	if p.Mean > 0 {
		views = append(views, model.View{Name: "mean", Shape: []int{n}, Offset: next})
		next += n
	}
	if p.Best > 0 {
		views = append(views, model.View{Name: "best", Shape: []int{n}, Offset: next})
	}
	return views
}

// parts encodes a state as the parts of a checkpoint. Equal states have equal
// bytes.
func (s *State) parts(params int) (map[string][]byte, error) {
	encoded, err := json.Marshal(s.position)
	if err != nil {
		return nil, &thalweg.Error{Op: opTrain, Subject: PartPosition, Err: err}
	}
	if s.Vector == nil {
		return nil, &thalweg.Error{Op: opTrain, Subject: "checkpoint", Err: fmt.Errorf("training has not begun")}
	}
	flat := slices.Concat(s.Vector, s.mean, s.best)
	views := s.position.views(params, len(s.Vector)-params)
	return map[string][]byte{PartPosition: encoded, PartTensors: model.EncodeTensors(views, flat)}, nil
}

// decodeState is the inverse of parts. params and size are the lengths of the
// parameters and of the whole vector. It fails with Corrupt, or with Conflict if
// the state is another job's.
func decodeState(parts map[string][]byte, fingerprint string, replicas, params, size int) (*State, error) {
	fail := func(kind thalweg.Kind, subject string, err error, hint string) error {
		return &thalweg.Error{Op: "resume training", Kind: kind, Subject: subject, Err: err, Hint: hint}
	}
	s := &State{}
	if err := json.Unmarshal(parts[PartPosition], &s.position); err != nil {
		return nil, fail(thalweg.Corrupt, PartPosition, err, "")
	}
	p := &s.position
	if p.Format != formatVersion || p.Fingerprint != fingerprint {
		return nil, fail(thalweg.Conflict, PartPosition,
			fmt.Errorf("it is of format %d and job %.12s, not %d and %.12s", p.Format, p.Fingerprint, formatVersion, fingerprint),
			"a checkpoint is resumed only with the spec, the data and the version that made it")
	}
	if p.Sequence == 0 || len(p.Facts) != replicas {
		return nil, fail(thalweg.Corrupt, PartPosition,
			fmt.Errorf("exchange %d with facts of %d replicas, want %d", p.Sequence, len(p.Facts), replicas), "")
	}
	flat, err := model.DecodeTensors(p.views(params, size-params), parts[PartTensors])
	if err != nil {
		return nil, fail(thalweg.Corrupt, PartTensors, err, "")
	}
	s.Vector, flat = flat[:size:size], flat[size:]
	if p.Mean > 0 {
		s.mean, flat = flat[:params:params], flat[params:]
	}
	if p.Best > 0 {
		s.best = flat
	}
	return s, nil
}

// snapshot encodes a state as one piece, for a worker that joins: the length of
// the position, the position, the tensors.
func (s *State) snapshot(params int) ([]byte, error) {
	parts, err := s.parts(params)
	if err != nil {
		return nil, err
	}
	out := binary.LittleEndian.AppendUint32(nil, uint32(len(parts[PartPosition])))
	out = append(out, parts[PartPosition]...)
	return append(out, parts[PartTensors]...), nil
}

// splitSnapshot returns the parts that a snapshot holds.
func splitSnapshot(data []byte) (map[string][]byte, error) {
	if len(data) >= 4 {
		if n := binary.LittleEndian.Uint32(data); uint64(n) <= uint64(len(data)-4) {
			return map[string][]byte{PartPosition: data[4 : 4+n], PartTensors: data[4+n:]}, nil
		}
	}
	return nil, &thalweg.Error{Op: opTrain, Kind: thalweg.Corrupt, Subject: "snapshot", Err: fmt.Errorf("%d bytes are not a state", len(data))}
}
