package api

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// codes maps kinds to the codes of the RPC, for clients that read no details;
// where two kinds share a code, the first is what a bare code means.
var codes = [...]struct {
	kind thalweg.Kind
	code connect.Code
}{
	{thalweg.Other, connect.CodeInternal},
	{thalweg.Other, connect.CodeUnknown},
	{thalweg.Invalid, connect.CodeInvalidArgument},
	{thalweg.Invalid, connect.CodeOutOfRange},
	{thalweg.NotFound, connect.CodeNotFound},
	{thalweg.Exists, connect.CodeAlreadyExists},
	{thalweg.Conflict, connect.CodeFailedPrecondition},
	{thalweg.Fenced, connect.CodeAborted},
	{thalweg.Unavailable, connect.CodeUnavailable},
	{thalweg.Unavailable, connect.CodeDeadlineExceeded},
	{thalweg.Corrupt, connect.CodeDataLoss},
	{thalweg.Lost, connect.CodeDataLoss},
	{thalweg.Exhausted, connect.CodeResourceExhausted},
	{thalweg.Throttled, connect.CodeResourceExhausted},
	{thalweg.Unauthenticated, connect.CodeUnauthenticated},
	{thalweg.Forbidden, connect.CodePermissionDenied},
	{thalweg.Unsupported, connect.CodeUnimplemented},
	{thalweg.Canceled, connect.CodeCanceled},
}

// ToConnect returns err as the RPC carries it: kind, operation, subject, hint
// and cause travel as an ErrorDetail, and the message is err's text. A nil error
// stays nil.
func ToConnect(err error) error {
	if err == nil {
		return nil
	}
	var already *connect.Error
	if errors.As(err, &already) {
		return err
	}
	kind := thalweg.KindOf(err)
	if kind == thalweg.Other && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		kind = thalweg.Canceled
	}
	detail := &apiv1.ErrorDetail{Kind: uint32(kind)}
	var e *thalweg.Error
	if errors.As(err, &e) {
		detail.Op, detail.Subject, detail.Hint = e.Op, e.Subject, e.Hint
		if e.Err != nil {
			detail.Cause = e.Err.Error()
		}
	} else {
		detail.Cause = err.Error()
	}
	to := connect.NewError(codeOf(kind), err)
	if d, failed := connect.NewErrorDetail(detail); failed == nil {
		to.AddDetail(d)
	}
	return to
}

func codeOf(kind thalweg.Kind) connect.Code {
	for _, c := range codes {
		if c.kind == kind {
			return c.code
		}
	}
	return connect.CodeInternal
}

// FromConnect is the inverse of ToConnect: whatever err is, the result is a
// *thalweg.Error, or nil for nil.
func FromConnect(err error) error {
	if err == nil {
		return nil
	}
	var known *thalweg.Error
	var from *connect.Error
	if !errors.As(err, &from) {
		if errors.As(err, &known) {
			return err
		}
		return &thalweg.Error{Op: "call coordinator", Kind: kindOf(connect.CodeOf(err)), Err: err}
	}
	for _, d := range from.Details() {
		value, failed := d.Value()
		detail, ok := value.(*apiv1.ErrorDetail)
		if failed != nil || !ok {
			continue
		}
		e := &thalweg.Error{Op: detail.Op, Kind: thalweg.Kind(detail.Kind), Subject: detail.Subject, Hint: detail.Hint}
		if detail.Cause != "" {
			e.Err = errors.New(detail.Cause)
		}
		return e
	}
	kind := kindOf(from.Code())
	if !connect.IsWireError(err) && kind != thalweg.Exhausted && !errors.Is(err, context.Canceled) {
		// Not the far end's word but what became of the connection to it. The code
		// says little: a broken pipe is CodeCanceled there.
		kind = thalweg.Unavailable
	}
	return &thalweg.Error{Op: "call coordinator", Kind: kind, Err: errors.New(from.Message())}
}

func kindOf(code connect.Code) thalweg.Kind {
	for _, c := range codes {
		if c.code == code {
			return c.kind
		}
	}
	return thalweg.Other
}
