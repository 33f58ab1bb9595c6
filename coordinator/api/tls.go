package api

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"time"
)

// explainTLS returns what an operator can do where an error says that a side of a
// connection to the node wanted TLS, or another certificate; "" if it does not.
func explainTLS(ctx context.Context, over *tls.Config, node string, err error) string {
	var alert tls.AlertError
	var record tls.RecordHeaderError
	var unknown *tls.CertificateVerificationError
	text := err.Error()
	switch {
	case errors.As(err, &alert), strings.Contains(text, "remote error: tls: "):
		return "the coordinator does not accept the certificate shown, or none: --certs [THALWEG_CERTS] names the directory with it; the coordinator's log says why"
	case errors.As(err, &record), strings.Contains(text, "server gave HTTP response to HTTPS client"), strings.Contains(text, "does not look like a TLS handshake"):
		return "the coordinator speaks no TLS, as `thalweg dev` does not: leave out --certs [THALWEG_CERTS]"
	case errors.As(err, &unknown), strings.Contains(text, "verify peer: "), strings.Contains(text, "show certificate: "):
		return "these are not certificates of one cluster that hold: does --certs [THALWEG_CERTS] belong to the cluster that --coordinator names?"
	case over == nil && strings.HasSuffix(text, io.EOF.Error()) && speaksTLS(ctx, node):
		return "the coordinator speaks TLS: --certs [THALWEG_CERTS] names the directory with the cluster's ca.crt and a certificate"
	}
	return ""
}

// speaksTLS reports whether a node answers in TLS; it is told nothing.
func speaksTLS(ctx context.Context, node string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", node)
	if err != nil {
		return false
	}
	defer conn.Close()
	// The handshake ends at the certificate: whether it is one of TLS is all that is asked.
	answered := false
	ask := &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error { //nolint:gosec // it only asks whether TLS is spoken, and ends there
		answered = true
		return errors.New("no more is asked")
	}}
	_ = tls.Client(conn, ask).HandshakeContext(ctx)
	return answered
}
