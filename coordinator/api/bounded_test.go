package api

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/thalweg/thalweg/coordinator/api/inference"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/integration/effort"
)

// requestBytes is what these requests may have, as polls may.
const requestBytes = MaxPollBytes

// poller answers polls.
type poller struct {
	apiv1.UnimplementedCoordinatorServiceHandler
}

func (poller) Poll(context.Context, *apiv1.PollRequest) (*apiv1.PollResponse, error) {
	return &apiv1.PollResponse{LeasesHash: "h"}, nil
}

func zipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func enveloped(flags byte, size uint32, data []byte) []byte {
	return slices.Concat([]byte{flags}, binary.BigEndian.AppendUint32(nil, size), data)
}

// post sends a body as somebody would who wants to hurt, and returns the answer and what it cost.
func post(handler http.Handler, contentType, encoding string, body []byte) (answer *httptest.ResponseRecorder, allocated uint64) {
	req := httptest.NewRequest(http.MethodPost, apiv1.CoordinatorServicePollProcedure, bytes.NewReader(body))
	req.Header.Set("Content-Type", contentType)
	if strings.HasPrefix(contentType, "application/grpc") {
		req.ProtoMajor, req.ProtoMinor, req.Proto = 2, 0, "HTTP/2.0"
		req.Header.Set("Te", "trailers")
		req.Header.Set("Grpc-Encoding", encoding)
	} else if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	answer = httptest.NewRecorder()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	handler.ServeHTTP(answer, req)
	runtime.ReadMemStats(&after)
	return answer, after.TotalAlloc - before.TotalAlloc
}

// hostileBody is a request of which nothing comes but an error that says so.
type hostileBody struct {
	contentType, encoding string
	body                  []byte
	says                  string
}

// The content types of requests.
const jsonType, protoType, grpcType = "application/json", "application/proto", "application/grpc+proto"

// hostileBodies are by name what no client sends.
func hostileBodies(t testing.TB) map[string]hostileBody {
	zeros := make([]byte, 256<<20)
	bomb := zipped(t, zeros)
	bombInBomb := zipped(t, bomb)
	many := func(field byte) []byte { return bytes.Repeat([]byte{field<<3 | 2, 0}, requestBytes/2) } // empty messages
	inside := func(field byte) []byte {                                                              // one report of many empty texts
		part := bytes.Repeat([]byte{field<<3 | 2, 0}, requestBytes/2-8)
		return slices.Concat([]byte{8<<3 | 2}, binary.AppendUvarint(nil, uint64(len(part))), part)
	}
	nested := func(n int) []byte {
		return []byte(`{"unknown":` + strings.Repeat("[", n) + strings.Repeat("]", n) + "}")
	}
	return map[string]hostileBody{
		"a large body":             {jsonType, "", zeros[:requestBytes+1], "resource_exhausted"},
		"a large body, binary":     {protoType, "", zeros[:requestBytes+1], "resource_exhausted"},
		"a bomb":                   {jsonType, "gzip", bomb, "resource_exhausted"},
		"a bomb, binary":           {protoType, "gzip", bomb, "resource_exhausted"},
		"a bomb in a bomb":         {jsonType, "gzip", bombInBomb, "invalid"},
		"a bomb, cut":              {jsonType, "gzip", bomb[:len(bomb)/2], "resource_exhausted"},
		"no gzip":                  {jsonType, "gzip", []byte("{}"), "decompressor"},
		"another compression":      {jsonType, "br", []byte("{}"), "unimplemented"},
		"empty messages":           {protoType, "", many(7), "more than 32768"},
		"empty reports":            {protoType, "", many(8), "more than 32768"},
		"empty texts of a report":  {protoType, "", inside(9), "more than 32768"},
		"empty counts of a report": {protoType, "", inside(8), "more than 32768"},
		"items":                    {jsonType, "", []byte(`{"progress":[` + strings.Repeat("{},", requestBytes/3-20) + "{}]}"), "more than 32768"},
		"texts":                    {jsonType, "", []byte(`{"reports":[{"partials":[` + strings.Repeat(`"",`, requestBytes/3-40) + `""]}]}`), "more than 32768"},
		"unknown fields":           {jsonType, "", []byte(`{` + strings.Repeat(`"x":1,`, requestBytes/6-20) + `"x":1}`), "more than 32768"},
		"nesting":                  {jsonType, "", nested(30_000), "depth"},
		"open brackets":            {jsonType, "", []byte(`{"progress":` + strings.Repeat("[", 20_000)), "invalid_argument"},
		"open messages":            {protoType, "", bytes.Repeat([]byte{7<<3 | 2, 0xff, 0xff, 0x7f}, 1000), "invalid_argument"},
		"groups":                   {protoType, "", bytes.Repeat([]byte{15<<3 | 3}, 1<<20), "invalid_argument"},
		"a long text":              {jsonType, "", []byte(`{"workerId":"` + strings.Repeat(`é`, requestBytes)), "resource_exhausted"},
		"a number":                 {jsonType, "", []byte(`{"slots":` + strings.Repeat("9", 1<<20) + "}"), "invalid_argument"},
		"half a message":           {protoType, "", []byte{7<<3 | 2, 100, 1}, "invalid_argument"},
		"text that is none":        {jsonType, "", []byte("{\"workerId\":\"\xff\xfe\"}"), "invalid_argument"},
		"nothing":                  {jsonType, "", nil, "invalid_argument"},
		"a size of 4 GB":           {grpcType, "identity", enveloped(0, 1<<32-1, zeros[:100]), "8"},
		"a bomb in a stream":       {grpcType, "gzip", enveloped(1, uint32(len(bomb)), bomb), "8"},
		"half an envelope":         {grpcType, "identity", []byte{0, 0, 0}, "3"},
		"half a stream":            {grpcType, "identity", enveloped(0, 100, zeros[:10]), "3"},
		"empty messages, streamed": {grpcType, "identity", enveloped(0, requestBytes, many(7)), "3"},
	}
}

func TestHostileBodiesAreRefusedForLittleMemory(t *testing.T) {
	_, handler := apiv1.NewCoordinatorServiceHandler(poller{}, Bounded(requestBytes, MaxParts)...)
	for name, c := range hostileBodies(t) {
		answer, n := post(handler, c.contentType, c.encoding, c.body)
		said := answer.Body.String() + answer.Header().Get("Grpc-Status") + answer.Result().Trailer.Get("Grpc-Status")
		if c.contentType == grpcType {
			said = answer.Result().Trailer.Get("Grpc-Status") + answer.Header().Get("Grpc-Status")
		}
		if answer.Code == http.StatusOK && c.contentType != grpcType || !strings.Contains(said, c.says) {
			t.Errorf("%s: status %d, %.300q, want %s", name, answer.Code, said, c.says)
		}
		if n > 16<<20 && !effort.Raced {
			t.Errorf("%s: %d bytes are allocated", name, n)
		}
	}
}

// TestPackedNumbersAreCountedByWhatTheyBecome, before they are read.
func TestPackedNumbersAreCountedByWhatTheyBecome(t *testing.T) {
	field := func(number protowire.Number, value []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), value)
	}
	tensor := func(f protoreflect.ProtoMessage, name protoreflect.Name, value []byte) []byte { // an input whose contents or shape have it
		return field(f.ProtoReflect().Descriptor().Fields().ByName(name).Number(), value)
	}
	contents := func(name protoreflect.Name, value []byte) []byte {
		in := tensor(new(inference.ModelInferRequest_InferInputTensor), "contents", tensor(new(inference.InferTensorContents), name, value))
		return tensor(new(inference.ModelInferRequest), "inputs", in)
	}
	zeros := make([]byte, MaxPredictionBytes-100)
	shape := tensor(new(inference.ModelInferRequest), "inputs", tensor(new(inference.ModelInferRequest_InferInputTensor), "shape", zeros))
	single := bytes.Repeat(append(protowire.AppendTag(nil, new(inference.InferTensorContents).ProtoReflect().Descriptor().Fields().ByName("int64_contents").Number(), protowire.VarintType), 0), maxNumberBytes/8+1)
	alone := tensor(new(inference.ModelInferRequest), "inputs", tensor(new(inference.ModelInferRequest_InferInputTensor), "contents", single))
	for name, data := range map[string][]byte{"contents": contents("int64_contents", zeros), "halves": contents("int_contents", zeros), "a shape": shape, "not packed": alone} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := Unmarshal(data, new(inference.ModelInferRequest), MaxElements)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; err == nil || !strings.Contains(err.Error(), "repeated numbers") || n > 1<<20 {
			t.Errorf("%s: %v, and %d bytes are allocated", name, err, n)
		}
	}
	for name, data := range map[string][]byte{"bools": contents("bool_contents", zeros), "floats": contents("fp64_contents", zeros[:1<<20]), "numbers": contents("int64_contents", zeros[:1<<20])} {
		if err := Unmarshal(data, new(inference.ModelInferRequest), MaxElements); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// BenchmarkHostileBodies shows the time of each; none takes 50 ms.
func BenchmarkHostileBodies(b *testing.B) {
	_, handler := apiv1.NewCoordinatorServiceHandler(poller{}, Bounded(requestBytes, MaxParts)...)
	bodies := hostileBodies(b)
	for _, name := range slices.Sorted(maps.Keys(bodies)) {
		c := bodies[name]
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				post(handler, c.contentType, c.encoding, c.body)
			}
		})
	}
}

// What is within the bounds is read as the library's own codecs do.
func TestBoundedCodecsReadWhatTheyWrite(t *testing.T) {
	_, handler := apiv1.NewCoordinatorServiceHandler(poller{}, Bounded(requestBytes, MaxParts)...)
	poll := &apiv1.PollRequest{WorkerId: "wörker, {[\"", Incarnation: "i", Reports: []*apiv1.TaskReport{{TaskId: "t", Outputs: map[string]string{"a": "b"}}}}
	for range 4096 {
		poll.Progress = append(poll.Progress, &apiv1.Progress{TaskId: "run/task", Message: "epoch 1, {", Checkpoint: "k#s"})
	}
	binary, err := proto.Marshal(poll)
	if err != nil {
		t.Fatal(err)
	}
	text, err := protojson.Marshal(poll)
	if err != nil {
		t.Fatal(err)
	}
	for contentType, body := range map[string][]byte{"application/proto": binary, "application/json": text, "application/json; charset=utf-8": text} {
		for _, encoding := range []string{"", "gzip"} {
			sent := body
			if encoding != "" {
				sent = zipped(t, body)
			}
			if answer, _ := post(handler, contentType, encoding, sent); answer.Code != http.StatusOK {
				t.Errorf("%s %s: status %d, %.200q", contentType, encoding, answer.Code, answer.Body)
			}
		}
	}
	for _, c := range []boundedCodec{{"proto", MaxParts}, {"json", MaxParts}} {
		data, err := c.Marshal(poll)
		back := new(apiv1.PollRequest)
		if err := c.Unmarshal(data, back); err != nil || !proto.Equal(poll, back) {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, failed := c.Marshal(1); err != nil || failed == nil || c.Unmarshal(data, 1) == nil {
			t.Errorf("%s: %v, and what is no message is one", c.name, err)
		}
	}
}

// A request of any bytes is read or refused for little memory.
func FuzzUnmarshal(f *testing.F) {
	poll := &apiv1.PollRequest{WorkerId: "w", Incarnation: "i", Slots: 2, Progress: []*apiv1.Progress{{TaskId: "t"}},
		Reports: []*apiv1.TaskReport{{TaskId: "t", Partials: []string{"a"}, Metrics: map[string]float64{"loss": 1}}}}
	for _, c := range []boundedCodec{{"proto", MaxParts}, {"json", MaxParts}} {
		data, err := c.Marshal(poll)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, c.binary())
	}
	f.Fuzz(func(t *testing.T, data []byte, binary bool) {
		c := boundedCodec{"json", MaxParts}
		if binary {
			c.name = "proto"
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_ = c.Unmarshal(data, new(apiv1.PollRequest))
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
			t.Errorf("%d bytes are allocated for %d", n, len(data))
		}
	})
}

var _ connect.Decompressor = new(boundedGzip)
var _ io.Reader = new(boundedGzip)
