package pki_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
)

var quiet = slog.New(slog.DiscardHandler)

// authority makes one of a cluster.
func authority(t *testing.T, cluster string) *pki.Authority {
	t.Helper()
	a, err := pki.Create(filepath.Join(t.TempDir(), "ca"), cluster, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// issue makes the directory of somebody.
func issue(t *testing.T, a *pki.Authority, kind, id string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), id)
	if err := a.Issue(dir, kind, id, []string{"node.example", "127.0.0.1"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t *testing.T, dir, kind string) *pki.Credentials {
	t.Helper()
	c, err := pki.Open(quiet, dir, kind)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// talk connects over a pipe and sends a byte each way; errors of both sides.
func talk(server, client *tls.Config) (atServer, atClient error) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	done := make(chan error, 1)
	exchange := func(c *tls.Conn) error {
		defer c.NetConn().Close()
		if err := c.HandshakeContext(context.Background()); err != nil {
			return err
		}
		written := make(chan error, 1)
		go func() { _, err := c.Write([]byte{1}); written <- err }()
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			return err
		}
		return <-written
	}
	go func() { done <- exchange(tls.Server(a, server)) }()
	atClient = exchange(tls.Client(b, client))
	return <-done, atClient
}

func TestNodesOfAClusterTalk(t *testing.T) {
	a := authority(t, "prod")
	c1, c2 := open(t, issue(t, a, pki.Coordinator, "c1"), pki.Coordinator), open(t, issue(t, a, pki.Coordinator, "c2"), pki.Coordinator)
	w1 := open(t, issue(t, a, pki.Worker, "w1"), pki.Worker)
	stranger := authority(t, "prod")
	s1 := open(t, issue(t, stranger, pki.Coordinator, "c1"), pki.Coordinator)
	anonymous, err := pki.OpenUser(quiet, onlyAuthority(t, issue(t, a, pki.Worker, "x")))
	if err != nil {
		t.Fatal(err)
	}
	named := anonymous.Client(pki.Coordinator, "")
	named.ServerName = "node.example"
	otherHost := named.Clone()
	otherHost.ServerName = "other.example"
	onlyV12 := c2.Client(pki.Coordinator, "")
	onlyV12.MinVersion, onlyV12.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	for _, c := range []struct {
		what             string
		server, client   *tls.Config
		serverErr, other string // "" is none; other is the client's
	}{
		{"raft", c1.Server(pki.Coordinator), c2.Client(pki.Coordinator, "c1"), "", ""},
		{"a worker at raft", c1.Server(pki.Coordinator), w1.Client(pki.Coordinator, ""), "spiffe://prod/worker/w1 is no coordinator", "bad certificate"},
		{"a worker at the API", c1.Server(), w1.Client(pki.Coordinator, ""), "", ""},
		{"nobody at the API", c1.Server(), named, "", ""},
		{"nobody at raft", c1.Server(pki.Coordinator), named, "client didn't provide a certificate", "certificate required"},
		{"nobody at another host", c1.Server(), otherHost, "bad certificate", "not other.example"},
		{"another node than meant", c1.Server(), c2.Client(pki.Coordinator, "c9"), "bad certificate", "spiffe://prod/coordinator/c1 is not c9"},
		{"a worker in the place of a coordinator", w1.Server(), c1.Client(pki.Coordinator, ""), "bad certificate", "spiffe://prod/worker/w1 is no coordinator"},
		{"a stranger of the same names", c1.Server(pki.Coordinator), s1.Client(pki.Coordinator, ""), "", "signed by \"CN=authority of cluster prod\""},
		{"TLS 1.2", c1.Server(), onlyV12, "unsupported versions", "protocol version"},
	} {
		atServer, atClient := talk(c.server, c.client)
		for _, side := range []struct {
			err  error
			want string
		}{{atServer, c.serverErr}, {atClient, c.other}} {
			if side.want == "" && c.serverErr+c.other == "" && side.err != nil || side.want != "" && (side.err == nil || !strings.Contains(side.err.Error(), side.want)) {
				t.Errorf("%s: server %v, client %v; want %q and %q", c.what, atServer, atClient, c.serverErr, c.other)
			}
		}
	}
}

// onlyAuthority removes the certificate of a directory.
func onlyAuthority(t *testing.T, dir string) string {
	t.Helper()
	for _, name := range []string{pki.CertFile, pki.KeyFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestClustersOfOneAuthorityAreApart(t *testing.T) {
	f := newForeign(t)
	a := open(t, f.issue(t, "spiffe://a/coordinator/c1", time.Now().Add(time.Hour), nil), pki.Coordinator)
	b := open(t, f.issue(t, "spiffe://b/coordinator/c1", time.Now().Add(time.Hour), nil), pki.Coordinator)
	if atServer, atClient := talk(a.Server(), b.Client(pki.Coordinator, "")); atServer == nil || atClient == nil || !strings.Contains(atClient.Error(), "spiffe://a/coordinator/c1 is not of the cluster b") {
		t.Errorf("server %v, client %v; want to know the other cluster", atServer, atClient)
	}
}

// foreign is an operator's own authority, with one in between, as many have.
type foreign struct {
	root, between       *x509.Certificate
	betweenKey          *ecdsa.PrivateKey
	rootPEM, betweenPEM []byte
	serial              int64
}

func newForeign(t *testing.T) *foreign {
	f := &foreign{}
	rootKey := newKey(t)
	template := func(name string) *x509.Certificate {
		f.serial++
		return &x509.Certificate{SerialNumber: big.NewInt(f.serial), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
			NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	}
	root := template("root")
	f.rootPEM, f.root = create(t, root, root, rootKey, rootKey)
	f.betweenKey = newKey(t)
	f.betweenPEM, f.between = create(t, template("between"), f.root, f.betweenKey, rootKey)
	return f
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func create(t *testing.T, template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) ([]byte, *x509.Certificate) {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), cert
}

// issue makes a directory as a TLS secret of Kubernetes is.
func (f *foreign) issue(t *testing.T, name string, until time.Time, usages []x509.ExtKeyUsage) string {
	t.Helper()
	u, err := url.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	if usages == nil {
		usages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	}
	f.serial++
	key := newKey(t)
	cert, _ := create(t, &x509.Certificate{SerialNumber: big.NewInt(f.serial), Subject: pkix.Name{CommonName: "leaf"}, URIs: []*url.URL{u},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: until, ExtKeyUsage: usages}, f.between, key, f.betweenKey)
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, pki.CertFile, append(cert, f.betweenPEM...))
	write(t, dir, pki.KeyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
	write(t, dir, pki.CAFile, f.rootPEM)
	return dir
}

func write(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAnotherAuthorityServes(t *testing.T) {
	f := newForeign(t)
	hour := time.Now().Add(time.Hour)
	c1 := open(t, f.issue(t, "spiffe://prod/coordinator/c1", hour, nil), pki.Coordinator)
	c2 := open(t, f.issue(t, "spiffe://prod/coordinator/c2", hour, nil), pki.Coordinator)
	if atServer, atClient := talk(c1.Server(pki.Coordinator), c2.Client(pki.Coordinator, "c1")); atServer != nil || atClient != nil {
		t.Errorf("server %v, client %v", atServer, atClient)
	}
}

func TestWhatCouldNotWorkIsRefusedByName(t *testing.T) {
	f, a := newForeign(t), authority(t, "prod")
	hour := time.Now().Add(time.Hour)
	for what, c := range map[string]struct {
		dir, file string
		want      []string
	}{
		"expired":       {f.issue(t, "spiffe://prod/worker/w1", time.Now().Add(-time.Minute), nil), pki.CertFile, []string{"CN=leaf", "has expired on", "init node --renew"}},
		"another kind":  {f.issue(t, "spiffe://prod/coordinator/w1", hour, nil), pki.CertFile, []string{"names the coordinator w1", "thalweg init node"}},
		"no name":       {f.issue(t, "https://prod/worker/w1", hour, nil), pki.CertFile, []string{"CN=leaf", "spiffe://cluster/worker/w1"}},
		"not for ports": {f.issue(t, "spiffe://prod/worker/w1", hour, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}), pki.CertFile, []string{"CN=leaf", "incompatible key usage"}},
		"empty":         {t.TempDir(), pki.CAFile, []string{"no such file", "thalweg init"}},
		"no cert":       {onlyAuthority(t, issue(t, a, pki.Worker, "w1")), pki.CertFile, []string{"thalweg init"}},
		"a key as authority": {func() string {
			dir := issue(t, a, pki.Worker, "w1")
			key, _ := os.ReadFile(filepath.Join(dir, pki.KeyFile))
			write(t, dir, pki.CAFile, key)
			return dir
		}(), pki.CAFile, []string{"it holds a PRIVATE KEY"}},
		"another authority": {func() string {
			dir := issue(t, a, pki.Worker, "w1")
			write(t, dir, pki.CAFile, f.rootPEM)
			return dir
		}(), pki.CertFile, []string{"CN=worker w1", "CN=authority of cluster prod", "ca.crt must hold"}},
		"another's key": {func() string {
			dir := issue(t, a, pki.Worker, "w1")
			key, _ := os.ReadFile(filepath.Join(issue(t, a, pki.Worker, "w2"), pki.KeyFile))
			write(t, dir, pki.KeyFile, key)
			return dir
		}(), pki.CertFile, []string{"private key does not match"}},
	} {
		_, err := pki.Open(quiet, c.dir, pki.Worker)
		if err == nil {
			t.Errorf("%s: no error", what)
			continue
		}
		for _, want := range append(c.want, filepath.Join(c.dir, c.file)) {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v; want %q in it", what, err, want)
			}
		}
	}
}

// TestCertificatesAreTakenWhileTheyAreUsed: renewed ones, and another authority's
// while both are believed; files that are wrong, as halfway through, change nothing.
func TestCertificatesAreTakenWhileTheyAreUsed(t *testing.T) {
	old, next := authority(t, "prod"), authority(t, "prod")
	serverDir, clientDir := issue(t, old, pki.Coordinator, "c1"), issue(t, old, pki.Coordinator, "c2")
	nextDir, nextServer := issue(t, next, pki.Coordinator, "c2"), issue(t, next, pki.Coordinator, "c1")
	server, client := open(t, serverDir, pki.Coordinator), open(t, clientDir, pki.Coordinator)
	now := time.Now()
	clock := func() time.Time { return now }
	pki.SetClock(server, clock)
	pki.SetClock(client, clock)
	check := func(step string, works bool) {
		t.Helper()
		now = now.Add(2 * time.Second)
		atServer, atClient := talk(server.Server(pki.Coordinator), client.Client(pki.Coordinator, ""))
		if (atServer == nil && atClient == nil) != works {
			t.Errorf("%s: server %v, client %v; want it to work: %v", step, atServer, atClient, works)
		}
	}
	copyTo := func(from, to, name string) {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, to, name, data)
		now = now.Add(2 * time.Second)
		if err := os.Chtimes(filepath.Join(to, name), now, now); err != nil {
			t.Fatal(err)
		}
	}
	check("at first", true)
	both := func(dir string) {
		a, _ := os.ReadFile(filepath.Join(nextDir, pki.CAFile))
		b, _ := os.ReadFile(filepath.Join(dir, pki.CAFile))
		write(t, dir, pki.CAFile, append(b, a...))
	}
	both(serverDir)
	both(clientDir)
	check("both authorities are believed", true)
	copyTo(nextDir, clientDir, pki.KeyFile)
	check("a key whose certificate is still to come", true)
	copyTo(nextDir, clientDir, pki.CertFile)
	check("the client has one of the next authority", true)
	copyTo(nextServer, serverDir, pki.CAFile)
	check("the server's own is of no authority: those from before go on", true)
	copyTo(nextServer, serverDir, pki.KeyFile)
	copyTo(nextServer, serverDir, pki.CertFile)
	check("the server has one of the next", true)
	oldAgain := open(t, issue(t, old, pki.Coordinator, "c2"), pki.Coordinator)
	if atServer, _ := talk(server.Server(pki.Coordinator), oldAgain.Client(pki.Coordinator, "")); atServer == nil {
		// the client does not believe the server, which is told so
		t.Error("one of the authority from before is still believed")
	}
	// Somebody else's certificate is not taken while running.
	copyTo(issue(t, next, pki.Coordinator, "c7"), clientDir, pki.CertFile)
	check("another's certificate", true)
	if id := client.Identity(); id.ID != "c2" {
		t.Errorf("the client became %v", id)
	}
	now = now.Add(pki.NodeValid)
	if _, atClient := talk(server.Server(pki.Coordinator), client.Client(pki.Coordinator, "")); atClient == nil || !strings.Contains(atClient.Error(), "has expired on") {
		t.Errorf("a year later: %v; want the expiry", atClient)
	}
	if client.ExpiresIn() > 0 {
		t.Errorf("it expires in %v", client.ExpiresIn())
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	a := authority(t, "prod")
	dir := issue(t, a, pki.Worker, "w1")
	if err := a.Issue(dir, pki.Worker, "w1", nil, time.Now()); !thalweg.Is(err, thalweg.Exists) {
		t.Errorf("issue: %v, want Exists", err)
	}
	ca := filepath.Join(t.TempDir(), "ca")
	for i := range 2 {
		if _, err := pki.Create(ca, "prod", time.Now()); (err != nil) != (i == 1) {
			t.Errorf("create %d: %v", i, err)
		}
	}
	for _, name := range []string{pki.CertFile, pki.KeyFile, pki.CAFile} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want 0600", name, info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%s: %v, %v; want 0700", dir, info.Mode(), err)
	}
	before := open(t, dir, pki.Worker)
	if id, err := a.Renew(dir, time.Now().Add(time.Minute)); err != nil || id.ID != "w1" {
		t.Fatal(id, err)
	}
	after := open(t, dir, pki.Worker)
	if after.ExpiresIn() <= before.ExpiresIn() {
		t.Errorf("renewed, it expires in %v, before in %v", after.ExpiresIn(), before.ExpiresIn())
	}
}

func TestOnlyVerifiedConnectionsAreHandedOut(t *testing.T) {
	a := authority(t, "prod")
	c1, c2 := open(t, issue(t, a, pki.Coordinator, "c1"), pki.Coordinator), open(t, issue(t, a, pki.Coordinator, "c2"), pki.Coordinator)
	w1 := open(t, issue(t, a, pki.Worker, "w1"), pki.Worker)
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := pki.NewListener(plain, c1.Server(pki.Coordinator))
	address := plain.Addr().String()
	silent, err := net.Dial("tcp", address) // says nothing, and holds up nobody
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if c, err := tls.Dial("tcp", address, w1.Client(pki.Coordinator, "")); err == nil {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a worker was let in")
		}
		c.Close()
	}
	go func() {
		if c, err := tls.Dial("tcp", address, c2.Client(pki.Coordinator, "c1")); err == nil {
			defer c.Close()
			_, _ = c.Write([]byte("x"))
			_, _ = c.Read(make([]byte, 1))
		}
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	state := c.(*tls.Conn).ConnectionState()
	if peer, ok := pki.PeerOf(&state); !ok || peer.ID != "c2" {
		t.Errorf("handed out %v", peer)
	}
	l.Close()
	if _, err := l.Accept(); err == nil {
		t.Error("it listens after Close")
	}
}
