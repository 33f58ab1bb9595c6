package scorer

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thalweg/thalweg/pipeline/catalog"
	bucketmem "github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/storage/s3"
	"github.com/thalweg/thalweg/worker/stream/budget"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// slowEngine takes a while for each event.
type slowEngine struct {
	engine.Engine
	perEvent time.Duration
}

func (e slowEngine) Score(ctx context.Context, b *engine.Batch, dst *engine.Rows) error {
	time.Sleep(time.Duration(b.Len()) * e.perEvent)
	return e.Engine.Score(ctx, b, dst)
}

// TestHotPartitionsDoNotStarveTheOthers has three partitions with ten times the
// events that two cores can score, and 13 with a hundred a second each, in
// virtual time and in a memory that the hot ones alone would fill. An event of a
// cold one waits for a batching period, for the batches that were due before
// its own, and for nothing else.
func TestHotPartitionsDoNotStarveTheOthers(t *testing.T) {
	const (
		hot, cold = 3, 13
		lasts     = 10 * time.Second
		perEvent  = 20 * time.Microsecond // 50,000 events a second and core
		count     = 1000                  // events in a batch: 20 ms of a core
		period    = 5 * time.Millisecond
		cores     = 2
	)
	// The hot ones' batches that may be due before, by turns, and the cold ones'.
	bound := period + 10*time.Millisecond + (hot+1)*count*perEvent/cores + cold*perEvent
	var scorers []*Scorer
	var most int64
	memory := budget.NewMemory(16<<20, cores)
	synctest.Test(t, func(t *testing.T) {
		store := &s3Store{objects: bucketmem.New(), mood: func(time.Duration) mood { return well }, began: time.Now()}
		opener, err := s3.New(s3.Config{Endpoint: "store", TLS: true, AccessKey: "key", SecretKey: "secret", PathStyle: true,
			Wrap: func(http.RoundTripper) http.RoundTripper { return store }})
		if err != nil {
			t.Fatal(err)
		}
		bucket, err := opener.Bucket(t.Context(), "lake")
		if err != nil {
			t.Fatal(err)
		}
		state := bucketmem.New()
		registry := engine.NewRegistry(state, catalog.All())
		registry.Offer([]engine.Candidate{saved(t, state, 1, trained(t, 1))})
		memory := budget.NewMemory(16<<20, cores) // its channels belong to the bubble
		ctx, cancel := context.WithTimeout(t.Context(), lasts)
		defer cancel()
		var running sync.WaitGroup
		for p := range hot + cold {
			share := memory.Share()
			defer share.Close()
			tap := &tap{began: time.Now(), interval: 10 * time.Millisecond, last: 1 << 40}
			if p < hot {
				tap.interval = time.Second / (10 * cores * 50_000 / hot)
			}
			s, err := New(tap, bucket, registry, slogDiscard(), Config{Pipeline: "flight-delays", Generation: 1, Topic: topic, Partition: p, Prefix: "scored/",
				Batching: Limits{Count: count, Period: period}, Rolling: Limits{Period: time.Hour}, Memory: share})
			if err != nil {
				t.Fatal(err)
			}
			log, err := s.openLog()
			if err != nil {
				t.Fatal(err)
			}
			scorers = append(scorers, s)
			r := newRunner(s, log)
			prepare := r.prepare
			r.prepare = func(ctx context.Context, m engine.Model) (engine.Engine, error) {
				e, err := prepare(ctx, m)
				return slowEngine{e, perEvent}, err
			}
			running.Go(func() {
				if err := r.run(ctx); err != nil {
					t.Errorf("partition %d: %v", p, err)
				}
			})
		}
		for ctx.Err() == nil {
			time.Sleep(50 * time.Millisecond)
			used, _ := memory.Used()
			most = max(most, used)
		}
		running.Wait()
	})
	_, limit := memory.Used()
	var worst time.Duration
	scored := int64(0)
	for p, s := range scorers {
		status := s.Status()
		if p < hot {
			scored += status.Scored
			continue
		}
		worst = max(worst, status.P99)
		if status.Scored < int64(lasts/(10*time.Millisecond))*9/10 {
			t.Errorf("cold partition %d: %d events scored", p, status.Scored)
		}
	}
	t.Logf("hot partitions: %d events scored in %v; cold ones: p99 at most %v, the bound is %v; %d of %d bytes", scored, lasts, worst, bound, most, limit)
	if worst > bound*11/10 { // quantiles are within a tenth
		t.Errorf("the p99 of a cold partition is %v", worst)
	}
	if most > limit*11/10 {
		t.Errorf("%d bytes held, the bound is %d", most, limit)
	}
	if least := int64(lasts.Seconds()*cores*50_000) / 3; scored < least {
		t.Errorf("the hot partitions got through %d events, at least %d were expected", scored, least)
	}
}
