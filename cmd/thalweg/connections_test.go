package main

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
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors/kafka"
)

// pair writes a certificate that signs itself, and its key, and returns the
// files.
func pair(t *testing.T, dir string) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "worker"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	put(t, certificate, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	put(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded})))
	return certificate, key
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// openFile opens the connections of a file with the given text.
func openFile(t *testing.T, dir, text string) (*connections, error) {
	t.Helper()
	name := filepath.Join(dir, "connections.yaml")
	put(t, name, text)
	flags := connectionFlags{store: "http://127.0.0.1:9000", kafka: []string{"127.0.0.1:9092"}, file: name}
	return flags.open()
}

func TestConnectionsCarryTLSAndSecretsOfFilesAndEnvironment(t *testing.T) {
	dir := t.TempDir()
	certificate, key := pair(t, dir)
	put(t, filepath.Join(dir, "password"), "s3cret\n")
	t.Setenv("BUCKET_KEY", "k")
	t.Setenv("BUCKET_SECRET", "t0psecret")
	conns, err := openFile(t, dir, fmt.Sprintf(`
connections:
  default:
    kafka: {brokers: ["broker:9093"]}
  bank:
    kafka:
      brokers: ["broker:9093"]
      tls: {ca: %[1]s, certificate: %[1]s, key: %[2]s, server_name: kafka.bank}
      sasl: {mechanism: SCRAM-SHA-512, user: ada, password_file: %[3]s/password}
  trusted:
    kafka: {brokers: ["broker:9093"], tls: {}}
  lake:
    s3: {endpoint: "https://minio:9000", access_key_env: BUCKET_KEY, secret_key_env: BUCKET_SECRET, tls: {ca: %[1]s}}
`, certificate, key, dir))
	if err != nil {
		t.Fatal(err)
	}
	defer conns.Close()
	bank, err := conns.Kafka("bank")
	if err != nil || bank.SASL != (kafka.SASL{Mechanism: "SCRAM-SHA-512", User: "ada", Password: "s3cret"}) {
		t.Errorf("%v, %v", bank.SASL, err)
	}
	if bank.TLS == nil || bank.TLS.RootCAs == nil || bank.TLS.ServerName != "kafka.bank" || bank.TLS.InsecureSkipVerify {
		t.Errorf("%+v", bank.TLS)
	}
	if shown, err := bank.TLS.GetClientCertificate(&tls.CertificateRequestInfo{}); err != nil || len(shown.Certificate) != 1 {
		t.Errorf("client certificate: %v", err)
	}
	if trusted, err := conns.Kafka("trusted"); err != nil || trusted.TLS == nil || trusted.TLS.RootCAs != nil {
		t.Errorf("%+v, %v", trusted.TLS, err)
	}
	if byDefault, err := conns.Kafka(""); err != nil || byDefault.Brokers[0] != "broker:9093" || byDefault.TLS != nil {
		t.Errorf("%+v, %v", byDefault, err)
	}
	if _, err := conns.Store("lake"); err != nil {
		t.Error(err)
	}
	if _, err := conns.Store(""); err != nil { // the flag's, which the file does not replace
		t.Error(err)
	}
}

func TestConnectionsThatCannotWorkAreRefusedWithoutTellingSecrets(t *testing.T) {
	dir := t.TempDir()
	certificate, key := pair(t, dir)
	put(t, filepath.Join(dir, "empty"), "\n")
	put(t, filepath.Join(dir, "garbage"), "s3cret that is no certificate")
	t.Setenv("SECRET", "s3cret")
	for want, section := range map[string]string{
		"NOT_SET":                    `kafka: {brokers: ["b:1"], sasl: {mechanism: PLAIN, user: ada, password_env: NOT_SET}}`,
		"it is empty":                `kafka: {brokers: ["b:1"], sasl: {mechanism: PLAIN, user: ada, password_file: ` + dir + `/empty}}`,
		"no such file":               `kafka: {brokers: ["b:1"], sasl: {mechanism: PLAIN, user: ada, password_file: ` + dir + `/none}}`,
		"set one of them":            `kafka: {brokers: ["b:1"], sasl: {mechanism: PLAIN, user: ada, password_file: ` + dir + `/none, password_env: SECRET}}`,
		"needs mechanism":            `kafka: {brokers: ["b:1"], sasl: {mechanism: PLAIN, password_env: SECRET}}`,
		"GSSAPI":                     `kafka: {brokers: ["b:1"], sasl: {mechanism: GSSAPI, user: ada, password_env: SECRET}}`,
		"brokers":                    `kafka: {brokers: []}`,
		"no certificate in PEM form": `kafka: {brokers: ["b:1"], tls: {ca: ` + dir + `/garbage}}`,
		"set both or neither":        `kafka: {brokers: ["b:1"], tls: {certificate: ` + certificate + `}}`,
		"tls.certificate":            `kafka: {brokers: ["b:1"], tls: {certificate: ` + dir + `/garbage, key: ` + key + `}}`,
		"unknown field":              `kafka: {brokers: ["b:1"], sasl: {mechanism: PLAIN, user: ada, password: s3cret}}`,
		"tls_config":                 `s3: {endpoint: "http://minio:9000", tls: {ca: ` + certificate + `}}`,
		"secret_key_env":             `s3: {endpoint: "http://minio:9000", access_key_env: SECRET, secret_key_env: NOT_SET}`,
		"not both":                   "s3: {endpoint: \"http://minio:9000\"}\n    directory: /tmp",
	} {
		conns, err := openFile(t, dir, "connections:\n  bank:\n    "+section+"\n")
		if err == nil {
			conns.Close()
		}
		if !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want invalid with %q", section, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error tells the secret: %v", section, err)
		}
	}
}
