package pki

import (
	"net"
	"net/http"
	"net/url"
)

// Local guards a port without certificates, which only programs of this machine
// reach: it refuses what a web page elsewhere can have a browser here send, which is
// known by the names of the host that was called and of the page.
func Local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		port := ""
		if at, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
			_, port, _ = net.SplitHostPort(at.String())
		}
		origin := r.Header.Get("Origin")
		if !isLocal(r.Host, port) || origin != "" && !isLocalOrigin(origin, port) {
			http.Error(w, "this port is for programs of this machine, called as localhost or 127.0.0.1 with its port", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLocal reports whether host:port names the port on this machine.
func isLocal(hostPort, port string) bool {
	host, at, err := net.SplitHostPort(hostPort)
	if err != nil || at != port {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func isLocalOrigin(origin, port string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Scheme == "http" && isLocal(u.Host, port)
}
