package scorer

import (
	"context"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// Wrong ways to carry out a claim of which the topic has lost events; see wrongs.

// takesAnyAuthorization takes whatever an operator authorized for what is about the claim
// that it carries out.
func takesAnyAuthorization(o *simOwner, ev event) event {
	m := o.runner.machine
	if missing := lossIn(ev); missing != nil && m.recovering() && m.loss.authorized != (SkipAuthorization{}) {
		m.loss.authorized = SkipAuthorization{From: m.slots.claim.From, To: missing.First, TopicID: m.source.topicID}
		if missing.Was != missing.Is {
			m.loss.authorized.To, m.loss.authorized.Accept = m.slots.claim.To+1000, missing.Is
		}
	}
	return ev
}

// leavesOut gives up what others have published of a claim.
func leavesOut(o *simOwner, ev event) event {
	m := o.runner.machine
	published, ok := ev.(objectsPublished)
	if !ok || published.err != nil || m.slots.closing == nil || m.slots.closing.firstAvailable == m.slots.closing.from {
		return ev
	}
	held := m.slots.closing
	own := slices.DeleteFunc(slices.Clone(held.done.Objects), func(object commitlog.Object) bool {
		return object.Kind == commitlog.Dead && held.rows.Rejected == 0 || object.Kind == commitlog.Scored && held.rows.Scored == 0
	})
	if less, err := o.runner.logbook.Complete(commitlog.Done{Objects: own, Lost: held.done.Lost, Gaps: held.done.Gaps}); err == nil {
		held.done, published.adopted = less, 0
	}
	return published
}

// besides writes the rest of a claim beside what is there of it.
type besides struct{ storage.Bucket }

func newBesides(o *simOwner) storage.Bucket { return besides{o.bucket} }

func (b besides) PutIfAbsent(ctx context.Context, key string, body []byte) (storage.Info, error) {
	info, err := b.Bucket.PutIfAbsent(ctx, key, body)
	if thalweg.Is(err, thalweg.Exists) && strings.HasPrefix(key, "x/data/") {
		if there, _, failed := b.Bucket.Get(ctx, key); failed == nil && string(there) != string(body) {
			return b.Bucket.PutIfAbsent(ctx, strings.Replace(key, "-00.", "-01.", 1), body)
		}
	}
	return info, err
}

// unreserved does not take the name of dead letters that are given up.
type unreserved struct{ storage.Bucket }

func newUnreserved(o *simOwner) storage.Bucket { return unreserved{o.bucket} }

func (b unreserved) PutIfAbsent(ctx context.Context, key string, body []byte) (storage.Info, error) {
	if len(body) == 0 {
		return storage.Info{Key: key}, nil
	}
	return b.Bucket.PutIfAbsent(ctx, key, body)
}
