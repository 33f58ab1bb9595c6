package worker

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// Reports that do not fit into one poll go with the next ones, and a large one goes alone.
func TestReportsComeInPollsThatACoordinatorReads(t *testing.T) {
	m := newTaskManager(nil)
	const reports, largest = 20, api.MaxReportBytes + 1000
	for i := range reports {
		id := fmt.Sprintf("run/train/%d", i)
		size := 200 << 10
		if i == 7 {
			size = largest
		}
		m.mu.tasks[id] = &runningTask{report: &apiv1.TaskReport{TaskId: id, Error: strings.Repeat("x", size)}}
	}
	brought, polls := make(map[string]int), 0
	for ; len(brought) < reports && polls < reports; polls++ {
		req := &apiv1.PollRequest{}
		m.fill(req)
		if size := proto.Size(req); size > api.MaxReportBytes+largest {
			t.Errorf("poll %d has %d bytes", polls, size)
		}
		var accepted []string
		for _, r := range req.Reports {
			brought[r.TaskId]++
			accepted = append(accepted, r.TaskId)
		}
		for _, id := range accepted { // its lease ends once the report is accepted
			delete(m.mu.tasks, id)
		}
	}
	if len(brought) != reports || polls < 4 {
		t.Errorf("%d polls brought %d reports", polls, len(brought))
	}
}
