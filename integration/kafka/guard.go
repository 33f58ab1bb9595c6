package kafka

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/thalweg/thalweg/integration/process"
)

// Guard is a second way into a cluster of one node: TLS with certificates on
// both sides, and a sign-in by SCRAM-SHA-512. Only Ada may do anything.
type Guard struct {
	Address string // host:port
	// The files of the certificate that signed all others, and of a client's.
	CA, Certificate, Key string
	// Passwords of the users. Bob can sign in and may do nothing.
	Ada, Bob string

	roots  *x509.CertPool
	client tls.Certificate
	broker string // file with the broker's key and certificate
}

// newGuard makes the certificates. They are the test's own: nothing else
// trusts them.
func newGuard(t testing.TB, dir string) *Guard {
	t.Helper()
	g := &Guard{Address: process.FreeAddress(t), CA: filepath.Join(dir, "ca.pem"), Certificate: filepath.Join(dir, "client.pem"),
		Key: filepath.Join(dir, "client.key"), broker: filepath.Join(dir, "broker.pem"), Ada: "ada's secret", Bob: "bob's secret"}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		check(err)
		return key
	}
	issue := func(serial int64, name string, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (*x509.Certificate, []byte) {
		template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
			NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
		if parent == nil {
			template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
			parent = template
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		check(err)
		parsed, err := x509.ParseCertificate(der)
		check(err)
		return parsed, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	keyOf := func(key *ecdsa.PrivateKey) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		check(err)
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	root := newKey()
	ca, caPEM := issue(1, "test CA", nil, root, root)
	brokerKey, clientKey := newKey(), newKey()
	_, brokerPEM := issue(2, "broker", ca, brokerKey, root)
	_, clientPEM := issue(3, "client", ca, clientKey, root)
	for name, text := range map[string][]byte{g.CA: caPEM, g.Certificate: clientPEM, g.Key: keyOf(clientKey), g.broker: append(keyOf(brokerKey), brokerPEM...)} {
		check(os.WriteFile(name, text, 0o600))
	}
	g.roots = x509.NewCertPool()
	g.roots.AddCert(ca)
	var err error
	g.client, err = tls.LoadX509KeyPair(g.Certificate, g.Key)
	check(err)
	return g
}

// TLS returns a client's configuration, with its certificate or without.
func (g *Guard) TLS(certificate bool) *tls.Config {
	cfg := &tls.Config{RootCAs: g.roots, MinVersion: tls.VersionTLS12}
	if certificate {
		cfg.Certificates = []tls.Certificate{g.client}
	}
	return cfg
}

// properties returns the settings of a broker that is guarded. Its plain
// listener stays: the broker itself and the test's own clients use it.
func (g *Guard) properties() map[string]string {
	const scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
	return map[string]string{
		"inter.broker.listener.name":                           "PLAINTEXT",
		"sasl.enabled.mechanisms":                              "SCRAM-SHA-512",
		"listener.name.guarded.scram-sha-512.sasl.jaas.config": scram,
		"ssl.keystore.type":                                    "PEM",
		"ssl.keystore.location":                                g.broker,
		"ssl.truststore.type":                                  "PEM",
		"ssl.truststore.location":                              g.CA,
		"listener.name.guarded.ssl.client.auth":                "required",
		"authorizer.class.name":                                "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users":                                          "User:ANONYMOUS;User:ada",
	}
}

// users returns the flags by which a node's storage is made to know them.
func (g *Guard) users() []string {
	add := func(name, password string) string {
		return fmt.Sprintf("SCRAM-SHA-512=[name=%s,password=%s]", name, password)
	}
	return []string{"--add-scram", add("ada", g.Ada), "--add-scram", add("bob", g.Bob)}
}
