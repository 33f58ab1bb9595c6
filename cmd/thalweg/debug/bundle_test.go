package debug

import (
	"context"
	"errors"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/diagnose"
)

// half is a cluster of which little is to be had, and nothing at once.
type half struct{ elections *atomic.Int32 }

func (half) Status(context.Context, *apiv1.StatusRequest) (*apiv1.StatusResponse, error) {
	return &apiv1.StatusResponse{Nodes: []*apiv1.Node{{Id: "c1"}, {Id: "gone"}}, Workers: []*apiv1.Worker{{Id: "../w 1"}}}, nil
}

func (half) StreamStatus(context.Context, *apiv1.StreamStatusRequest) (*apiv1.StreamStatusResponse, error) {
	return nil, errors.New("no leader")
}

func (half) ListRuns(context.Context, *apiv1.ListRunsRequest) (*apiv1.ListRunsResponse, error) {
	return &apiv1.ListRunsResponse{}, nil
}

func (half) ListModels(context.Context, *apiv1.ListModelsRequest) (*apiv1.ListModelsResponse, error) {
	return &apiv1.ListModelsResponse{}, nil
}

func (h half) Get(ctx context.Context, path string, query url.Values, _ int64) ([]byte, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		return nil, errors.New("it may take for ever")
	}
	switch node := query.Get("node"); {
	case path == diagnose.LogsPath && h.elections.Add(1) == 1:
		return nil, &thalweg.Error{Op: "get", Kind: thalweg.Unavailable, Subject: "coordinator"}
	case node == "gone":
		return nil, errors.New("it is gone")
	case node == "c1" && path == diagnose.HeapPath:
		return nil, errors.New("it is too large")
	}
	return []byte(path), nil
}

// TestAMissingPartSaysWhy: and the others are there, below names that are those of files.
func TestAMissingPartSaysWhy(t *testing.T) {
	b, err := write(t.Context(), half{new(atomic.Int32)}, filepath.Join(t.TempDir(), "b.tar.gz"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	missing := make(map[string]string)
	there := 0
	for _, p := range b.Parts {
		if p.Error != "" {
			missing[p.Name] = p.Error
		} else {
			there++
		}
		if strings.Contains(p.Name, "..") || strings.Contains(p.Name, " ") {
			t.Errorf("a part is called %q", p.Name)
		}
	}
	if there != 3+4+5 || len(missing) != 1+1+5 || missing["streams.json"] != "no leader" || missing["nodes/c1/heap.pprof"] != "it is too large" || missing["nodes/gone/info.json"] != "it is gone" {
		t.Errorf("%d parts are there, missing %v", there, missing)
	}
}
