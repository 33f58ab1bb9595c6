package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
)

// binaryHeader says how many bytes of JSON are before the binary data of tensors.
const binaryHeader = "Inference-Header-Content-Length"

// maxTensors bounds the tensors of a request: columns are as many at most.
const maxTensors = 10_000

// inferRequest is an inference request of the Open Inference Protocol, version 2.
type inferRequest struct {
	ID         string     `json:"id"`
	Parameters parameters `json:"parameters"`
	Inputs     []struct {
		Name       string          `json:"name"`
		Shape      []int64         `json:"shape"`
		Datatype   string          `json:"datatype"`
		Parameters parameters      `json:"parameters"`
		Data       json.RawMessage `json:"data"`
	} `json:"inputs"`
	Outputs []struct {
		Name       string     `json:"name"`
		Parameters parameters `json:"parameters"`
	} `json:"outputs"`
}

// parameters are those of the protocol's extensions that are known here; others are ignored.
type parameters struct {
	BinaryDataSize   *int  `json:"binary_data_size"`
	BinaryData       *bool `json:"binary_data"`
	BinaryDataOutput bool  `json:"binary_data_output"`
}

// infer answers POST /v2/models/{pipeline}[/versions/{version}]/infer.
func (s *Server) infer(x *exchange) error {
	if x.r.Header.Get("Content-Type") == api.MessageType {
		return x.inferMessage()
	}
	var req inferRequest
	var values []byte
	var ends []int
	if err := x.arriving(func(body []byte) (err error) {
		values, ends, err = parseInfer(x.version, x.r.Header.Get(binaryHeader), body, &req)
		return err
	}); err != nil {
		return err
	}
	wanted := make([]string, len(req.Outputs))
	for i, o := range req.Outputs {
		wanted[i] = o.Name
	}
	answer, outputs, err := x.scoreTensors(values, ends, wanted)
	if err != nil {
		return err
	}
	for i, o := range outputs {
		o.binary = req.Parameters.BinaryDataOutput
		if i < len(req.Outputs) && req.Outputs[i].Parameters.BinaryData != nil {
			o.binary = *req.Outputs[i].Parameters.BinaryData
		}
	}
	x.writeInference(req.ID, outputs, answer)
	return nil
}

// scoreTensors answers for rows that came as tensors, with the outputs that are wanted by
// name. That no row was scored is an error.
func (x *exchange) scoreTensors(values []byte, ends []int, wanted []string) (*Answer, []*output, error) {
	a, err := x.score(rows{values: values, ends: ends})
	if err != nil {
		return nil, nil, err
	}
	if n := a.rejected(); n > 0 && n == a.Len() {
		return nil, nil, &thalweg.Error{Op: "score", Kind: thalweg.Invalid, Subject: "row 0", Err: errors.New(a.errorOf(0))}
	}
	outputs, err := x.version.outputsOf(wanted, a)
	return a, outputs, err
}

// parseInfer takes a request apart: JSON, and behind it the binary data of tensors, in their
// order, if header says how long the JSON is.
func parseInfer(v *Version, header string, body []byte, req *inferRequest) (values []byte, ends []int, err error) {
	text, raw := body, []byte(nil)
	if header != "" {
		n, err := strconv.Atoi(header)
		if err != nil || n < 0 || n > len(body) {
			return nil, nil, invalid(binaryHeader, fmt.Sprintf("%.20q of a body of %d bytes", header, len(body)))
		}
		text, raw = body[:n], body[n:]
	}
	if err := json.Unmarshal(text, req); err != nil {
		return nil, nil, &thalweg.Error{Op: "read request", Kind: thalweg.Invalid, Subject: "body", Err: err}
	}
	if len(req.Inputs) > maxTensors || len(req.Outputs) > maxTensors {
		return nil, nil, invalid("inputs", fmt.Sprintf("%d, and %d outputs, at most %d", len(req.Inputs), len(req.Outputs), maxTensors))
	}
	var tensors []*tensor
	for i := range req.Inputs {
		in := &req.Inputs[i]
		t, err := newTensor(v.inputs, in.Name, in.Datatype, in.Shape)
		if err != nil {
			return nil, nil, err
		}
		if size := in.Parameters.BinaryDataSize; size == nil {
			err = t.setJSON(in.Data)
		} else if *size < 0 || *size > len(raw) || len(in.Data) > 0 {
			err = invalid(fmt.Sprintf("input %.64q", in.Name), fmt.Sprintf("binary_data_size %d: %d bytes are left behind the JSON", *size, len(raw)))
		} else {
			err = t.setBinary(raw[:*size])
			raw = raw[*size:]
		}
		if err != nil {
			return nil, nil, err
		}
		tensors = append(tensors, t)
	}
	if len(raw) > 0 {
		return nil, nil, invalid("body", fmt.Sprintf("%d bytes behind the JSON are of no tensor", len(raw)))
	}
	return rowsOf(tensors)
}

// writeInference answers with outputs, as JSON and, for those that are to be binary, behind it.
func (x *exchange) writeInference(id string, outputs []*output, a *Answer) {
	out := appendText([]byte(`{"model_name":`), []byte(x.endpoint.cfg.Pipeline))
	out = fmt.Appendf(out, `,"model_version":"%d"`, x.version.Model.Version)
	if id != "" {
		out = append(out, `,"id":`...)
		out = appendText(out, []byte(strings.ToValidUTF8(id, "\uFFFD")))
	}
	out = append(out, `,"outputs":[`...)
	var raw []byte
	for i, o := range outputs {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, `{"name":`...)
		out = appendText(out, []byte(o.name))
		out = append(out, `,"datatype":"`+o.datatype+`","shape":[`...)
		for k, n := range o.shape {
			if k > 0 {
				out = append(out, ',')
			}
			out = strconv.AppendInt(out, n, 10)
		}
		out = append(out, ']')
		if o.binary {
			before := len(raw)
			raw = o.appendBinary(raw, a)
			out = fmt.Appendf(out, `,"parameters":{"binary_data_size":%d}}`, len(raw)-before)
			continue
		}
		out = append(out, `,"data":`...)
		out = append(o.appendJSON(out, a), '}')
	}
	out = append(out, "]}"...)
	contentType := jsonType
	if raw != nil {
		contentType = "application/octet-stream"
		x.Header().Set(binaryHeader, strconv.Itoa(len(out)))
		out = append(out, raw...)
	}
	write(x, contentType, http.StatusOK, out)
}
