package connections

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
	write(t, certificate, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded})))
	return certificate, key
}

// write writes a file.
func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// openFile opens the connections of a file with the given text.
func openFile(t *testing.T, dir, text string) (*Set, error) {
	t.Helper()
	name := filepath.Join(dir, "connections.yaml")
	write(t, name, text)
	flags := Flags{store: "http://127.0.0.1:9000", kafka: []string{"127.0.0.1:9092"}, File: name}
	return flags.Open()
}

func TestConnectionsCarryTLSAndSecretsOfFilesAndEnvironment(t *testing.T) {
	dir := t.TempDir()
	certificate, key := pair(t, dir)
	write(t, filepath.Join(dir, "password"), "\ufeffs3cret\n")
	for _, name := range []string{certificate, key} { // as some editors save them
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		write(t, name, "\ufeff"+string(text))
	}
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
      sasl: {mechanism: SCRAM-SHA-512, user: ada, password: {file: %[3]s/password}}
  trusted:
    kafka: {brokers: ["broker:9093"], tls: {}}
  lake:
    s3: {endpoint: "https://minio:9000", access_key: {env: BUCKET_KEY}, secret_key: {env: BUCKET_SECRET}, tls: {ca: %[1]s}}
`, certificate, key, dir))
	if err != nil {
		t.Fatal(err)
	}
	defer conns.Close()
	bank, err := named(conns.brokers, "kafka", "bank")
	if err != nil || bank.SASL.String() != "SCRAM-SHA-512 as ada" || bank.SASL.Secret() != "s3cret" {
		t.Errorf("%v, %v", bank.SASL, err)
	}
	if bank.TLS == nil || bank.TLS.RootCAs == nil || bank.TLS.ServerName != "kafka.bank" || bank.TLS.InsecureSkipVerify {
		t.Errorf("%+v", bank.TLS)
	}
	if shown, err := bank.TLS.GetClientCertificate(&tls.CertificateRequestInfo{}); err != nil || len(shown.Certificate) != 1 {
		t.Errorf("client certificate: %v", err)
	}
	if trusted, err := named(conns.brokers, "kafka", "trusted"); err != nil || trusted.TLS == nil || trusted.TLS.RootCAs != nil {
		t.Errorf("%+v, %v", trusted.TLS, err)
	}
	if byDefault, err := named(conns.brokers, "kafka", ""); err != nil || byDefault.Brokers[0] != "broker:9093" || byDefault.TLS != nil {
		t.Errorf("%+v, %v", byDefault, err)
	}
	if _, err := conns.Store("lake"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"", "default"} { // the flag's, which the file does not replace
		if _, err := conns.Store(name); err != nil {
			t.Error(err)
		}
	}
}

func TestConnectionsThatCannotWorkAreRefusedWithoutTellingSecrets(t *testing.T) {
	dir := t.TempDir()
	certificate, key := pair(t, dir)
	write(t, filepath.Join(dir, "empty"), "\n")
	write(t, filepath.Join(dir, "utf16"), "\xff\xfes\x003\x00c\x00")
	write(t, filepath.Join(dir, "garbage"), "s3cret that is no certificate")
	t.Setenv("SECRET", "s3cret")
	for want, section := range map[string]string{
		"NOT_SET":                    `kafka: {brokers: ["b:1"], sasl: {mechanism: PLAIN, user: ada, password: {env: NOT_SET}}}`,
		"it is empty":                `kafka: {brokers: ["b:1"], sasl: {mechanism: PLAIN, user: ada, password: {file: ` + dir + `/empty}}}`,
		"it is UTF-16":               `kafka: {brokers: ["b:1"], sasl: {mechanism: PLAIN, user: ada, password: {file: ` + dir + `/utf16}}}`,
		"no such file":               `kafka: {brokers: ["b:1"], sasl: {mechanism: PLAIN, user: ada, password: {file: ` + dir + `/none}}}`,
		"write one of":               `kafka: {brokers: ["b:1"], sasl: {mechanism: PLAIN, user: ada, password: {file: ` + dir + `/none, env: SECRET}}}`,
		"and {credential: NAME}":     `kafka: {brokers: ["b:1"], sasl: {mechanism: PLAIN, user: ada, password: {}}}`,
		"without slashes":            `kafka: {brokers: ["b:1"], sasl: {mechanism: PLAIN, user: ada, password: {credential: ../bus}}}`,
		"CREDENTIALS_DIRECTORY":      `kafka: {brokers: ["b:1"], sasl: {mechanism: PLAIN, user: ada, password: {credential: bus}}}`,
		"needs mechanism":            `kafka: {brokers: ["b:1"], sasl: {mechanism: PLAIN, password: {env: SECRET}}}`,
		"GSSAPI":                     `kafka: {brokers: ["b:1"], sasl: {mechanism: GSSAPI, user: ada, password: {env: SECRET}}}`,
		"brokers":                    `kafka: {brokers: []}`,
		"no certificate in PEM form": `kafka: {brokers: ["b:1"], tls: {ca: ` + dir + `/garbage}}`,
		"set both or neither":        `kafka: {brokers: ["b:1"], tls: {certificate: ` + certificate + `}}`,
		"tls.certificate":            `kafka: {brokers: ["b:1"], tls: {certificate: ` + dir + `/garbage, key: ` + key + `}}`,
		"write where the password":   `kafka: {brokers: ["b:1"], sasl: {mechanism: PLAIN, user: ada, password: s3cret}}`,
		"write where the secret is":  `s3: {endpoint: "http://minio:9000", access_key: {env: SECRET}, secret_key: s3cret}`,
		"have no place":              `s3: {endpoint: "http://ada:s3cret@minio:9000"}`,
		"no place in an address":     `kafka: {brokers: ["ada:s3cret@b:1"]}`,
		"credentials do not belong":  `schema_registry: {url: "http://ada:s3cret@registry:8081"}`,
		"it needs a username":        `schema_registry: {url: "http://registry:8081", password: {env: SECRET}}`,
		"needs an access key":        `s3: {endpoint: "http://minio:9000", session_token: {env: SECRET}}`,
		"set both":                   `s3: {endpoint: "http://minio:9000", access_key: {env: SECRET}}`,
		"it needs a secret":          `key: {}`,
		"tls_config":                 `s3: {endpoint: "http://minio:9000", tls: {ca: ` + certificate + `}}`,
		"secret_key: the env":        `s3: {endpoint: "http://minio:9000", access_key: {env: SECRET}, secret_key: {env: NOT_SET}}`,
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

// A misspelt field has its place and the nearest name, as in a spec; values, that
// could be secrets, are not shown.
func TestConnectionsAreDiagnosedAsASpecIs(t *testing.T) {
	dir := t.TempDir()
	_, err := openFile(t, dir, `connections:
  lake:
    s3: {endpont: "http://minio:9000"}
  bus:
    kafka:
      brokers: "s3cret:9092"
      tsl: {}
      sasl: s3cret
      sasl: {}
  lake: {}
conections: {}
`)
	const at = "connections.yaml:"
	for _, want := range []string{
		at + "3:10: connections.lake.s3.endpont: there is no such field (did you mean endpoint?)",
		at + "6:16: connections.bus.kafka.brokers: a list belongs here, not this value",
		at + "7:7: connections.bus.kafka.tsl: there is no such field (did you mean tls?)",
		at + "8:13: connections.bus.kafka.sasl: a mapping belongs here, not this value",
		at + "9:7: connections.bus.kafka.sasl: the field appears twice (first on line 8)",
		at + "10:3: connections.lake: the name appears twice",
		at + "11:1: conections: there is no such field (did you mean connections?)",
	} {
		if !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), "s3cret") {
		t.Errorf("the error tells the secret: %v", err)
	}
	if _, err := (&Flags{store: "http://127.0.0.1:9000", File: dir + "/none.yaml"}).Open(); !thalweg.Is(err, thalweg.NotFound) || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("no file: %v", err)
	}
	for want, text := range map[string]string{"the connections file is empty": "", "holds one connections file": "connections: {}\n---\na: 1\n"} {
		if _, err := openFile(t, dir, text); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	conns, err := openFile(t, dir, "connections:\n  lakes:\n    directory: "+dir+"\n")
	if err != nil {
		t.Fatal(err)
	}
	defer conns.Close()
	if _, err := conns.Store("lake"); !thalweg.Is(err, thalweg.NotFound) || !strings.Contains(err.Error(), "did you mean lakes?") {
		t.Errorf("an unknown connection: %v", err)
	}
}

// Connections lead to one place where an address is the same, however it is written.
func TestAddressesOfConnectionsHaveOneSpelling(t *testing.T) {
	for address, want := range map[string]string{
		"http://127.0.0.1:9000": "127.0.0.1:9000", "http://LOCALHOST:9000/": "127.0.0.1:9000", "https://Minio.example": "minio.example:443",
		"http://minio.example": "minio.example:80", "file:///data/lake/": "/data/lake", "localhost:9092": "127.0.0.1:9092", "[::1]:9092": "127.0.0.1:9092",
		"kafka-1.example:9093": "kafka-1.example:9093",
	} {
		if got := spelled(address); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %s", address, got, want)
		}
	}
}
