package serve

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	"github.com/thalweg/thalweg/coordinator/api/inference"
)

// inferMessage answers an inference request that came to a coordinator by gRPC: it has the
// same tensors in another form.
func (x *exchange) inferMessage() error {
	x.protocol = "grpc"
	var req inference.ModelInferRequest
	var values []byte
	var ends []int
	if err := x.arriving(func(body []byte) (err error) {
		if err := api.Unmarshal(body, &req, api.MaxElements); err != nil {
			return &thalweg.Error{Op: "read request", Kind: thalweg.Invalid, Subject: "body", Err: err, Hint: "send long columns as raw_input_contents"}
		}
		values, ends, err = parseMessage(x.version, &req)
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
	res := &inference.ModelInferResponse{ModelName: x.endpoint.cfg.Pipeline, ModelVersion: strconv.FormatUint(uint64(x.version.Model.Version), 10), Id: req.Id}
	for _, o := range outputs {
		res.Outputs = append(res.Outputs, &inference.ModelInferResponse_InferOutputTensor{Name: o.name, Datatype: o.datatype, Shape: o.shape})
		res.RawOutputContents = append(res.RawOutputContents, o.appendBinary(nil, answer))
	}
	body, err := proto.Marshal(res)
	if err != nil {
		return &thalweg.Error{Op: "write answer", Err: err}
	}
	write(x, api.MessageType, http.StatusOK, body)
	return nil
}

// parseMessage takes a request apart, as parseInfer does.
func parseMessage(v *Version, req *inference.ModelInferRequest) (values []byte, ends []int, err error) {
	if len(req.Inputs) > maxTensors || len(req.Outputs) > maxTensors {
		return nil, nil, invalid("inputs", fmt.Sprintf("%d, and %d outputs, at most %d", len(req.Inputs), len(req.Outputs), maxTensors))
	}
	raw := req.RawInputContents
	if len(raw) > 0 && len(raw) != len(req.Inputs) {
		return nil, nil, invalid("raw_input_contents", fmt.Sprintf("they are of %d inputs, there are %d", len(raw), len(req.Inputs)))
	}
	var tensors []*tensor
	for i, in := range req.Inputs {
		t, err := newTensor(v.inputs, in.Name, in.Datatype, in.Shape)
		if err != nil {
			return nil, nil, err
		}
		switch {
		case len(raw) == 0:
			err = t.setContents(in.Contents)
		case in.Contents != nil:
			err = invalid(fmt.Sprintf("input %.64q", in.Name), "it has contents, and there are raw_input_contents")
		default:
			err = t.setBinary(raw[i])
		}
		if err != nil {
			return nil, nil, err
		}
		tensors = append(tensors, t)
	}
	return rowsOf(tensors)
}

// setContents sets the elements as the list of a message for their datatype.
func (t *tensor) setContents(c *inference.InferTensorContents) error {
	var n int
	switch {
	case t.datatype == boolType:
		of := c.GetBoolContents()
		n, t.append = len(of), func(to []byte, i int) []byte { return strconv.AppendBool(to, of[i]) }
	case t.datatype == fp32Type:
		of := c.GetFp32Contents()
		n, t.append = len(of), func(to []byte, i int) []byte { return appendFloat(to, float64(of[i])) }
	case t.datatype == fp64Type:
		of := c.GetFp64Contents()
		n, t.append = len(of), func(to []byte, i int) []byte { return appendFloat(to, of[i]) }
	case t.datatype == bytesType:
		of := c.GetBytesContents()
		n, t.append = len(of), func(to []byte, i int) []byte { return appendText(to, of[i]) }
	case t.datatype == int64Type:
		of := c.GetInt64Contents()
		n, t.append = len(of), func(to []byte, i int) []byte { return strconv.AppendInt(to, of[i], 10) }
	case t.datatype == "UINT64":
		of := c.GetUint64Contents()
		n, t.append = len(of), func(to []byte, i int) []byte { return strconv.AppendUint(to, of[i], 10) }
	case strings.HasPrefix(t.datatype, "UINT"):
		of := c.GetUintContents()
		n, t.append = len(of), func(to []byte, i int) []byte { return strconv.AppendUint(to, uint64(of[i]), 10) }
	default:
		of := c.GetIntContents()
		n, t.append = len(of), func(to []byte, i int) []byte { return strconv.AppendInt(to, int64(of[i]), 10) }
	}
	if n != t.size() {
		return invalid(fmt.Sprintf("input %.64q", t.name), fmt.Sprintf("its contents have %d elements of %s, its shape %d", n, t.datatype, t.size()))
	}
	return nil
}
