package serve

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/thalweg/thalweg/pipeline/table"
)

// platform names what carries models out, as the protocol wants it.
const platform = "thalweg"

// extensions of the protocol that the server has.
var extensions = []string{"binary_tensor_data", "model_repository", "statistics"}

// inferenceRoutes are those of the Open Inference Protocol. A model of it is a pipeline.
func (s *Server) inferenceRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /v2", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]any{"name": platform, "version": s.build, "extensions": extensions})
	})
	live := func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, map[string]bool{"live": true}) }
	mux.HandleFunc("GET /v2/health/live", live)
	mux.HandleFunc("GET /v2/health/ready", s.ready)
	mux.HandleFunc("POST /v2/repository/index", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.index()) })
	for _, model := range []string{"/v2/models/{pipeline}", "/v2/models/{pipeline}/versions/{version}"} {
		mux.Handle("POST "+model+"/infer", s.answering("oip", s.infer))
		mux.HandleFunc("GET "+model, s.ofModel(func(e *Endpoint, v *Version) any { return metadataOf(e, v) }))
		mux.HandleFunc("GET "+model+"/ready", s.ofModel(func(e *Endpoint, v *Version) any { return map[string]any{"name": e.cfg.Pipeline, "ready": true} }))
		mux.HandleFunc("GET "+model+"/stats", s.ofModel(func(e *Endpoint, v *Version) any { return e.statistics(v) }))
	}
}

// ready answers 200 while all endpoints of this worker answer.
func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	ready := !s.draining.Load()
	for _, m := range s.index() {
		ready = ready && m.State == stateReady
	}
	if !ready {
		body, _ := json.Marshal(map[string]bool{"ready": false})
		write(w, jsonType, http.StatusServiceUnavailable, body)
		return
	}
	writeJSON(w, map[string]bool{"ready": true})
}

// The states of a model.
const (
	stateReady       = "READY"
	stateUnavailable = "UNAVAILABLE"
)

// indexed is a model of the repository index.
type indexed struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	State   string `json:"state"`
	Reason  string `json:"reason"`
}

// index lists the pipelines that are served here, with the version that answers.
func (s *Server) index() []indexed {
	all := []indexed{}
	for _, name := range s.Pipelines() {
		e, err := s.endpoint(name)
		if err != nil {
			all = append(all, indexed{Name: name, State: stateUnavailable, Reason: err.Error()})
			continue
		}
		m := indexed{Name: name, State: stateUnavailable}
		version, why := e.Status()
		if m.Reason = why; version > 0 {
			m.State, m.Version = stateReady, strconv.FormatUint(uint64(version), 10)
		}
		all = append(all, m)
	}
	return all
}

// ofModel serves what is asked of a model and a version.
func (s *Server) ofModel(serve func(e *Endpoint, v *Version) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), maxWait)
		defer cancel()
		e, err := s.endpoint(r.PathValue("pipeline"))
		if err == nil {
			var v *Version
			if v, err = e.Version(ctx, r.PathValue("version")); err == nil {
				writeJSON(w, serve(e, v))
				return
			}
		}
		refuse(w, err)
	}
}

// tensorMetadata is what is known of a tensor before there is one.
type tensorMetadata struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

// modelMetadata is that of a model of the protocol.
type modelMetadata struct {
	Name     string           `json:"name"`
	Versions []string         `json:"versions"`
	Platform string           `json:"platform"`
	Inputs   []tensorMetadata `json:"inputs"`
	Outputs  []tensorMetadata `json:"outputs"`
}

func metadataOf(e *Endpoint, v *Version) modelMetadata {
	return modelMetadata{Name: e.cfg.Pipeline, Versions: e.Versions(), Platform: platform, Inputs: tensorsOf(v.inputs.Columns), Outputs: tensorsOf(v.answers.columns)}
}

func tensorsOf(columns []table.Column) []tensorMetadata {
	all := []tensorMetadata{}
	for _, c := range columns {
		datatype, shape := datatypeOf(c.Type)
		all = append(all, tensorMetadata{c.Name, datatype, shape})
	}
	return all
}

// duration is so many requests, and how long they took.
type duration struct {
	Count int64 `json:"count"`
	NS    int64 `json:"ns"`
}

// modelStatistics are those of one model since its endpoint began here.
type modelStatistics struct {
	Name          string              `json:"name"`
	Version       string              `json:"version"`
	LastInference int64               `json:"last_inference"` // milliseconds since 1970 UTC
	Stats         map[string]duration `json:"inference_stats"`
}

// statistics are in the form of the protocol's extension of that name.
func (e *Endpoint) statistics(v *Version) map[string]any {
	s := &e.stats
	return map[string]any{"model_stats": []modelStatistics{{Name: e.cfg.Pipeline, Version: strconv.FormatUint(uint64(v.Model.Version), 10), LastInference: s.last.Load(),
		Stats: map[string]duration{"success": {s.good.Load(), s.goodNS.Load()}, "fail": {s.bad.Load(), s.badNS.Load()}}}}}
}

func writeJSON(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		refuse(w, err)
		return
	}
	write(w, jsonType, http.StatusOK, body)
}
