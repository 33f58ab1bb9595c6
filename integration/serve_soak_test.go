//go:build integration

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/coordinator/api"
	"github.com/thalweg/thalweg/coordinator/api/inference"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
	"github.com/thalweg/thalweg/integration/effort"
	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/integration/process"
)

const askedSpec = `apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: flight-delays}
spec:
  sources: {train: {s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}}
  input_features: [{name: distance, type: number}, {name: origin, type: category}, {name: destination, type: category}, {name: hour, type: category, expression: "hour(date)"}]
  output_features: [{name: late, type: binary, expression: "delay > 15"}]
  trainer: {epochs: EPOCHS}
  serving: {enabled: true, workers: 2, rate_limit: {requests_per_second: 100000}}
`

// leastDisturbances are how many times a champion is swapped and a worker lost, at least.
const leastDisturbances = 6

// askedRows are the flights that are asked about: each has a distance of its own.
const askedRows = 40

func askedDistance(row int) int64 { return int64(100 + 50*row) }

// asker asks the service of a cluster over each of its forms.
type asker struct {
	base string
	http *http.Client
	grpc inference.GRPCInferenceServiceClient
}

func newAsker(t *testing.T, c *cluster) *asker {
	t.Helper()
	admin, err := pki.OpenUser(slog.New(slog.DiscardHandler), filepath.Join(c.certs, "user-admin"))
	if err != nil {
		t.Fatal(err)
	}
	transport := api.NewTransport(admin.Client(pki.Coordinator, ""))
	t.Cleanup(transport.CloseIdleConnections)
	a := &asker{base: "https://" + c.coordinators[0].address, http: &http.Client{Transport: transport}}
	a.grpc = inference.NewGRPCInferenceServiceClient(a.http, a.base, connect.WithGRPC())
	return a
}

// predicted is an answer to a row: of which version, and what it says.
type predicted struct {
	Probability float64
	Version     int64 `json:"_model_version"`
}

func (a *asker) post(ctx context.Context, path, contentType string, body io.Reader) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", contentType)
	res, err := a.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.300s", res.Status, text)
	}
	return text, err
}

// json asks about one row as a JSON object.
func (a *asker) json(ctx context.Context, path string, row int) (p predicted, err error) {
	text, err := a.post(ctx, "/v1/score/flight-delays"+path, "application/json",
		strings.NewReader(fmt.Sprintf(`{"date":"2001-03-04 05:06:07","distance":%d,"origin":"SFO","destination":"LAX"}`, askedDistance(row))))
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	return p, err
}

// arrow asks about one row as a stream of record batches.
func (a *asker) arrow(ctx context.Context, row int) (p predicted, err error) {
	text := arrow.Field{Type: arrow.BinaryTypes.String}
	fields := []arrow.Field{text, {Name: "distance", Type: arrow.PrimitiveTypes.Int64}, text, text}
	var columns []arrow.Array
	for i, value := range []string{"2001-03-04 05:06:07", fmt.Sprint(askedDistance(row)), "SFO", "LAX"} {
		if i != 1 {
			fields[i].Name = []string{"date", "", "origin", "destination"}[i]
		}
		b := array.NewBuilder(memory.DefaultAllocator, fields[i].Type)
		if err := b.AppendValueFromString(value); err != nil {
			return p, err
		}
		columns = append(columns, b.NewArray())
	}
	body := new(bytes.Buffer)
	schema := arrow.NewSchema(fields, nil)
	w := ipc.NewWriter(body, ipc.WithSchema(schema))
	if err := errors.Join(w.Write(array.NewRecord(schema, columns, 1)), w.Close()); err != nil {
		return p, err
	}
	answer, err := a.post(ctx, "/v1/score/flight-delays", "application/vnd.apache.arrow.stream", body)
	if err != nil {
		return p, err
	}
	r, err := ipc.NewReader(bytes.NewReader(answer))
	if err != nil {
		return p, err
	}
	rec, err := r.Read()
	if err != nil || rec.NumRows() != 1 {
		return p, fmt.Errorf("%v, %w", rec, err)
	}
	at := func(name string) arrow.Array { return rec.Column(rec.Schema().FieldIndices(name)[0]) }
	return predicted{at("probability").(*array.Float64).Value(0), at("_model_version").(*array.Int64).Value(0)}, nil
}

// call asks about one row by gRPC.
func (a *asker) call(ctx context.Context, row int) (p predicted, err error) {
	text := func(name, value string) *inference.ModelInferRequest_InferInputTensor {
		return &inference.ModelInferRequest_InferInputTensor{Name: name, Datatype: "BYTES", Shape: []int64{1}, Contents: &inference.InferTensorContents{BytesContents: [][]byte{[]byte(value)}}}
	}
	res, err := a.grpc.ModelInfer(ctx, &inference.ModelInferRequest{ModelName: "flight-delays", Inputs: []*inference.ModelInferRequest_InferInputTensor{
		text("date", "2001-03-04 05:06:07"), text("origin", "SFO"), text("destination", "LAX"),
		{Name: "distance", Datatype: "INT64", Shape: []int64{1}, Contents: &inference.InferTensorContents{Int64Contents: []int64{askedDistance(row)}}},
	}, Outputs: []*inference.ModelInferRequest_InferRequestedOutputTensor{{Name: "probability"}}})
	if err != nil {
		return p, err
	}
	if _, err := fmt.Sscan(res.ModelVersion, &p.Version); err != nil {
		return p, err
	}
	for i, b := range res.RawOutputContents[0] {
		p.Probability = math.Float64frombits(math.Float64bits(p.Probability) | uint64(b)<<(8*i))
	}
	return p, nil
}

// TestNoPredictionIsLostWhateverIsKilled: while the champion is swapped, workers are drained and
// killed, each request is answered, over each form, as the version that its answer names does.
// EFFORT=full asks 100,000 times.
func TestNoPredictionIsLostWhateverIsKilled(t *testing.T) {
	requests := int64(5_000)
	if effort.Full() {
		requests = 100_000
	}
	server := minio.Start(t)
	newLake(t, server)
	c := startCluster(t, clusterConfig{S3: server, Coordinators: 1, Workers: 3})
	waitRun(t, c, apply(t, c, strings.Replace(askedSpec, "EPOCHS", "1", 1)), "a first version", succeeded)
	waitRun(t, c, apply(t, c, strings.Replace(askedSpec, "EPOCHS", "4", 1)), "a second version", succeeded)
	ask := newAsker(t, c)
	want := make([]map[int]predicted, 3)
	for version := 1; version <= 2; version++ {
		want[version] = make(map[int]predicted)
		for row := range askedRows {
			process.Until(t, "a version to answer", func(ctx context.Context) (err error) {
				want[version][row], err = ask.json(ctx, fmt.Sprintf("/versions/%d", version), row)
				return err
			})
		}
	}
	if want[1][0].Probability == want[2][0].Probability {
		t.Fatal("both versions answer the same")
	}
	var asked, wrong atomic.Int64
	var group sync.WaitGroup
	enough := make(chan struct{})
	for k := range 8 {
		group.Go(func() {
			for {
				select {
				case <-enough:
					return
				default:
				}
				n := asked.Add(1)
				row := int(n) % askedRows
				forms := []func(context.Context, int) (predicted, error){func(ctx context.Context, row int) (predicted, error) { return ask.json(ctx, "", row) }, ask.call, ask.arrow}
				form := (int(n) + k) % len(forms)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				p, err := forms[form](ctx, row)
				cancel()
				if err != nil || p.Version < 1 || p.Version > 2 || p != want[p.Version][row] {
					wrong.Add(1)
					t.Errorf("request %d, form %d: %v, %v, of %v and %v", n, form, p, err, want[1][row], want[2][row])
				}
			}
		})
	}
	disturbances := 0
	for ; disturbances < leastDisturbances || asked.Load() < requests; disturbances++ {
		c.Run(t, "models", "promote", "flight-delays", fmt.Sprint(1+disturbances%2))
		victim := disturbances % 3
		if disturbances%2 == 0 {
			c.KillWorker(victim)
		} else if code := c.StopWorker(t, victim); code != 0 {
			t.Errorf("worker %d ended with code %d when it was asked to", victim, code)
		}
		c.RestartWorker(t, victim)
		<-time.After(2 * time.Second) // one at a time: the others have to take its leases
		if wrong.Load() > 10 {
			break
		}
	}
	close(enough)
	group.Wait()
	t.Logf("%d requests, %d wrong, during %d swaps, each with a worker killed or drained", asked.Load(), wrong.Load(), disturbances)
}
