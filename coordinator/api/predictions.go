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

// HTTPStatus returns the status that a request for predictions is refused with.
func HTTPStatus(err error) int {
	switch thalweg.KindOf(err) {
	case thalweg.Invalid, thalweg.Unsupported:
		return http.StatusBadRequest
	case thalweg.Unauthenticated:
		return http.StatusUnauthorized
	case thalweg.Forbidden:
		return http.StatusForbidden
	case thalweg.NotFound, thalweg.Lost:
		return http.StatusNotFound
	case thalweg.Exhausted:
		return http.StatusRequestEntityTooLarge
	case thalweg.Throttled:
		return http.StatusTooManyRequests
	case thalweg.Unavailable:
		return http.StatusServiceUnavailable
	case thalweg.Canceled:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// KindOf is the inverse of HTTPStatus: the kind of error that a status is of.
func KindOf(status int) thalweg.Kind {
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return thalweg.Invalid
	case http.StatusUnauthorized:
		return thalweg.Unauthenticated
	case http.StatusForbidden:
		return thalweg.Forbidden
	case http.StatusNotFound:
		return thalweg.NotFound
	case http.StatusRequestEntityTooLarge:
		return thalweg.Exhausted
	case http.StatusTooManyRequests:
		return thalweg.Throttled
	case http.StatusServiceUnavailable:
		return thalweg.Unavailable
	case http.StatusGatewayTimeout:
		return thalweg.Canceled
	}
	return thalweg.Other
}
