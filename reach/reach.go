// Package reach says which machines a connection that an operator registered may
// lead to. Names are judged by what they resolve to, at the moment of the connect:
// who has a name under control, a broker that advertises others, or a store that
// redirects, would otherwise have a worker talk to the metadata service of its
// cloud, which hands out the machine's credentials, or to what listens on loopback.
package reach

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/thalweg/thalweg"
)

// Guard refuses addresses. The zero Guard refuses loopback too.
type Guard struct{ loopback bool }

// For returns the guard of a connection to addresses (host, or host:port). It lets
// loopback through if the operator says so: by the argument, or because one of the
// addresses is spelled as loopback itself (127.0.0.1, ::1, localhost).
func For(loopback bool, addresses ...string) Guard {
	for _, a := range addresses {
		loopback = loopback || namesLoopback(hostOf(a))
	}
	return Guard{loopback}
}

// ForURL is For of a URL, and of the proxy that the environment names for it, which then decides
// itself where it connects to.
func ForURL(loopback bool, u *url.URL) Guard {
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u}); err == nil && proxy != nil {
		return For(loopback, u.Host, proxy.Host)
	}
	return For(loopback, u.Host)
}

// Dialer returns a dialer with a timeout, which refuses what Check refuses after
// names are resolved. Its error is of kind Forbidden.
func (g Guard) Dialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{Timeout: timeout, KeepAlive: 15 * time.Second, Control: g.control}
}

// control is called with the address of each attempt, which has no name in it any more.
func (g Guard) control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return refused(address, "it is no address of the internet protocol")
	}
	return g.Check(at.Addr())
}

// CheckHost is Check of a host or host:port that is an address; names pass, since
// what they resolve to is judged when they are.
func (g Guard) CheckHost(address string) error {
	if ip, err := netip.ParseAddr(hostOf(address)); err == nil {
		return g.Check(ip)
	}
	return nil
}

// Check refuses an address that no store, broker or registry has: unspecified,
// multicast and broadcast, link-local, and those at which clouds serve metadata.
// Addresses of IPv4 that are written into one of IPv6 count as themselves.
func (g Guard) Check(ip netip.Addr) error {
	for _, a := range spellings(ip.WithZone("")) {
		switch {
		case a.IsUnspecified() || thisNetwork.Contains(a):
			return refused(ip.String(), "it is unspecified")
		case a.IsMulticast() || a == broadcast:
			return refused(ip.String(), "it is of many machines")
		case a.IsLinkLocalUnicast():
			return refused(ip.String(), "it is link-local, as those of metadata services are")
		case metadata[a]:
			return refused(ip.String(), "a cloud serves metadata and credentials there")
		case a.IsLoopback() && !g.loopback:
			return &thalweg.Error{Op: "connect", Kind: thalweg.Forbidden, Subject: ip.String(), Err: errors.New("it is loopback"),
				Hint: "where the connection is meant to lead to its own machine, write loopback: true in it"}
		}
	}
	return nil
}

func refused(address, why string) error {
	return &thalweg.Error{Op: "connect", Kind: thalweg.Forbidden, Subject: address, Err: errors.New(why), Hint: "no connection may lead there: correct the address, or what its name resolves to"}
}

var (
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8") // which Linux takes for itself
	broadcast   = netip.MustParseAddr("255.255.255.255")
	nat64       = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052: the last four bytes are of IPv4
	compatible  = netip.MustParsePrefix("::/96")        // RFC 4291, long given up: the same
	sixToFour   = netip.MustParsePrefix("2002::/16")    // RFC 3056: bytes 2 to 5 are
	// metadata are the addresses of metadata services that are not link-local.
	metadata = map[netip.Addr]bool{
		netip.MustParseAddr("fd00:ec2::254"):   true, // Amazon EC2
		netip.MustParseAddr("fd00:ec2::23"):    true, // Amazon EKS pod identity
		netip.MustParseAddr("fd20:ce::254"):    true, // Google Compute Engine
		netip.MustParseAddr("100.100.100.200"): true, // Alibaba Cloud
		netip.MustParseAddr("168.63.129.16"):   true, // Azure's host agent
		netip.MustParseAddr("192.0.0.192"):     true, // Oracle Cloud, classic
		netip.MustParseAddr("fd00:42::42"):     true, // Scaleway
	}
)

// spellings returns an address and the one of IPv4 that it stands for, if any.
func spellings(ip netip.Addr) []netip.Addr {
	all := []netip.Addr{ip.Unmap()}
	if !ip.Is6() {
		return all
	}
	b := ip.As16()
	switch {
	case nat64.Contains(ip), compatible.Contains(ip) && !ip.IsUnspecified() && !ip.IsLoopback():
		all = append(all, netip.AddrFrom4([4]byte(b[12:])))
	case sixToFour.Contains(ip):
		all = append(all, netip.AddrFrom4([4]byte(b[2:6])))
	}
	return all
}

// hostOf returns the host of host or host:port, without brackets.
func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return strings.Trim(address, "[]")
}

func namesLoopback(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
