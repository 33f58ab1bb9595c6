package reach_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/reach"
)

func TestAddressesThatNoConnectionMayLeadTo(t *testing.T) {
	for address, why := range map[string]string{
		"169.254.169.254": "link-local", "169.254.170.2": "link-local", "fe80::1": "link-local", "fe80::1%eth0": "link-local", "::ffff:169.254.169.254": "link-local",
		"64:ff9b::a9fe:a9fe": "link-local", "2002:a9fe:a9fe::1": "link-local", "::169.254.169.254": "link-local",
		"fd00:ec2::254": "metadata", "fd20:ce::254": "metadata", "100.100.100.200": "metadata", "168.63.129.16": "metadata", "::ffff:100.100.100.200": "metadata",
		"0.0.0.0": "unspecified", "::": "unspecified", "0.1.2.3": "unspecified", "::ffff:0.0.0.0": "unspecified",
		"224.0.0.1": "many machines", "ff02::1": "many machines", "255.255.255.255": "many machines",
		"127.0.0.1": "loopback", "127.8.9.10": "loopback", "::1": "loopback", "::ffff:127.0.0.1": "loopback", "64:ff9b::7f00:1": "loopback", "2002:7f00:1::": "loopback",
	} {
		err := reach.Guard{}.Check(netip.MustParseAddr(address))
		if !thalweg.Is(err, thalweg.Forbidden) || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), netip.MustParseAddr(address).String()) {
			t.Errorf("%s: %v, want it refused as %s", address, err, why)
		}
		if open := reach.For(true).Check(netip.MustParseAddr(address)) == nil; open != (why == "loopback") {
			t.Errorf("%s with loopback: let through: %v", address, open)
		}
	}
	for _, address := range []string{"10.0.0.1", "192.168.1.5", "172.16.0.9", "8.8.8.8", "fd12:3456::1", "2001:db8::1", "100.64.0.7", "64:ff9b::808:808"} {
		if err := (reach.Guard{}).Check(netip.MustParseAddr(address)); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestLoopbackIsReachedWhereTheOperatorWroteIt(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:9000": true, "localhost:9092": true, "LOCALHOST.": true, "[::1]:9000": true, "::1": true, "minio.localhost:9000": true,
		"minio.example:9000": false, "10.0.0.1": false, "notlocalhost:1": false, "localhost.example:80": false,
	} {
		if got := reach.For(false, "10.9.9.9:1", address).CheckHost("127.0.0.1:80") == nil; got != want {
			t.Errorf("%s: loopback is let through: %v, want %v", address, got, want)
		}
	}
	if err := reach.For(false, "bus.example:9092").CheckHost("some.name:80"); err != nil {
		t.Errorf("a name is judged before it is resolved: %v", err)
	}
}

// names is a DNS server whose answers for one name change from question to question, as
// those of who rebinds one do.
func names(t *testing.T, answers ...string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	var asked atomic.Int64
	go func() {
		buf := make([]byte, 1<<10)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Authoritative, m.Additionals = true, true, nil
			if m.Questions[0].Type == dnsmessage.TypeA {
				ip := netip.MustParseAddr(answers[min(int(asked.Add(1)), len(answers))-1])
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET}, Body: &dnsmessage.AResource{A: ip.As4()}}}
			}
			if packed, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(packed, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// A name that is harmless when it is looked at first and leads elsewhere when it is
// connected to gains nothing.
func TestANameIsJudgedByWhatItIsConnectedTo(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	const host = "store.thalweg.example."
	for answer, refuse := range map[string]string{"169.254.169.254": "link-local", "100.100.100.200": "metadata", "127.0.0.1": "loopback"} {
		dialer := reach.For(false, host+":"+port).Dialer(5 * time.Second)
		dialer.Resolver = names(t, "10.1.2.3", answer)
		if first, err := dialer.Resolver.LookupHost(t.Context(), host); err != nil || first[0] != "10.1.2.3" {
			t.Fatalf("the first look: %v, %v", first, err)
		}
		conn, err := dialer.DialContext(t.Context(), "tcp", net.JoinHostPort(host, port))
		if err == nil {
			conn.Close()
		}
		if !thalweg.Is(err, thalweg.Forbidden) || !strings.Contains(err.Error(), refuse) {
			t.Errorf("%s: %v, want it refused as %s", answer, err, refuse)
		}
	}
	dialer := reach.For(true, host).Dialer(5 * time.Second)
	dialer.Resolver = names(t, "127.0.0.1")
	conn, err := dialer.DialContext(t.Context(), "tcp", net.JoinHostPort(host, port))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func FuzzGuard(f *testing.F) {
	for _, seed := range []string{"127.0.0.1:1", "[fe80::1%eth0]:2", "[::ffff:169.254.169.254]:80", "a:b:c", "", "[::1", "minio.example:9000"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		err := reach.For(true, address).CheckHost(address)
		if at, e := netip.ParseAddrPort(address); e == nil && at.Addr().Unmap().IsLinkLocalUnicast() && err == nil {
			t.Errorf("%q is let through", address)
		}
	})
}
