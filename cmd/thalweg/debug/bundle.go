package debug

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/diagnose"
	"github.com/thalweg/thalweg/retry"
	"github.com/thalweg/thalweg/worker/cluster"
)

// Bounds of a bundle.
const (
	// maxPartBytes is above the stacks of some ten thousand goroutines.
	maxPartBytes = 16 << 20
	// maxBytes is what somebody still sends to somebody else.
	maxBytes = 256 << 20
	// partTime is how long one part may take, and wholeTime all of them.
	partTime  = 10 * time.Second
	wholeTime = 2 * time.Minute
	// maxNodes is above the coordinators and workers of most clusters.
	maxNodes = 200
	// together is how many nodes are asked at once.
	together = 8
)

// parts are what is asked of each node.
var parts = [...]struct{ file, path, query string }{
	{"info.json", diagnose.InfoPath, ""},
	{"metrics.txt", diagnose.MetricsPath, ""},
	{"log.txt", diagnose.LogsPath, ""},
	{"goroutines.txt", diagnose.GoroutinePath, "debug=2"},
	{"heap.pprof", diagnose.HeapPath, ""},
}

// part is one file of a bundle, or why it is missing.
type part struct {
	Name  string `json:"name"`
	Bytes int    `json:"bytes"`
	Error string `json:"error,omitempty"`

	data []byte
}

// bundle is what a bundle has, as its manifest.json says.
type bundle struct {
	File  string    `json:"file"`
	At    time.Time `json:"at"`
	Parts []part    `json:"parts"`
}

// asker is what is asked of a cluster.
type asker interface {
	Status(ctx context.Context, req *apiv1.StatusRequest) (*apiv1.StatusResponse, error)
	StreamStatus(ctx context.Context, req *apiv1.StreamStatusRequest) (*apiv1.StreamStatusResponse, error)
	ListRuns(ctx context.Context, req *apiv1.ListRunsRequest) (*apiv1.ListRunsResponse, error)
	ListModels(ctx context.Context, req *apiv1.ListModelsRequest) (*apiv1.ListModelsResponse, error)
	Get(ctx context.Context, path string, query url.Values, most int64) ([]byte, error)
}

func newBundle(g *verb.Globals) *cobra.Command {
	return &cobra.Command{
		Use:   "bundle FILE",
		Short: "Write the state of all nodes to a tar.gz, for whoever looks for a fault",
		Long: "bundle writes a new file with what the cluster is doing (status, streams, runs, models)\n" +
			"and, of each coordinator and worker that answers, what it is and is set to, its metrics,\n" +
			"its newest log lines, the stacks of its goroutines and its heap. manifest.json in it lists\n" +
			"all parts, and says of those that are missing why. There are no rows, specs, tokens or\n" +
			"keys in it, but names of pipelines, hosts and buckets are.",
		Example: "  thalweg debug bundle thalweg-debug.tar.gz",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			b, err := write(cmd.Context(), c, args[0], time.Now())
			return verb.Answer{Value: b, Table: func(w io.Writer) {
				bytes := 0
				for _, p := range b.Parts {
					bytes += p.Bytes
					if p.Error != "" {
						fmt.Fprintf(w, "%s is missing: %s\n", p.Name, p.Error)
					}
				}
				fmt.Fprintf(w, "%s: %d parts, %s\n", b.File, len(b.Parts), humanize.IBytes(uint64(bytes)))
			}}, err
		}),
	}
}

// write collects a bundle into a new file.
func write(ctx context.Context, c asker, file string, now time.Time) (*bundle, error) {
	fail := func(err error) (*bundle, error) {
		if errors.Is(err, os.ErrExist) {
			return nil, &thalweg.Error{Op: "debug bundle", Kind: thalweg.Exists, Subject: file, Hint: "name a new file: nothing is overwritten"}
		}
		return nil, &thalweg.Error{Op: "debug bundle", Kind: thalweg.KindOf(err), Subject: file, Err: err}
	}
	to, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fail(err)
	}
	b := &bundle{File: file, At: now.UTC(), Parts: collect(ctx, c)}
	if err := errors.Join(b.writeTo(to), to.Close()); err != nil {
		return fail(errors.Join(err, os.Remove(file)))
	}
	return b, nil
}

// collect asks for all parts; one that is not to be had says why.
func collect(ctx context.Context, c asker) []part {
	ctx, cancel := context.WithTimeout(ctx, wholeTime)
	defer cancel()
	status, err := c.Status(ctx, &apiv1.StatusRequest{})
	all := []part{answer("status.json", status, err)}
	streams, err := c.StreamStatus(ctx, &apiv1.StreamStatusRequest{})
	all = append(all, answer("streams.json", streams, err))
	runs, err := c.ListRuns(ctx, &apiv1.ListRunsRequest{})
	all = append(all, answer("runs.json", runs, err))
	models, err := c.ListModels(ctx, &apiv1.ListModelsRequest{})
	all = append(all, answer("models.json", models, err))
	var nodes []string
	for _, n := range status.GetNodes() {
		nodes = append(nodes, n.Id)
	}
	for _, w := range status.GetWorkers() {
		nodes = append(nodes, w.Id)
	}
	if len(nodes) > maxNodes {
		all = append(all, part{Name: "nodes", Error: fmt.Sprintf("%d of %d nodes are asked", maxNodes, len(nodes))})
		nodes = nodes[:maxNodes]
	}
	of := make([][]part, len(nodes))
	var left atomic.Int64 // bytes that the parts of nodes may still have
	left.Store(maxBytes)
	var group errgroup.Group
	group.SetLimit(together)
	for i, node := range nodes {
		group.Go(func() error {
			of[i] = ask(ctx, c, node, &left)
			return nil
		})
	}
	_ = group.Wait() // each part has its own error
	return append(all, slices.Concat(of...)...)
}

// ask asks a node for its parts, of which it keeps what fits into the bytes that are left.
// One that does not answer the first is not asked for the rest.
func ask(ctx context.Context, c asker, node string, left *atomic.Int64) (all []part) {
	var gone error
	// During an election nobody knows the workers.
	patience := retry.Policy{Backoff: retry.Backoff{Min: 250 * time.Millisecond, Max: time.Second}, Attempts: 5}
	for _, want := range parts {
		p := part{Name: path.Join("nodes", fileName(node), want.file)}
		err := gone
		if err == nil {
			query, _ := url.ParseQuery(want.query)
			query.Set(diagnose.NodeParameter, node)
			limited, cancel := context.WithTimeout(ctx, partTime)
			err = patience.Do(limited, func(err error) bool { return thalweg.KindOf(err).Transient() }, func() error {
				var err error
				p.data, err = c.Get(limited, want.path, query, maxPartBytes)
				return err
			})
			cancel()
			if err == nil && left.Add(-int64(len(p.data))) < 0 {
				err = fmt.Errorf("the parts before have %s, which is as much as a bundle takes", humanize.IBytes(maxBytes))
			}
		}
		if err != nil {
			p.data, p.Error = nil, err.Error()
			if len(all) == 0 {
				gone = err
			}
		}
		p.Bytes = len(p.data)
		all = append(all, p)
	}
	return all
}

// fileName makes a file's name of a node's.
func fileName(node string) string {
	return cmp.Or(strings.Trim(strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, node), "."), "_")
}

// answer is a part of an answer of the RPC.
func answer[M proto.Message](name string, m M, err error) part {
	var text []byte
	if err == nil {
		text, err = protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(m)
	}
	if err == nil && len(text) > maxPartBytes {
		err = fmt.Errorf("it has more than %d bytes", maxPartBytes)
	}
	if err != nil {
		return part{Name: name, Error: err.Error()}
	}
	return part{Name: name, Bytes: len(text), data: text}
}

// writeTo writes the bundle as a tar.gz.
func (b *bundle) writeTo(w io.Writer) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	manifest, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	folder := "thalweg-debug-" + b.At.Format("20060102T150405Z")
	for _, p := range append([]part{{Name: "manifest.json", data: manifest}}, b.Parts...) {
		if p.Error != "" {
			continue
		}
		if err := t.WriteHeader(&tar.Header{Name: path.Join(folder, p.Name), Mode: 0o600, Size: int64(len(p.data)), ModTime: b.At}); err != nil {
			return err
		}
		if _, err := io.Copy(t, bytes.NewReader(p.data)); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}
