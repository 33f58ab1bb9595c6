package coordinator

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/checkpoint"
)

const (
	// recordsPrefix is where the records of ended runs are, by cluster and pipeline.
	recordsPrefix = "runs-ended/"
	// maxMoved bounds the runs that one log entry drops: after an outage of the
	// store there may be more than an entry holds. The rest waits for the next tick.
	maxMoved = 500
)

// record is what lists tell of a run that ended: when it started, and the objects
// that may be its record, since a build with another form may have written a
// second one.
type record struct {
	run   thalweg.RunID
	start uint64 // Run.StartIndex
	keys  []string
}

// recordsOf is the folder of a pipeline's records.
func recordsOf(cluster, pipeline string) string {
	return recordsPrefix + cluster + "/" + pipeline + "/"
}

// recordKey names the record of a run, so that a pipeline's are listed newest
// first. checkpoint.PutObject puts a part of the sha256 behind it.
func recordKey(cluster string, r *state.Run) string {
	return fmt.Sprintf("%s%020d-%s.json", recordsOf(cluster, string(r.Pipeline)), math.MaxUint64-r.StartIndex, r.ID)
}

// parseRecordKey is the inverse of recordKey.
func parseRecordKey(key string) (run thalweg.RunID, start uint64, digest string) {
	name := strings.TrimSuffix(path.Base(key), ".json")
	index, name, _ := strings.Cut(name, "-")
	inverse, err := strconv.ParseUint(index, 10, 64)
	at := strings.LastIndexByte(name, '-')
	if err != nil || at < 0 {
		return "", 0, ""
	}
	return thalweg.RunID(name[:at]), math.MaxUint64 - inverse, name[at+1:]
}

// records yields a pipeline's records of runs that started before an index of the
// log, newest first.
func records(ctx context.Context, b storage.Bucket, cluster, pipeline string, before uint64) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		prefix := recordsOf(cluster, pipeline)
		var last record
		for info, err := range b.List(ctx, prefix, fmt.Sprintf("%s%020d", prefix, math.MaxUint64-before+1)) {
			if err != nil {
				yield(record{}, err)
				return
			}
			run, start, _ := parseRecordKey(info.Key)
			switch {
			case run == "":
			case run == last.run:
				last.keys = append(last.keys, info.Key)
			case last.run != "" && !yield(last, nil):
				return
			default:
				last = record{run, start, []string{info.Key}}
			}
		}
		if last.run != "" {
			yield(last, nil)
		}
	}
}

// read returns the run of a record: the first whose bytes are those that were
// written.
func (r record) read(ctx context.Context, b storage.Bucket) (*state.Run, error) {
	var failed error
	for _, key := range r.keys {
		body, _, err := b.Get(ctx, key)
		if err == nil {
			if _, _, digest := parseRecordKey(key); digest == "" || !strings.HasPrefix(storage.SHA256(body), digest) {
				err = &thalweg.Error{Op: "read record", Kind: thalweg.Corrupt, Subject: key, Err: errors.New("its sha256 is not the one in its name")}
			}
		}
		if err == nil {
			var run *state.Run
			if run, err = state.DecodeRun(body); err == nil {
				return run, nil
			}
		}
		failed = cmp.Or(failed, err)
	}
	return nil, failed
}

// findRecord returns the record of a run, NotFound if there is none.
func (c *Coordinator) findRecord(ctx context.Context, id thalweg.RunID) (*state.Run, error) {
	var cluster string
	c.replica.view(func(s *state.State) { cluster = s.Cluster() })
	pipeline := string(id.Pipeline())
	if cluster != "" && pipeline != "" {
		limited, cancel := context.WithTimeout(ctx, c.cfg.RecordsTimeout)
		defer cancel()
		b, err := c.cfg.Records(limited)
		if err != nil {
			return nil, unanswered(ctx, limited, err)
		}
		for r, err := range records(limited, b, cluster, pipeline, math.MaxUint64) {
			if err != nil {
				return nil, unanswered(ctx, limited, err)
			}
			if r.run == id {
				run, err := r.read(limited, b)
				return run, unanswered(ctx, limited, err)
			}
		}
	}
	return nil, &thalweg.Error{Op: "get run", Kind: thalweg.NotFound, Subject: "run " + string(id), Hint: c.nearestRun(ctx, string(id))}
}

// nearestRun offers the pipeline or run that a name is likely meant to be, or says
// where all are listed.
func (c *Coordinator) nearestRun(ctx context.Context, name string) string {
	var names []string
	c.replica.view(func(s *state.State) {
		for p := range s.Pipelines() {
			if sees(ctx, p.Name) {
				names = append(names, string(p.Name))
			}
		}
		for r := range s.Runs() {
			if sees(ctx, r.Pipeline) {
				names = append(names, string(r.ID))
			}
		}
	})
	return cmp.Or(spelling.Hint(name, slices.Values(names)), "`thalweg runs` lists those there are")
}

// unanswered returns err, or that the state bucket does not answer if that is why.
// It is no error to try again by itself: the bucket is the same from each node.
func unanswered(ctx, limited context.Context, err error) error {
	if err == nil || limited.Err() == nil || ctx.Err() != nil {
		return err
	}
	return &thalweg.Error{Op: "read records of ended runs", Subject: "state bucket", Err: err,
		Hint: "the store did not answer in time"}
}

// moveToRecords moves runs that ended long ago out of the state while this node
// leads, and collects what nobody needs, until ctx ends.
func (c *Coordinator) moveToRecords(ctx context.Context) {
	tick := time.NewTicker(c.cfg.LeaseTTL)
	defer tick.Stop()
	collected := time.Now()
	failed := false // the store is tried again at the next tick
	moveAudit := func() {
		err := c.moveAudit(ctx)
		if failed = err != nil; failed {
			c.log.Warn("audit records cannot be moved to the state bucket; they are kept in the log, and when it has no room for more, nothing can be changed", keyError, err)
		}
	}
	for {
		changed := c.changes.Changed()
		lead := c.leading()
		if lead != nil && !failed && c.manyAuditRecords() {
			moveAudit() // now: a leader may not live until the tick, and there is room for few ticks' records
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
			continue
		case <-tick.C:
		}
		if lead == nil {
			continue
		}
		moveAudit()
		if time.Since(collected) >= c.cfg.CollectEvery {
			collected = time.Now()
			if err := c.collect(ctx, lead); err != nil {
				c.log.Warn("not all that nobody needs could be removed from the state bucket", keyError, err)
			}
		}
		if err := c.moveSurplus(ctx); err != nil {
			c.log.Warn("ended runs cannot be moved to the state bucket; they are kept in the log", keyError, err)
		}
	}
}

// moveSurplus writes records and then drops their runs, in this order: what fails
// in between is done again, by this leader or the next, and writes the same. A
// record that cannot be written keeps its own run only.
func (c *Coordinator) moveSurplus(ctx context.Context) error {
	type written struct {
		run        thalweg.RunID
		key        string
		body       []byte
		checkpoint string // that no version has
	}
	var surplus []written
	var failed error
	cmd := &state.DropRuns{}
	c.replica.view(func(s *state.State) {
		cmd.Cluster = cmp.Or(s.Cluster(), rand.Text())
		runs := s.Surplus()
		for _, r := range runs[:min(len(runs), maxMoved)] {
			body, err := state.EncodeRun(r)
			failed = errors.Join(failed, err)
			if err == nil {
				w := written{run: r.ID, key: recordKey(cmd.Cluster, r), body: body}
				if r.Version == 0 && r.Outputs["checkpoint"] != "" {
					w.checkpoint = checkpointsPrefix + string(r.ID) + "/"
				}
				surplus = append(surplus, w)
			}
		}
	})
	if len(surplus) == 0 {
		return failed
	}
	b, err := c.cfg.Records(ctx)
	if err != nil {
		return errors.Join(failed, err)
	}
	for _, r := range surplus {
		_, err := checkpoint.PutObject(ctx, b, r.key, r.body) // reads it back
		if err == nil && r.checkpoint != "" {
			_, err = storage.Remove(ctx, b, r.checkpoint, func(string) bool { return true }) // later, nobody knows it
		}
		if thalweg.IsTransient(err) || ctx.Err() != nil {
			failed = errors.Join(failed, err) // so are the others', most likely
			break
		}
		if failed = errors.Join(failed, err); err == nil {
			cmd.Runs = append(cmd.Runs, r.run)
		}
	}
	if len(cmd.Runs) == 0 {
		return failed
	}
	if _, err := c.propose(cmd); err != nil {
		return errors.Join(failed, err)
	}
	c.log.Info("ended runs moved to the state bucket", "runs", len(cmd.Runs))
	return failed
}
