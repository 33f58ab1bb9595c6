// Package crash is the hook by which a test ends, stalls or cuts off a process
// at a chosen step of a stream. In production there is no hook.
//
// The calls of a process to its store and its topic are steps as well. They need
// no hook: a test hands in a bucket and a source that it wrapped, see crashtest.
package crash

import "context"

// Point names a step.
type Point string

// The steps that a process takes by itself, without a call to store or topic.
const (
	LoadModel Point = "load-model"
	Score     Point = "score"
	Pause     Point = "pause"
	Recover   Point = "recover"
	Drain     Point = "drain"
)

// Hook runs effect, the step at p, or prevents it. It returns what effect
// returned, or why the process got no answer. It may be called concurrently.
type Hook func(ctx context.Context, p Point, effect func() error) error

// Do runs effect by way of the hook, if there is one.
func (h Hook) Do(ctx context.Context, p Point, effect func() error) error {
	if h == nil {
		return effect()
	}
	return h(ctx, p, effect)
}
