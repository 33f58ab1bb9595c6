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

// inferenceRoutes are those of the Open Inference Protocol that are about a model, which is a
// pipeline. Those about the server coordinators answer.
func (s *Server) inferenceRoutes(mux *http.ServeMux) {
	for _, model := range []string{"/v2/models/{pipeline}", "/v2/models/{pipeline}/versions/{version}"} {
		mux.Handle("POST "+model+"/infer", s.answering("oip", s.infer))
		mux.HandleFunc("GET "+model, s.ofModel(func(e *Endpoint, v *Version) any { return metadataOf(e, v) }))
		mux.HandleFunc("GET "+model+"/ready", s.ofModel(func(e *Endpoint, v *Version) any { return map[string]any{"name": e.cfg.Pipeline, "ready": true} }))
		mux.HandleFunc("GET "+model+"/stats", s.ofModel(func(e *Endpoint, v *Version) any { return e.statistics(v) }))
	}
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
