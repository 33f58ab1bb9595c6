package connections

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// maxSecretBytes bounds what is read of a file with a password or a key.
const maxSecretBytes = 64 << 10

// tlsSection is the tls part of a connection. An empty one asks for TLS and
// trusts whom the system trusts. There is no way to trust everybody.
type tlsSection struct {
	CA          string `yaml:"ca"`          // file of the certificates to trust, PEM
	Certificate string `yaml:"certificate"` // file of our own certificate, PEM
	Key         string `yaml:"key"`         // file of its key, PEM
	ServerName  string `yaml:"server_name"` // that the server's certificate must have; default: the host
}

// saslSection is the sasl part of a kafka connection.
type saslSection struct {
	Mechanism    string `yaml:"mechanism"` // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
	User         string `yaml:"user"`
	PasswordEnv  string `yaml:"password_env"`
	PasswordFile string `yaml:"password_file"`
}

// keySection is a key that columns are hashed with (pii: hash).
type keySection struct {
	SecretEnv  string `yaml:"secret_env"`
	SecretFile string `yaml:"secret_file"`
}

func (s *keySection) open(subject string) (table.Key, error) {
	r := secrets{subject: subject}
	key, err := table.NewKey([]byte(r.secret("secret", s.SecretEnv, s.SecretFile)))
	if err != nil {
		r.fail("key", fmt.Errorf("set secret_env or secret_file: %w", err))
	}
	return key, r.err
}

// secrets reads what the sections of a connection only name, and keeps the first
// error. Errors tell names only.
type secrets struct {
	subject string
	err     error
}

func (r *secrets) fail(field string, err error) {
	if r.err == nil {
		r.err = badConnection(r.subject+": "+field, err)
	}
}

// tls reads the files of a section. A client certificate is read again for each
// connection, so that it can be renewed in place; that it can be read is
// checked now.
func (r *secrets) tls(s *tlsSection) *tls.Config {
	if s == nil {
		return nil
	}
	cfg := &tls.Config{ServerName: s.ServerName, MinVersion: tls.VersionTLS12}
	if s.CA != "" {
		pem, err := readSecret(s.CA)
		cfg.RootCAs = x509.NewCertPool()
		if err == nil && !cfg.RootCAs.AppendCertsFromPEM([]byte(pem)) {
			err = errors.New("no certificate in PEM form")
		}
		if err != nil {
			r.fail("tls.ca "+s.CA, err)
		}
	}
	switch {
	case s.Certificate == "" && s.Key == "":
		return cfg
	case s.Certificate == "" || s.Key == "":
		r.fail("tls.certificate and tls.key", errors.New("set both or neither"))
	default:
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			certificate, err := readSecret(s.Certificate)
			key, keyErr := readSecret(s.Key)
			var c tls.Certificate
			if err = cmp.Or(err, keyErr); err == nil {
				c, err = tls.X509KeyPair([]byte(certificate), []byte(key))
			}
			if err != nil {
				return nil, badConnection(r.subject+": tls.certificate "+s.Certificate, err)
			}
			return &c, nil
		}
		if _, err := cfg.GetClientCertificate(nil); err != nil {
			r.err = cmp.Or(r.err, err)
		}
	}
	return cfg
}

func (r *secrets) sasl(s *saslSection) kafka.SASL {
	if s == nil {
		return kafka.SASL{}
	}
	sasl := kafka.SASL{Mechanism: s.Mechanism, User: s.User, Password: r.secret("sasl.password", s.PasswordEnv, s.PasswordFile)}
	if sasl.Mechanism == "" || sasl.User == "" || sasl.Password == "" {
		r.fail("sasl", errors.New("it needs mechanism, user and one of password_env and password_file"))
	}
	return sasl
}

// secret returns the content of the environment variable or of the file that a
// section names, empty if it names neither.
func (r *secrets) secret(field, env, file string) (value string) {
	switch {
	case env != "" && file != "":
		r.fail(field+"_env and "+field+"_file", errors.New("set one of them"))
	case env != "":
		if value = strings.TrimRight(os.Getenv(env), "\r\n"); value == "" { // as of a file
			r.fail(field+"_env", fmt.Errorf("the environment variable %s is not set", env))
		}
	case file != "":
		var err error
		if value, err = readSecret(file); err == nil && value == "" {
			err = errors.New("it is empty")
		}
		if err != nil {
			r.fail(field+"_file "+file, err)
		}
	}
	return value
}

// readSecret returns the content of a small file without the end of its last
// line.
func readSecret(name string) (string, error) {
	data, err := terminal.ReadFile("", name, maxSecretBytes, "")
	if err == nil && (bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff"))) {
		return "", errors.New("it is UTF-16: save it as UTF-8")
	}
	return strings.TrimRight(string(pipeline.WithoutMark(data)), "\r\n"), err
}
