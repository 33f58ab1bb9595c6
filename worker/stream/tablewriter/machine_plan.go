package tablewriter

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/table/delta"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// plan is the next version of the table while it is made: slots of some
// sources, and what has to be known of them before.
type plan struct {
	batches []*batch
	objects []commitlog.Object         // to inspect
	owners  map[string]owner           // of objects, by key
	locate  map[Source]map[uint64]bool // slots whose live files have to be found
	inputs  map[Source][]*delta.Add    // those files
	commit  *delta.Commit
}

// owner is the slot that an object is of.
type owner struct {
	f   *sourceCursor
	seq uint64
}

// batch is what a plan takes of a source: all slots up to one, and what they
// come to.
type batch struct {
	f        *sourceCursor
	upTo     uint64 // the last slot
	live     []slot // whose objects are not replaced by another slot of the batch
	replaced map[uint64][]slot
}

// write takes the next version one stage further: look at what is unknown, or
// commit.
func (m *tableMachine) write() effect {
	for {
		if m.pending == nil {
			m.pending = m.makePlan()
		}
		p := m.pending
		switch {
		case p == nil:
			return nil
		case len(p.objects) > 0 || len(p.locate) > 0 && p.inputs == nil:
			return inspect{p.objects, p.locate, m.snapshot}
		}
		commitNow, again := m.build(p)
		if commitNow != nil {
			p.commit = commitNow
			return commit{commitNow}
		}
		m.pending = nil
		if !again {
			return nil
		}
	}
}

// makePlan takes what is read of all sources; nil if there is nothing.
func (m *tableMachine) makePlan() *plan {
	p := &plan{owners: map[string]owner{}, locate: map[Source]map[uint64]bool{}}
	for _, f := range m.sources {
		if m.Now.Mono < f.retry.At {
			continue
		}
		t := f.nextBatch()
		if t == nil {
			continue
		}
		p.batches = append(p.batches, t)
		for _, s := range t.live {
			for _, o := range s.objects {
				if f.objects[o.Key] == nil {
					p.objects = append(p.objects, o)
					p.owners[o.Key] = owner{f, s.seq}
				}
			}
			for _, in := range s.inputs {
				if !slices.ContainsFunc(t.replaced[s.seq], func(g slot) bool { return g.seq == in }) {
					if p.locate[f.source] == nil {
						p.locate[f.source] = map[uint64]bool{}
					}
					p.locate[f.source][in] = true
				}
			}
		}
	}
	if len(p.batches) == 0 {
		return nil
	}
	return p
}

// nextBatch returns how far a source can go in one version; nil: nowhere. A
// compaction is a version of its own, after all that it replaces, so that
// whoever follows the table's changes can pass over it. Only where an object is
// gone already, the slots up to the compaction that replaced it are one version:
// the object was never in the table.
func (f *sourceCursor) nextBatch() *batch {
	usable := f.pending
	if f.refused != nil {
		n, _ := slices.BinarySearchFunc(usable, f.refusal, func(s slot, seq uint64) int { return cmp.Compare(s.seq, seq) })
		usable = usable[:n]
	}
	n := 0
	for n < len(usable) && len(usable[n].inputs) == 0 {
		n++
	}
	if n == 0 && len(usable) > 0 {
		n = 1
	}
	for i := 0; f.awaitingCompaction && i < n; i++ {
		if !usable[i].isMissing(f) {
			continue
		}
		by := slices.IndexFunc(usable, func(c slot) bool { return slices.Contains(c.inputs, usable[i].seq) })
		if by < 0 {
			return nil
		}
		n = max(n, by+1)
	}
	if n == 0 {
		return nil
	}
	t := &batch{f: f, upTo: usable[n-1].seq, replaced: map[uint64][]slot{}}
	for _, s := range usable[:n] {
		if len(s.inputs) > 0 {
			t.live = slices.DeleteFunc(t.live, func(l slot) bool {
				replaced := slices.Contains(s.inputs, l.seq)
				if replaced {
					// What the replaced slot itself replaced in the table goes with it.
					s.inputs = append(slices.Clone(s.inputs), l.inputs...)
					t.replaced[s.seq] = append(append(t.replaced[s.seq], l), t.replaced[l.seq]...)
				}
				return replaced
			})
		}
		t.live = append(t.live, s)
	}
	return t
}

// missingFile marks an object that is not there any more.
var missingFile = &file{}

func (s slot) isMissing(f *sourceCursor) bool {
	return slices.ContainsFunc(s.objects, func(o commitlog.Object) bool { return f.objects[o.Key] == missingFile })
}

func (m *tableMachine) addInspected(ev inspected) {
	p := m.pending
	if p == nil {
		return
	}
	again := false
	for _, o := range p.objects {
		of, got := p.owners[o.Key], ev.objects[o.Key]
		switch {
		case got.file != nil:
			of.f.objects[o.Key] = got.file
		case thalweg.Is(got.err, thalweg.NotFound):
			of.f.objects[o.Key], of.f.awaitingCompaction = missingFile, true
			again = true
		case isTransient(got.err) && got.err != nil:
			m.fail(of.f, got.err)
			again = true
		default:
			of.f.refuse(of.seq, got.err)
			again = true
		}
	}
	if again {
		m.pending = nil
		for _, f := range m.sources {
			f.retryMissing(m)
		}
		return
	}
	p.objects, p.inputs = nil, ev.inputs
	if p.inputs == nil {
		p.inputs = map[Source][]*delta.Add{}
	}
}

// retryMissing notes that an object is gone and no compaction that was read replaced
// it: it is asked for again after a while, unless the log goes on.
func (f *sourceCursor) retryMissing(m *tableMachine) {
	if !f.awaitingCompaction || f.next < f.finished || len(f.pending) == 0 || f.nextBatch() != nil {
		return
	}
	for _, s := range f.pending {
		for _, o := range s.objects {
			if f.objects[o.Key] == missingFile {
				delete(f.objects, o.Key)
				m.fail(f, &thalweg.Error{Op: "add to table", Kind: thalweg.NotFound, Subject: o.Key, Err: errors.New("a done record names it, and it is not there")})
			}
		}
	}
	f.pollAt = f.retry.At
}

// refuse stops a source before a slot: what comes before goes into the table,
// and the rest is read again when the source goes on, so that meanwhile others
// have the room.
func (f *sourceCursor) refuse(seq uint64, err error) {
	if f.refused != nil && seq >= f.refusal {
		return
	}
	f.refused, f.refusal = err, seq
	for i, s := range f.pending {
		if s.seq < seq {
			continue
		}
		for _, later := range f.pending[i:] {
			for _, o := range later.objects {
				delete(f.objects, o.Key)
			}
		}
		f.pending, f.next = slices.Delete(f.pending, i, len(f.pending)), s.seq
		break
	}
	f.awaitingCompaction = f.awaitingCompaction && len(f.pending) > 0
}

// build makes the commit of a plan about which everything is known. Without
// one, again says whether a source was refused, so that another plan may have
// one.
func (m *tableMachine) build(p *plan) (c *delta.Commit, again bool) {
	table := newDraft(m.snapshot)
	var files []delta.Action
	var txns []delta.Action
	for _, t := range p.batches {
		before := *table
		actions, seq, err := m.actions(p, t, table)
		if err != nil {
			*table = before
			t.f.refuse(seq, err)
			again = true
			continue
		}
		files = append(files, actions...)
		txns = append(txns, delta.Action{Txn: &delta.Txn{AppID: t.f.source.AppID(), Version: int64(t.upTo), LastUpdated: m.nowMS()}})
	}
	if again {
		return nil, true
	}
	if !m.snapshot.Exists() && len(files) == 0 {
		for _, t := range p.batches { // no rows yet, so no columns: their turn comes with the first that has
			t.f.merge(t.upTo)
		}
		return nil, false
	}
	info := &delta.CommitInfo{Timestamp: m.nowMS(), Operation: "STREAMING UPDATE", EngineInfo: "thalweg", TxnID: m.newID(),
		OperationParameters: map[string]any{"outputMode": "Append"}, IsBlindAppend: true}
	c = &delta.Commit{Version: m.snapshot.Version + 1, Actions: []delta.Action{{CommitInfo: info}}}
	c.Actions = append(c.Actions, table.actions(m.nowMS(), m.newID)...)
	for _, a := range files {
		info.IsBlindAppend = info.IsBlindAppend && a.Remove == nil
	}
	c.Actions = append(append(c.Actions, files...), txns...)
	return c, false
}

// merge keeps, of slots that have no rows, only the last.
func (f *sourceCursor) merge(upTo uint64) {
	n := 0
	for n < len(f.pending) && f.pending[n].seq < upTo {
		n++
	}
	f.pending = slices.Delete(f.pending, 0, n)
}

// actions returns what a batch does to the files of a table, which takes in
// their columns; or the slot that cannot be in it, and why.
func (m *tableMachine) actions(p *plan, t *batch, table *draft) (actions []delta.Action, seq uint64, err error) {
	for _, s := range t.live {
		dataChange := true
		if len(s.inputs) > 0 {
			removes, rows := removesOf(p.inputs[t.f.source], s, m.nowMS())
			moved := int64(0)
			for _, g := range t.replaced[s.seq] {
				if len(g.inputs) == 0 {
					moved += g.rows
				}
			}
			switch {
			case rows+moved == s.rows:
			case len(removes) == 0 && moved == 0:
				// Another writer rewrote all that the compaction moved: its files have
				// the rows.
				continue
			default:
				return nil, s.seq, &thalweg.Error{Op: "compact table", Kind: thalweg.Conflict, Subject: fmt.Sprintf("%s slot %d", t.f.source, s.seq),
					Err:  fmt.Errorf("%d of the %d rows that it moved are in the table under their old files", rows+moved, s.rows),
					Hint: "another writer rewrote or deleted some of them: restore the table to the version before that, or give the pipeline a new sink path"}
			}
			dataChange = moved > 0
			for _, r := range removes {
				r.DataChange = dataChange
				actions = append(actions, delta.Action{Remove: r})
			}
		}
		for _, o := range s.objects {
			f := t.f.objects[o.Key]
			values, err := table.admit(s.partitionBy, o.Key, f.schema)
			if err != nil {
				return nil, s.seq, err
			}
			actions = append(actions, delta.Action{Add: &delta.Add{Path: m.path(o.Key), PartitionValues: values, Size: o.SizeBytes,
				ModificationTime: s.timeMS, DataChange: dataChange, Stats: f.stats}})
		}
	}
	return actions, 0, nil
}

// removesOf returns the live files of a compaction's inputs, and their rows.
func removesOf(live []*delta.Add, s slot, nowMS int64) (removes []*delta.Remove, rows int64) {
	for _, a := range live {
		if !slices.Contains(s.inputs, slotOfPath(a.Path)) {
			continue
		}
		rows += rowsOf(a.Stats)
		removes = append(removes, &delta.Remove{Path: a.Path, DeletionTimestamp: nowMS, ExtendedFileMetadata: true,
			PartitionValues: a.PartitionValues, Size: a.Size})
	}
	return removes, rows
}

// path returns an object's path in the table, whose characters need no escape
// in a URI: the rules for topics and columns see to it.
func (m *tableMachine) path(key string) string { return strings.TrimPrefix(key, m.cfg.Prefix) }

// dayOfKey returns the day of the directory that an object lies in.
func dayOfKey(key, column string) *string {
	day, ok := strings.CutPrefix(path.Base(path.Dir(key)), column+"=")
	if !ok || day == commitlog.Unknown {
		return nil
	}
	return &day
}
