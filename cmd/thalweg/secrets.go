package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/thalweg/thalweg/connectors/kafka"
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

// config reads the files. A client certificate is read again for each
// connection, so that it can be renewed in place; that it can be read is
// checked now.
func (s *tlsSection) config(subject string) (*tls.Config, error) {
	if s == nil {
		return nil, nil
	}
	bad := func(field, file string, err error) error { return badConnection(subject+": tls."+field+" "+file, err) }
	cfg := &tls.Config{ServerName: s.ServerName, MinVersion: tls.VersionTLS12}
	if s.CA != "" {
		pem, err := readSecret(s.CA)
		if err != nil {
			return nil, bad("ca", s.CA, err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM([]byte(pem)) {
			return nil, bad("ca", s.CA, errors.New("no certificate in PEM form"))
		}
	}
	if (s.Certificate == "") != (s.Key == "") {
		return nil, bad("certificate and tls.key", "", errors.New("set both or neither"))
	}
	if s.Certificate != "" {
		load := func() (*tls.Certificate, error) {
			c, err := tls.LoadX509KeyPair(s.Certificate, s.Key)
			if err != nil {
				return nil, bad("certificate", s.Certificate, err)
			}
			return &c, nil
		}
		if _, err := load(); err != nil {
			return nil, err
		}
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return cfg, nil
}

// saslSection is the sasl part of a kafka connection.
type saslSection struct {
	Mechanism    string `yaml:"mechanism"` // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
	User         string `yaml:"user"`
	PasswordEnv  string `yaml:"password_env"`
	PasswordFile string `yaml:"password_file"`
}

func (s *saslSection) config(subject string) (kafka.SASL, error) {
	if s == nil {
		return kafka.SASL{}, nil
	}
	password, err := secret(subject, "sasl.password", s.PasswordEnv, s.PasswordFile)
	if err != nil {
		return kafka.SASL{}, err
	}
	if s.Mechanism == "" || s.User == "" || password == "" {
		return kafka.SASL{}, badConnection(subject+": sasl", errors.New("it needs mechanism, user and one of password_env and password_file"))
	}
	return kafka.SASL{Mechanism: s.Mechanism, User: s.User, Password: password}, nil
}

// secret returns the content of the environment variable or of the file that a
// connection names, empty if it names neither. Errors tell the name only.
func secret(subject, field, env, file string) (string, error) {
	bad := func(name string, err error) error { return badConnection(subject+": "+field+name, err) }
	switch {
	case env != "" && file != "":
		return "", bad("_env and "+field+"_file", errors.New("set one of them"))
	case env != "":
		value, ok := os.LookupEnv(env)
		if !ok || value == "" {
			return "", bad("_env", fmt.Errorf("the environment variable %s is not set", env))
		}
		return value, nil
	case file != "":
		value, err := readSecret(file)
		if err == nil && value == "" {
			err = errors.New("it is empty")
		}
		if err != nil {
			return "", bad("_file "+file, err)
		}
		return value, nil
	}
	return "", nil
}

// readSecret returns the content of a small file without the end of its last
// line.
func readSecret(name string) (string, error) {
	data, err := readFile("", name, maxSecretBytes, "")
	return strings.TrimRight(string(data), "\r\n"), err
}
