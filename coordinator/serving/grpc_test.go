package serving

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/thalweg/thalweg/coordinator/api"
	"github.com/thalweg/thalweg/coordinator/api/inference"
)

// inferring is a worker's handler: it infers from one input, and tells of a model.
func inferring(t testing.TB) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch r.Method + " " + r.URL.Path {
		case "POST /v2/models/p/infer", "POST /v2/models/p/versions/2/infer":
			req := new(inference.ModelInferRequest)
			if err := proto.Unmarshal(body, req); err != nil || r.Header.Get("Content-Type") != api.MessageType {
				t.Errorf("%v, %v", err, r.Header)
			}
			if len(req.Inputs) == 0 {
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprint(w, `{"error":"there are no inputs"}`)
				return
			}
			answer, _ := proto.Marshal(&inference.ModelInferResponse{ModelName: req.ModelName, Id: req.Id, RawOutputContents: req.RawInputContents})
			_, _ = w.Write(answer)
		case "GET /v2/models/p":
			fmt.Fprint(w, `{"name":"p","versions":["1"],"platform":"x","inputs":[{"name":"a","datatype":"FP64","shape":[-1]}],"other":1}`)
		case "GET /v2/models/p/stats":
			fmt.Fprint(w, `{"model_stats":[{"name":"p","version":"1","last_inference":7,"inference_stats":{"success":{"count":3,"ns":5}}}]}`)
		case "GET /v2/models/p/ready":
			fmt.Fprint(w, `{}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
}

// called serves a proxy over gRPC, as a coordinator does without certificates.
func called(t testing.TB, p *Proxy) inference.GRPCInferenceServiceClient {
	t.Helper()
	server := httptest.NewUnstartedServer(p.GRPC())
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	transport := &http.Transport{Protocols: server.Config.Protocols}
	t.Cleanup(func() { transport.CloseIdleConnections(); server.Close() })
	return inference.NewGRPCInferenceServiceClient(&http.Client{Transport: transport}, server.URL, connect.WithGRPC())
}

func TestCallsOfGRPCAreAnsweredByWorkers(t *testing.T) {
	t.Parallel()
	p, c := newProxy(t)
	client := called(t, p)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	must := func(answer proto.Message, err error, want string) {
		t.Helper()
		if text := strings.ReplaceAll(fmt.Sprint(answer), "  ", " "); err != nil || !strings.Contains(text, want) {
			t.Errorf("%v, %v, want %s", answer, err, want)
		}
	}
	if ready, err := client.ModelReady(ctx, &inference.ModelReadyRequest{Name: "p"}); err != nil || ready.Ready {
		t.Errorf("without a worker: %v, %v", ready, err)
	}
	good := httptest.NewServer(inferring(t))
	defer good.Close()
	c.set(func(s *Service) { s.Workers = []Worker{{"a", strings.TrimPrefix(good.URL, "http://")}} })

	live, err := client.ServerLive(ctx, &inference.ServerLiveRequest{})
	must(live, err, "live:true")
	serverReady, err := client.ServerReady(ctx, &inference.ServerReadyRequest{})
	must(serverReady, err, "ready:true")
	server, err := client.ServerMetadata(ctx, &inference.ServerMetadataRequest{})
	must(server, err, `name:"thalweg"`)
	index, err := client.RepositoryIndex(ctx, &inference.RepositoryIndexRequest{Ready: true})
	must(index, err, `state:"READY"`)
	ready, err := client.ModelReady(ctx, &inference.ModelReadyRequest{Name: "p"})
	must(ready, err, "ready:true")
	metadata, err := client.ModelMetadata(ctx, &inference.ModelMetadataRequest{Name: "p"})
	must(metadata, err, `inputs:{name:"a" datatype:"FP64" shape:-1}`)
	stats, err := client.ModelStatistics(ctx, &inference.ModelStatisticsRequest{Name: "p"})
	must(stats, err, "success:{count:3 ns:5}")
	req := &inference.ModelInferRequest{ModelName: "p", ModelVersion: "2", Id: "7", Inputs: []*inference.ModelInferRequest_InferInputTensor{{Name: "a"}}, RawInputContents: [][]byte{[]byte("xyz")}}
	answer, err := client.ModelInfer(ctx, req)
	must(answer, err, `raw_output_contents:"xyz"`)

	for _, f := range []struct {
		req  *inference.ModelInferRequest
		code connect.Code
	}{
		{&inference.ModelInferRequest{ModelName: "p"}, connect.CodeInvalidArgument},
		{&inference.ModelInferRequest{ModelName: "q"}, connect.CodeNotFound},
		{&inference.ModelInferRequest{ModelName: "p/infer?"}, connect.CodeNotFound},
		{&inference.ModelInferRequest{ModelName: "p", ModelVersion: "../q"}, connect.CodeNotFound},
		{&inference.ModelInferRequest{ModelName: "p", RawInputContents: [][]byte{make([]byte, api.MaxPredictionBytes)}}, connect.CodeResourceExhausted},
	} {
		if _, err := client.ModelInfer(ctx, f.req); connect.CodeOf(err) != f.code {
			t.Errorf("%s %s: %v, want %v", f.req.ModelName, f.req.ModelVersion, err, f.code)
		}
	}
	if ready, err := client.ModelReady(ctx, &inference.ModelReadyRequest{Name: "q"}); err != nil || ready.Ready {
		t.Errorf("a model that is not there: %v, %v", ready, err)
	}
	c.set(func(s *Service) { s.RequestsPerSecond = 0.001 })
	for range 2 {
		_, err = client.ModelInfer(ctx, req)
	}
	if connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("a client that asks too often: %v", err)
	}
}

// TestCallsWaitForRoomBeforeTheyAreRead: what a message may become is reserved by what stands
// before it, and given back once the answer is written.
func TestCallsWaitForRoomBeforeTheyAreRead(t *testing.T) {
	t.Parallel()
	p, c := newProxy(t)
	good := httptest.NewServer(inferring(t))
	defer good.Close()
	c.set(func(s *Service) { s.Workers = []Worker{{"a", strings.TrimPrefix(good.URL, "http://")}} })
	message, err := proto.Marshal(&inference.ModelInferRequest{ModelName: "p", Inputs: []*inference.ModelInferRequest_InferInputTensor{{Name: "a"}}, RawInputContents: [][]byte{make([]byte, 1000)}})
	if err != nil {
		t.Fatal(err)
	}
	enveloped := func(flags byte, size int) []byte {
		return slices.Concat([]byte{flags}, binary.BigEndian.AppendUint32(nil, uint32(size)))
	}
	call := func(body io.Reader) string {
		r := httptest.NewRequest(http.MethodPost, inference.GRPCInferenceServiceModelInferProcedure, body)
		r.ProtoMajor, r.ProtoMinor, r.Proto = 2, 0, "HTTP/2.0"
		r.Header.Set("Content-Type", "application/grpc")
		r.Header.Set("Grpc-Encoding", "gzip")
		r.Header.Set("Te", "trailers")
		w := httptest.NewRecorder()
		p.GRPC().ServeHTTP(w, r)
		res := w.Result()
		return cmp.Or(res.Trailer.Get("Grpc-Status"), res.Header.Get("Grpc-Status"))
	}
	one := slices.Concat(enveloped(0, len(message)), message)
	for name, f := range map[string]struct {
		free int64
		body io.Reader
		want string
	}{
		"room":                         {maxHeldBytes, bytes.NewReader(one), "0"},
		"no room, and nothing is read": {1 << 20, io.MultiReader(bytes.NewReader(enveloped(0, 2<<20)), unreadable{t}), "8"},
		"no room for a bomb":           {10 << 20, io.MultiReader(bytes.NewReader(enveloped(1, 100)), unreadable{t}), "8"},
		"half an envelope":             {1 << 20, bytes.NewReader(one[:3]), "13"},
		"two messages":                 {maxHeldBytes, bytes.NewReader(slices.Concat(one, one)), "13"},
	} {
		if !p.held.TryAcquire(maxHeldBytes - f.free) {
			t.Fatalf("%s: a call before has not given back what it held", name)
		}
		if got := call(f.body); got != f.want {
			t.Errorf("%s: status %s, want %s", name, got, f.want)
		}
		p.held.Release(maxHeldBytes - f.free)
	}
	if !p.held.TryAcquire(maxHeldBytes) {
		t.Error("a call has not given back what it held")
	}
}

// unreadable is a body that must not be read.
type unreadable struct{ t testing.TB }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("a message is read without room for it")
	return 0, io.EOF
}
