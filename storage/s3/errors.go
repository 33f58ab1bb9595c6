package s3

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"syscall"

	"github.com/minio/minio-go/v7"

	"github.com/thalweg/thalweg"
)

// codes tells what S3's error codes, and those of servers that keep objects as
// files, mean to a caller of a Bucket. Codes that are not here go by their
// HTTP status.
var codes = map[string]thalweg.Kind{
	"NoSuchKey":           thalweg.NotFound,
	"NoSuchBucket":        thalweg.NotFound,
	"PreconditionFailed":  thalweg.Exists,
	"InvalidRange":        thalweg.Invalid,
	"KeyTooLongError":     thalweg.Invalid,
	"InvalidBucketName":   thalweg.Invalid,
	"EntityTooLarge":      thalweg.Exhausted,
	"QuotaExceeded":       thalweg.Exhausted,
	"NotImplemented":      thalweg.Unsupported,
	"APINotSupported":     thalweg.Unsupported,
	"BucketAlreadyExists": thalweg.Exists,

	// Another conditional request on the key is under way: its outcome decides.
	"ConditionalRequestConflict": thalweg.Unavailable,
	"OperationAborted":           thalweg.Unavailable,
	"RequestTimeout":             thalweg.Unavailable,
	"SlowDown":                   thalweg.Unavailable,
	// The bytes changed on the way.
	"BadDigest":                    thalweg.Unavailable,
	"IncompleteBody":               thalweg.Unavailable,
	"XAmzContentSHA256Mismatch":    thalweg.Unavailable,
	"XMinioInvalidContentChecksum": thalweg.Unavailable,

	// A key cannot be an object and the prefix of another.
	"ObjectParentIsFile":            thalweg.Invalid, // versitygw
	"ExistingObjectIsDirectory":     thalweg.Invalid,
	"XMinioParentIsObject":          thalweg.Invalid, // MinIO
	"XMinioObjectExistsAsDirectory": thalweg.Invalid,
	"XMinioInvalidObjectName":       thalweg.Invalid,
	"XMinioStorageFull":             thalweg.Exhausted,
}

// kindOf classifies an error of minio-go. What is no answer of the store, or
// one that cannot be read, leaves the outcome unknown: Unavailable.
func kindOf(err error) thalweg.Kind {
	if untrusted(err) {
		return thalweg.Other
	}
	if kind := thalweg.KindOf(err); kind != thalweg.Other { // the dialer's, or of an answer that this package refused
		return kind
	}
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return thalweg.Unavailable
	}
	if kind, ok := codes[answer.Code]; ok {
		return kind
	}
	switch status := answer.StatusCode; {
	case status == http.StatusNotFound:
		return thalweg.NotFound
	case status == http.StatusPreconditionFailed:
		return thalweg.Exists
	case status == http.StatusRequestedRangeNotSatisfiable, status == http.StatusBadRequest:
		return thalweg.Invalid
	case status == http.StatusNotImplemented:
		return thalweg.Unsupported
	case status == http.StatusInsufficientStorage:
		return thalweg.Exhausted
	case status == http.StatusRequestTimeout, status == http.StatusConflict, status == http.StatusTooManyRequests,
		status == 499, // nginx: the client closed the request
		status >= 500, status == 0:
		return thalweg.Unavailable
	}
	return thalweg.Other
}

// untrusted reports that the store's certificate was not accepted, which no
// repetition heals.
func untrusted(err error) bool {
	var certificate *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	return errors.As(err, &certificate) || errors.As(err, &unknown) || errors.As(err, &host)
}

// failure returns the error of an operation with its kind and, where one is
// known, what an operator can do.
func (o *Opener) failure(op, subject string, err error) error {
	var own *thalweg.Error
	if errors.As(err, &own) {
		return err
	}
	e := &thalweg.Error{Op: op, Kind: kindOf(err), Subject: subject, Err: err}
	var answer minio.ErrorResponse
	switch {
	case untrusted(err):
		e.Hint = "the certificate of " + o.config.Endpoint + " is not trusted: configure its CA"
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Hint = "start the store there, or name the one that is meant"
	case !errors.As(err, &answer):
	case answer.StatusCode == http.StatusForbidden || answer.StatusCode == http.StatusUnauthorized:
		e.Hint = "check the access key, its secret and what it may do"
	case answer.Code == "NoSuchBucket":
		e.Hint = "create it, or correct its name"
	case answer.StatusCode/100 == 3:
		e.Hint = "check the endpoint and region: the store answers with a redirect"
	case e.Kind == thalweg.Unsupported:
		e.Hint = "the store cannot do this: use one that can"
	}
	return e
}
