package pki

import (
	"crypto/tls"
	"net/http"
	"slices"
	"strings"
)

// PeerOf returns who is at the other end of a connection that Server or Client has
// verified; false if it came without a certificate.
func PeerOf(s *tls.ConnectionState) (Identity, bool) {
	if s == nil || len(s.PeerCertificates) == 0 {
		return Identity{}, false
	}
	id, err := IdentityOf(s.PeerCertificates[0])
	return id, err == nil
}

// Require lets requests pass whose connection shows a certificate of the kinds, of
// any if there are none.
func Require(next http.Handler, kinds ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch peer, known := PeerOf(r.TLS); {
		case !known:
			http.Error(w, "a certificate of this cluster is needed: --certs", http.StatusUnauthorized)
		case len(kinds) > 0 && !slices.Contains(kinds, peer.Kind):
			http.Error(w, peer.String()+" is no "+strings.Join(kinds, " or "), http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}
