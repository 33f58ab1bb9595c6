package expression

import (
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/table"
)

// maxMade bounds the bytes of the strings that one evaluation makes of a batch:
// those of 4 KiB in each row of a large one. A few steps that double a string
// would else fill any memory.
const maxMade = 256 << 20

// stringHeader is what a string takes besides its bytes.
const stringHeader = 16

var errMade = &thalweg.Error{Kind: thalweg.Exhausted, Subject: "the strings that it makes of one batch", Hint: "at most 256 MiB: make shorter ones"}

// made counts bytes of strings that are made, and reports whether there may be
// more.
func (f *frame) made(bytes int) bool {
	if f.bytes += bytes; f.bytes > maxMade {
		f.fail(errMade)
	}
	return f.err == nil
}

// text is the strings that the ids of a vector name: an array's, or a list.
type text struct {
	array *array.String
	list  []string
}

func (t text) len() int {
	if t.array != nil {
		return t.array.Len()
	}
	return len(t.list)
}

func (t text) at(i int) string {
	if t.array != nil {
		return t.array.Value(i)
	}
	return t.list[i]
}

// all returns the strings as a list.
func (t text) all() []string {
	if t.array == nil {
		return t.list
	}
	out := make([]string, t.array.Len())
	for i := range out {
		out[i] = t.array.Value(i)
	}
	return out
}

// eachEntry calls fn for the entries of a string vector that its rows name:
// for all, where that is no more work.
func (v *vector) eachEntry(fn func(id int)) {
	n := v.text.len()
	if n <= len(v.ids) {
		for id := range n {
			fn(id)
		}
		return
	}
	used := make([]bool, n)
	for i, id := range v.ids {
		if uint(id) < uint(n) && !used[id] && (v.valid.Words == nil || v.valid.Has(i)) {
			used[id] = true
			fn(int(id))
		}
	}
}

// entryTest is true for the rows whose string passes a test.
func entryTest(arg node, test func(string) bool) node {
	return apply(table.Bool, func(f *frame, args []vector) vector {
		v := &args[0]
		pass := make([]bool, v.text.len())
		v.eachEntry(func(id int) { pass[id] = test(v.text.at(id)) })
		return v.gatherBits(f.rows, pass)
	}, arg)
}

// gatherBits returns the bool of each row by the bool of its entry.
func (v *vector) gatherBits(rows int, byEntry []bool) vector {
	out := newBools(rows, v.valid)
	for w := range out.bits.Words {
		var word uint64
		for i, id := range v.idsAt(w*64, min(w*64+64, rows)) {
			if uint(id) < uint(len(byEntry)) {
				word |= bit(byEntry[id]) << (i & 63)
			}
		}
		out.bits.Words[w] = word
	}
	out.clearNull()
	return out
}

// gather returns the value of each row by the value of its entry.
func gather[T any](v *vector, rows int, byEntry []T) []T {
	out := make([]T, rows)
	chunks(rows, func(from, to int) {
		out := out[from:to]
		for i, id := range v.idsAt(from, to) {
			if uint(id) < uint(len(byEntry)) {
				out[i] = byEntry[id]
			}
		}
	})
	return out
}

// entryMap maps each string to another.
func entryMap(arg node, fn func(string) string) node {
	return apply(table.String, func(f *frame, args []vector) vector { return args[0].mapText(f, fn) }, arg)
}

func (v vector) mapText(f *frame, fn func(string) string) vector {
	list := make([]string, v.text.len())
	v.eachEntry(func(id int) {
		if f.err == nil {
			list[id] = fn(v.text.at(id))
			f.made(len(list[id]))
		}
	})
	v.text, v.whole = text{list: list}, nil
	return v
}

// entryCount counts something in each string.
func entryCount(arg node, fn func(string) int64) node {
	return apply(table.Int64, func(f *frame, args []vector) vector {
		v := &args[0]
		counts := make([]int64, v.text.len())
		v.eachEntry(func(id int) { counts[id] = fn(v.text.at(id)) })
		return vector{t: table.Int64, ints: gather(v, f.rows, counts), valid: v.valid}
	}, arg)
}

// concat joins two strings.
func concat(f *frame, args []vector) vector {
	a, b := args[0], args[1]
	if a.constant {
		return b.mapText(f, func(s string) string { return a.text.at(0) + s })
	}
	if b.constant {
		return a.mapText(f, func(s string) string { return s + b.text.at(0) })
	}
	out := vector{t: table.String, ids: make([]int32, f.rows), valid: both(a.valid, b.valid)}
	pairs := newPairs(a.text.len(), b.text.len())
	for i := range out.ids {
		if out.valid.Words != nil && !out.valid.Has(i) {
			continue
		}
		id, fresh := pairs.id(a.ids[i], b.ids[i])
		if fresh {
			s := a.text.at(int(a.ids[i])) + b.text.at(int(b.ids[i]))
			if !f.made(len(s)) {
				return out
			}
			out.text.list = append(out.text.list, s)
		}
		out.ids[i] = id
	}
	return out
}

// pairs numbers pairs of ids in the order in which they come: in a table where
// that is small, else in a map.
type pairs struct {
	width int
	dense []int32 // id+1 of a pair, 0 for none
	rest  map[[2]int32]int32
	next  int32
}

func newPairs(left, right int) *pairs {
	// 1 MiB of table: it stays in the second-level cache.
	const maxDense = 1 << 18
	p := &pairs{width: right}
	if left <= maxDense && right <= maxDense && left*right <= maxDense {
		p.dense = make([]int32, left*right)
	} else {
		p.rest = make(map[[2]int32]int32)
	}
	return p
}

// id returns the number of a pair, and whether it is new.
func (p *pairs) id(a, b int32) (id int32, fresh bool) {
	if p.dense != nil {
		at := &p.dense[int(a)*p.width+int(b)]
		if *at == 0 {
			p.next++
			*at, fresh = p.next, true
		}
		return *at - 1, fresh
	}
	id, ok := p.rest[[2]int32{a, b}]
	if !ok {
		id = p.next
		p.rest[[2]int32{a, b}] = id
		p.next++
	}
	return id, !ok
}
