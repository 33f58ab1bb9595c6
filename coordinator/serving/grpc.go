package serving

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	"github.com/thalweg/thalweg/coordinator/api/inference"
	"github.com/thalweg/thalweg/tracing"
)

// message is a message of the protocol as it is on the wire: requests to infer, and their
// answers, pass through a coordinator unread but for the model's name.
type message struct{ bytes []byte }

// asIs is the codec of messages, and of the details of errors.
type asIs struct{}

// Name implements connect.Codec.
func (asIs) Name() string { return "proto" }

// Marshal implements connect.Codec.
func (asIs) Marshal(m any) ([]byte, error) {
	if m, ok := m.(*message); ok {
		return m.bytes, nil
	}
	return proto.Marshal(m.(proto.Message))
}

// Unmarshal implements connect.Codec.
func (asIs) Unmarshal(data []byte, m any) error {
	m.(*message).bytes = bytes.Clone(data) // which is the library's
	return nil
}

// encoded returns a message of an answer.
func encoded(m proto.Message, err error) (*message, error) {
	if err != nil {
		return nil, err
	}
	body, err := proto.Marshal(m)
	return &message{body}, err
}

// GRPC returns the handler of the Open Inference Protocol over gRPC. Each call becomes the
// request that a client of the protocol's other form would make, so that what holds for those,
// of who may ask and how often, and of workers that stop, holds for it.
func (p *Proxy) GRPC() http.Handler {
	mux := http.NewServeMux()
	for procedure, call := range map[string]func(ctx context.Context, req *message) (*message, error){
		inference.GRPCInferenceServiceServerLiveProcedure:      p.serverLive,
		inference.GRPCInferenceServiceServerReadyProcedure:     p.serverReady,
		inference.GRPCInferenceServiceServerMetadataProcedure:  p.serverMetadata,
		inference.GRPCInferenceServiceRepositoryIndexProcedure: p.repositoryIndex,
		inference.GRPCInferenceServiceModelReadyProcedure:      p.modelReady,
		inference.GRPCInferenceServiceModelMetadataProcedure:   p.modelMetadata,
		inference.GRPCInferenceServiceModelStatisticsProcedure: p.modelStatistics,
		inference.GRPCInferenceServiceModelInferProcedure:      p.modelInfer,
	} {
		mux.Handle(procedure, connect.NewUnaryHandlerSimple(procedure, func(ctx context.Context, req *message) (*message, error) {
			answer, err := call(ctx, req)
			return answer, api.ToConnect(err)
		}, append(api.Bounded(api.MaxPredictionBytes, 0), connect.WithCodec(asIs{}), connect.WithCompressMinBytes(compressAbove))...))
	}
	refused := connect.NewErrorWriter(connect.WithCodec(asIs{}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		held := &hold{of: p.held}
		defer held.release()
		if err := held.admit(r); err != nil {
			_ = refused.Write(w, r, api.ToConnect(err)) // fails if nobody reads it
			return
		}
		mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), holdKey{}, held)))
	})
}

// holdKey is what the hold of a call is in its context.
type holdKey struct{}

// compressAbove is the size above which answers are compressed for those who ask for it.
const compressAbove = 64 << 10

func (p *Proxy) serverLive(context.Context, *message) (*message, error) {
	return encoded(&inference.ServerLiveResponse{Live: true}, nil)
}

func (p *Proxy) serverReady(context.Context, *message) (*message, error) {
	return encoded(&inference.ServerReadyResponse{Ready: true}, nil)
}

func (p *Proxy) serverMetadata(context.Context, *message) (*message, error) {
	return encoded(&inference.ServerMetadataResponse{Name: serverName, Version: p.build, Extensions: extensions()}, nil)
}

func (p *Proxy) repositoryIndex(ctx context.Context, req *message) (*message, error) {
	asked, res := new(inference.RepositoryIndexRequest), new(inference.RepositoryIndexResponse)
	if err := unread(api.Unmarshal(req.bytes, asked, api.MaxParts)); err != nil {
		return nil, err
	}
	for _, m := range p.models(ctx) {
		if !asked.Ready || m.State == stateReady {
			res.Models = append(res.Models, &inference.RepositoryIndexResponse_ModelIndex{Name: m.Name, State: m.State, Reason: m.Reason})
		}
	}
	return encoded(res, nil)
}

// modelReady tells of a model that is not there that it is not ready, as Triton does.
func (p *Proxy) modelReady(ctx context.Context, req *message) (*message, error) {
	_, err := p.tell(ctx, req, "/ready")
	if err != nil && !thalweg.Is(err, thalweg.NotFound) && !thalweg.Is(err, thalweg.Unavailable) {
		return nil, err
	}
	return encoded(&inference.ModelReadyResponse{Ready: err == nil}, nil)
}

func (p *Proxy) modelMetadata(ctx context.Context, req *message) (*message, error) {
	return toldAs(new(inference.ModelMetadataResponse))(p.tell(ctx, req, ""))
}

func (p *Proxy) modelStatistics(ctx context.Context, req *message) (*message, error) {
	return toldAs(new(inference.ModelStatisticsResponse))(p.tell(ctx, req, "/stats"))
}

// toldAs has a message be what a worker tells of a model: it has the same fields as JSON.
func toldAs(to proto.Message) func(answer []byte, err error) (*message, error) {
	return func(answer []byte, err error) (*message, error) {
		if err == nil {
			err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(answer, to)
		}
		return encoded(to, err)
	}
}

// tell asks about the model that a request for metadata names; those for whether it is ready
// and for statistics have the same fields.
func (p *Proxy) tell(ctx context.Context, req *message, what string) ([]byte, error) {
	of := new(inference.ModelMetadataRequest)
	if err := unread(api.Unmarshal(req.bytes, of, api.MaxParts)); err != nil {
		return nil, err
	}
	return p.call(ctx, http.MethodGet, of.Name, of.Version, what, nil)
}

// modelInfer passes a message on as it came.
func (p *Proxy) modelInfer(ctx context.Context, req *message) (*message, error) {
	model, version, err := modelOf(req.bytes)
	if err != nil {
		return nil, err
	}
	answer, err := p.call(ctx, http.MethodPost, model, version, "/infer", req.bytes)
	return &message{answer}, err
}

func unread(err error) error {
	if err == nil {
		return nil
	}
	return &thalweg.Error{Op: "read request", Kind: thalweg.Invalid, Subject: "message", Err: err}
}

// modelOf returns the fields model_name and model_version of a request to infer.
func modelOf(request []byte) (model, version string, err error) {
	for len(request) > 0 {
		number, typ, n := protowire.ConsumeTag(request)
		size := -1
		if n >= 0 {
			size = protowire.ConsumeFieldValue(number, typ, request[n:])
		}
		if size < 0 {
			return "", "", unread(protowire.ParseError(min(n, size)))
		}
		if typ == protowire.BytesType && (number == 1 || number == 2) {
			text, _ := protowire.ConsumeString(request[n:])
			if number == 1 {
				model = text
			} else {
				version = text
			}
		}
		request = request[n+size:]
	}
	return model, version, nil
}

// call passes a request about a model on to the workers, for who calls.
func (p *Proxy) call(ctx context.Context, method, model, version, what string, body []byte) ([]byte, error) {
	path := "/v2/models/" + model
	if version != "" {
		path += "/versions/" + version
	}
	for _, name := range []string{model, version} {
		if strings.Contains(name, "/") || name == "." || name == ".." || name == "" && model == "" {
			return nil, &thalweg.Error{Op: "score", Kind: thalweg.NotFound, Subject: fmt.Sprintf("model %.64q, version %.64q", model, version), Hint: "`thalweg status` lists those that are served"}
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, (&url.URL{Path: path + what}).String(), http.NoBody)
	if err != nil {
		return nil, &thalweg.Error{Op: "score", Kind: thalweg.Invalid, Err: err}
	}
	header := make(http.Header)
	if call, known := connect.CallInfoForHandlerContext(ctx); known {
		r.RemoteAddr, header = call.Peer().Addr, call.ResponseHeader()
		if trace := call.RequestHeader().Get(tracing.Header); trace != "" {
			r.Header.Set(tracing.Header, trace)
		}
	}
	r.Header.Set("Content-Type", api.MessageType)
	a, err := p.pass(header, r, model, body, ctx.Value(holdKey{}).(*hold))
	if err != nil {
		return nil, err
	}
	if a.status == http.StatusOK {
		return a.body, nil
	}
	var said struct{ Error string }
	if json.Unmarshal(a.body, &said) != nil || said.Error == "" {
		said.Error = fmt.Sprintf("%d %.400s", a.status, a.body)
	}
	if after := a.header.Get("Retry-After"); after != "" {
		header.Set("Retry-After", after)
	}
	return nil, &thalweg.Error{Op: "ask worker", Kind: api.KindOf(a.status), Err: errors.New(said.Error)}
}
