package connections

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"

	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/pipeline/table"
)

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
	Mechanism string     `yaml:"mechanism"` // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
	User      string     `yaml:"user"`
	Password  *reference `yaml:"password" means:"write where the password is: {file: PATH}, {env: NAME} or {credential: NAME}"`
}

// keySection is a key that columns are hashed with (pii: hash). It is read once: other
// bytes are another key.
type keySection struct {
	Secret *reference `yaml:"secret" means:"write where the secret is: {file: PATH}, {env: NAME} or {credential: NAME}"`
}

func (s *keySection) open(subject string) (table.Key, error) {
	r := secrets{subject: subject}
	if s.Secret == nil {
		r.fail("key", errors.New("it needs a secret: {file: PATH}, {env: NAME} or {credential: NAME}"))
		return table.Key{}, r.err
	}
	read := r.secrets("secret", s.Secret)
	if r.err != nil {
		return table.Key{}, r.err
	}
	key, err := table.NewKey([]byte(read.values()[0]))
	if err != nil {
		r.fail("secret", err)
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
	if s.Mechanism == "" || s.User == "" || s.Password == nil {
		r.fail("sasl", errors.New("it needs mechanism, user and password"))
		return kafka.SASL{}
	}
	sasl := kafka.SASL{Mechanism: s.Mechanism, User: s.User}
	if read := r.secrets("sasl.password", s.Password); read != nil {
		sasl.Secret = func() string { return read.values()[0] }
	}
	return sasl
}

// secrets reads what references name, nil if that fails.
func (r *secrets) secrets(field string, from ...*reference) *rotation {
	read, err := newRotation(from...)
	if err != nil {
		r.fail(field, err)
		return nil
	}
	return read
}
