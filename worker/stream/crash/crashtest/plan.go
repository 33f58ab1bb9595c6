package crashtest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/worker/stream/crash"
)

// When is the moment of a step.
type When string

// The moments.
const (
	Before     When = "before"     // nothing has happened
	Unanswered When = "unanswered" // it has happened, and the process has no answer
	After      When = "after"      // it has happened and the process knows; before its next step
)

// Action is what happens to a process.
type Action string

// The actions.
const (
	Exit  Action = "exit"  // it ends at once, as by SIGKILL
	Stall Action = "stall" // it stops and goes on later, as by SIGSTOP, and another takes over
	Drop  Action = "drop"  // its connection drops; a request to write that was on its way arrives late
	Fail  Action = "fail"  // the other side answers with an error: 503 before the effect, 412 or damage after it
)

// Whens returns all moments.
func Whens() []When { return []When{Before, Unanswered, After} }

// Actions returns all actions.
func Actions() []Action { return []Action{Exit, Stall, Drop, Fail} }

// always is the Nth of a plan that holds every time.
const always = 0

// Plan says what happens at one step.
type Plan struct {
	Point  crash.Point
	When   When
	Nth    int // which occurrence of the step, from 1; always: each time
	Action Action
}

// String is the form that Parse reads: "claim:unanswered:2:exit".
func (p Plan) String() string { return fmt.Sprintf("%s:%s:%d:%s", p.Point, p.When, p.Nth, p.Action) }

// Parse reads plans, separated by commas. Invalid names the part that is not one.
func Parse(text string) ([]Plan, error) {
	var plans []Plan
	for part := range strings.SplitSeq(text, ",") {
		fields := strings.Split(part, ":")
		bad := &thalweg.Error{Op: "read crash plan", Kind: thalweg.Invalid, Subject: part, Hint: "point:when:nth:action, as in claim:unanswered:2:exit"}
		if len(fields) != 4 {
			return nil, bad
		}
		n, err := strconv.Atoi(fields[2])
		p := Plan{crash.Point(fields[0]), When(fields[1]), n, Action(fields[3])}
		known := slices.ContainsFunc(Points(), func(s Step) bool { return s.Point == p.Point })
		if err != nil || n < 0 || !known || !slices.Contains(Whens(), p.When) || !slices.Contains(Actions(), p.Action) {
			return nil, bad
		}
		plans = append(plans, p)
	}
	return plans, nil
}
