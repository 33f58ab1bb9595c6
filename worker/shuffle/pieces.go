package shuffle

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

const (
	// pieceBytes is from where on a piece takes no further row.
	pieceBytes = 4 << 20
	// MaxTextBytes bounds the different texts among the values that one reducer sees.
	MaxTextBytes = 128 << 20
)

// texts gives texts numbers.
type texts struct {
	ids   map[string]uint64
	all   []string
	bytes int
}

func (t *texts) id(s string) uint64 {
	id, known := t.ids[s]
	if !known {
		if t.ids == nil {
			t.ids = make(map[string]uint64)
		}
		s = strings.Clone(s)
		id = uint64(len(t.all))
		t.ids[s], t.all = id, append(t.all, s)
		t.bytes += len(s) + 64
	}
	return id
}

// Pieces writes the records of a map task's rows for each reducer, in pieces. It is for one
// goroutine.
type Pieces struct {
	keys  *Keys
	write func(to, n int, body []byte) (reference string, err error)
	parts []part
	rows  []Record
}

// part is what is not written yet for one reducer, and the references to what is.
type part struct {
	body    []byte
	texts   texts
	written []string
}

// tail ends a piece.
type tail struct {
	// Before are the references of a task's pieces for the reducer before the last.
	Before []string `json:"before,omitempty"`
	// Texts are what values of records number.
	Texts [][]byte `json:"texts,omitempty"`
	// Labels says of each column of a label file whether it has texts.
	Labels []bool `json:"labels,omitempty"`
}

// NewPieces returns what writes by a function the n-th piece for a reducer; the body is its
// own for the call.
func NewPieces(of pipeline.Shuffle, reducers int, write func(to, n int, body []byte) (reference string, err error)) *Pieces {
	return &Pieces{keys: NewKeys(of), write: write, parts: make([]part, reducers)}
}

// Add takes the rows of a batch of a shard.
func (p *Pieces) Add(batch arrow.Record, shard int) (err error) {
	if p.rows, err = p.keys.Records(p.rows[:0], batch, shard); err != nil {
		return err
	}
	var entries *array.String
	if name := p.keys.of.Value; name != "" {
		a, err := column(batch, name)
		if err != nil {
			return err
		}
		if a, ok := a.(*array.Dictionary); ok {
			entries = a.Dictionary().(*array.String)
		}
	}
	if len(p.keys.of.Labels) > 0 {
		if err := p.rank(batch); err != nil {
			return err
		}
	}
	for _, r := range p.rows {
		if err := p.add(r, entries); err != nil {
			return err
		}
	}
	return nil
}

// add takes a record; its value is the number of an entry, unless these are nil.
func (p *Pieces) add(r Record, entries *array.String) error {
	to := r.Reducer(len(p.parts))
	of := &p.parts[to]
	if entries != nil && r.At&valued != 0 {
		r.Value = of.texts.id(entries.Value(int(r.Value)))
	}
	if of.body = Append(of.body, r); len(of.body)+of.texts.bytes >= pieceBytes {
		return p.flush(to, nil)
	}
	return nil
}

func (p *Pieces) flush(to int, before []string) error {
	of := &p.parts[to]
	end := tail{Before: before}
	for _, c := range p.keys.of.Labels {
		end.Labels = append(end.Labels, c.Type == table.String)
	}
	for _, s := range of.texts.all {
		end.Texts = append(end.Texts, []byte(s))
	}
	text, err := json.Marshal(end)
	if err != nil {
		return err
	}
	body := binary.LittleEndian.AppendUint32(append(of.body, text...), uint32(len(text)))
	ref, err := p.write(to, len(of.written), body)
	of.body, of.texts, of.written = body[:0], texts{}, append(of.written, ref)
	return err
}

// Finish writes what is left and returns the reference of the last piece for each reducer,
// which has those of the pieces before it.
func (p *Pieces) Finish() (last []string, err error) {
	for to := range p.parts {
		if err := p.flush(to, p.parts[to].written); err != nil {
			return nil, err
		}
		last = append(last, p.parts[to].written[len(p.parts[to].written)-1])
	}
	return last, nil
}

// AddPiece takes the records of a piece, and returns the references that it has.
func (s *Sorter) AddPiece(body []byte) (before []string, err error) {
	n := len(body) - 4
	at := n
	if n >= 0 {
		at -= int(binary.LittleEndian.Uint32(body[n:]))
	}
	var end tail
	if at < 0 || at%RecordBytes != 0 || json.Unmarshal(body[at:n], &end) != nil {
		return nil, &thalweg.Error{Op: opShuffle, Kind: thalweg.Corrupt, Err: fmt.Errorf("%d bytes are no piece", len(body))}
	}
	ids := make([]uint64, len(end.Texts))
	for i, text := range end.Texts {
		ids[i] = s.texts.id(string(text))
	}
	if s.texts.bytes > s.Texts {
		return nil, &thalweg.Error{Op: opShuffle, Kind: thalweg.Invalid, Err: fmt.Errorf("more than %d MiB of different texts are values", s.Texts>>20), Hint: "fill or join a column of fewer or shorter texts"}
	}
	for rows := range slices.Chunk(body[:at], RecordBytes) {
		r := decode(rows)
		if len(ids) > 0 && end.isText(r) {
			if r.Value >= uint64(len(ids)) {
				return nil, &thalweg.Error{Op: opShuffle, Kind: thalweg.Corrupt, Err: fmt.Errorf("a piece has no text %d", r.Value)}
			}
			r.Value = ids[r.Value]
		}
		if err := s.Add(r); err != nil {
			return nil, err
		}
	}
	return end.Before, nil
}
