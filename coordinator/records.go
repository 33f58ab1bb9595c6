package coordinator

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/checkpoint"
)

const (
	// recordsPrefix is where the records of ended runs are, by pipeline.
	recordsPrefix = "runs-ended/"
	// recordReads is how many records of a page are read at once.
	recordReads = 16
	// maxMoved bounds the runs that one log entry drops: after an outage of the
	// store there may be more than an entry holds. The rest waits for the next tick.
	maxMoved = 500
	// stateUnreadable is what is shown of a run whose record cannot be read.
	stateUnreadable = "unreadable"
)

// recordKey names the record of a run, so that a pipeline's are listed newest
// first and one is found by its ID. checkpoint.PutObject puts a part of the
// sha256 behind it.
func recordKey(id thalweg.RunID) (string, error) {
	remaining, ordinal := cutNumber(string(id))
	pipeline, generation := cutNumber(remaining)
	if pipeline == "" || ordinal == 0 || generation == 0 {
		return "", &thalweg.Error{Op: "get run", Kind: thalweg.NotFound, Subject: "run " + string(id), Hint: "`thalweg runs` lists those there are"}
	}
	return fmt.Sprintf("%s%s/%020d-%020d-%s.json", recordsPrefix, pipeline, math.MaxUint64-generation, math.MaxUint64-ordinal, id), nil
}

// cutNumber cuts a number off the end of an ID; 0 if there is none.
func cutNumber(id string) (remaining string, n uint64) {
	at := strings.LastIndexByte(id, '-')
	if at < 0 {
		return "", 0
	}
	n, err := strconv.ParseUint(id[at+1:], 10, 64)
	if err != nil {
		return "", 0
	}
	return id[:at], n
}

// runOf returns the run that a record's key names.
func runOf(key string) thalweg.RunID {
	name := strings.TrimSuffix(path.Base(key), ".json")
	if parts := strings.SplitN(name, "-", 3); len(parts) == 3 {
		name = parts[2]
	}
	if at := strings.LastIndexByte(name, '-'); at >= 0 {
		name = name[:at] // the sha256
	}
	return thalweg.RunID(name)
}

// readRecord returns the run of a record whose bytes are those that were written.
func readRecord(ctx context.Context, b storage.Bucket, key string) (*state.Run, error) {
	body, _, err := b.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	digest := strings.TrimSuffix(key[strings.LastIndexByte(key, '-')+1:], ".json")
	if digest == "" || !strings.HasPrefix(storage.SHA256(body), digest) {
		return nil, &thalweg.Error{Op: "read record", Kind: thalweg.Corrupt, Subject: key, Err: errors.New("its sha256 is not the one in its name")}
	}
	return state.DecodeRun(body)
}

// findRecord returns the record of a run, NotFound if there is none.
func (c *Coordinator) findRecord(ctx context.Context, id thalweg.RunID) (*state.Run, error) {
	key, err := recordKey(id)
	if err != nil {
		return nil, err
	}
	b, err := c.cfg.Records(ctx)
	if err != nil {
		return nil, err
	}
	for info, err := range b.List(ctx, strings.TrimSuffix(key, ".json")+"-", "") {
		if err != nil {
			return nil, err
		}
		return readRecord(ctx, b, info.Key)
	}
	return nil, &thalweg.Error{Op: "get run", Kind: thalweg.NotFound, Subject: "run " + string(id), Hint: "`thalweg runs` lists those there are"}
}

// listRecords returns up to n records after a key, of one pipeline or of all,
// without the runs that are still in the state, and the last key looked at.
func (c *Coordinator) listRecords(ctx context.Context, pipeline, after string, n int, inState map[thalweg.RunID]bool) (runs []*apiv1.Run, last string, err error) {
	b, err := c.cfg.Records(ctx)
	if thalweg.Is(err, thalweg.NotFound) {
		return nil, "", nil // no bucket, no records
	}
	if err != nil {
		return nil, "", err
	}
	prefix := recordsPrefix
	if pipeline != "" {
		prefix += pipeline + "/"
	}
	var keys []string
	seen := inState
	for info, err := range b.List(ctx, prefix, after) {
		if err != nil {
			return nil, "", err
		}
		if id := runOf(info.Key); !seen[id] {
			if len(keys) == n {
				break
			}
			keys = append(keys, info.Key)
			seen[id] = true // a build with another form may have written a second record
		}
		last = info.Key
	}
	runs = make([]*apiv1.Run, len(keys))
	var reads errgroup.Group
	reads.SetLimit(recordReads)
	for i, key := range keys {
		reads.Go(func() error {
			r, err := readRecord(ctx, b, key)
			if err != nil {
				runs[i] = &apiv1.Run{Id: string(runOf(key)), Pipeline: path.Base(path.Dir(key)), State: stateUnreadable, Error: err.Error()}
				return ctx.Err()
			}
			runs[i] = runView(r, nil, false)
			return nil
		})
	}
	return runs, last, reads.Wait()
}

// moveToRecords moves runs that ended long ago out of the state while this node
// leads, until ctx ends.
func (c *Coordinator) moveToRecords(ctx context.Context) {
	tick := time.NewTicker(c.cfg.LeaseTTL)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if c.leading() == nil {
			continue
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
	type record struct {
		run  thalweg.RunID
		body []byte
	}
	var surplus []record
	var failed error
	c.replica.view(func(s *state.State) {
		runs := s.Surplus()
		for _, r := range runs[:min(len(runs), maxMoved)] {
			body, err := state.EncodeRun(r)
			failed = errors.Join(failed, err)
			if err == nil {
				surplus = append(surplus, record{r.ID, body})
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
	cmd := &state.DropRuns{}
	for _, r := range surplus {
		err := writeRecord(ctx, b, r.run, r.body)
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
	if _, err := c.propose(cmd, ""); err != nil {
		return errors.Join(failed, err)
	}
	c.log.Info("ended runs moved to the state bucket", "runs", len(cmd.Runs))
	return failed
}

// writeRecord writes a record unless it is there, and reads it back.
func writeRecord(ctx context.Context, b storage.Bucket, id thalweg.RunID, body []byte) error {
	key, err := recordKey(id)
	if err != nil {
		return err
	}
	_, err = checkpoint.PutObject(ctx, b, key, body)
	return err
}
