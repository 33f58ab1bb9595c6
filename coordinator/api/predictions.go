package api

import (
	"net/http"

	"github.com/thalweg/thalweg"
)

const (
	// TimeoutHeader of a request for predictions is how many milliseconds its client waits.
	TimeoutHeader = "Thalweg-Timeout-Ms"
	// MaxPredictionBytes bounds such a request.
	MaxPredictionBytes = 32 << 20
	// MessageType is the Content-Type of a request of the Open Inference Protocol that came by
	// gRPC, and of its answer: messages of package inference.
	MessageType = "application/x-protobuf"
)

// statuses are those that requests for predictions are refused with; the first of a kind or of
// a status is what the other becomes.
var statuses = [...]struct {
	kind   thalweg.Kind
	status int
}{
	{thalweg.Invalid, http.StatusBadRequest},
	{thalweg.Unsupported, http.StatusBadRequest},
	{thalweg.Invalid, http.StatusUnprocessableEntity},
	{thalweg.Unauthenticated, http.StatusUnauthorized},
	{thalweg.Forbidden, http.StatusForbidden},
	{thalweg.NotFound, http.StatusNotFound},
	{thalweg.Lost, http.StatusNotFound},
	{thalweg.Exhausted, http.StatusRequestEntityTooLarge},
	{thalweg.Throttled, http.StatusTooManyRequests},
	{thalweg.Unavailable, http.StatusServiceUnavailable},
	{thalweg.Canceled, http.StatusGatewayTimeout},
}

// HTTPStatus returns the status that a request for predictions is refused with.
func HTTPStatus(err error) int {
	kind := thalweg.KindOf(err)
	for _, s := range statuses {
		if s.kind == kind {
			return s.status
		}
	}
	return http.StatusInternalServerError
}

// KindOf is the inverse of HTTPStatus: the kind of error that a status is of.
func KindOf(status int) thalweg.Kind {
	for _, s := range statuses {
		if s.status == status {
			return s.kind
		}
	}
	return thalweg.Other
}
