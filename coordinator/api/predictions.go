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
