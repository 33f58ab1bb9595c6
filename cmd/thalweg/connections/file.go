package connections

import (
	"errors"
	"fmt"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/connectors/kafka"
	schemaregistry "github.com/thalweg/thalweg/connectors/registry"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/retry"
	"github.com/thalweg/thalweg/storage/s3"
)

// fileForm is the form of the --connections file.
type fileForm struct {
	Connections map[string]connection `yaml:"connections"`
}

type connection struct {
	S3             *s3Section       `yaml:"s3"`
	Directory      *string          `yaml:"directory"`
	Kafka          *kafkaSection    `yaml:"kafka"`
	SchemaRegistry *registrySection `yaml:"schema_registry"`
	Key            *keySection      `yaml:"key"`
	OTLP           *otlpSection     `yaml:"otlp"`
	Webhook        *webhookSection  `yaml:"webhook"`
	Loopback       bool             `yaml:"loopback"` // its names may lead to this machine
}

type s3Section struct {
	Endpoint     string      `yaml:"endpoint"`
	Region       string      `yaml:"region"`
	AccessKey    *reference  `yaml:"access_key" means:"write where the key is: {file: PATH}, {env: NAME} or {credential: NAME}"`
	SecretKey    *reference  `yaml:"secret_key" means:"write where the secret is: {file: PATH}, {env: NAME} or {credential: NAME}"`
	SessionToken *reference  `yaml:"session_token" means:"write where the token is: {file: PATH}, {env: NAME} or {credential: NAME}"`
	TLS          *tlsSection `yaml:"tls"`
	Encryption   struct {
		Type  string `yaml:"type"`   // sse-s3 or sse-kms
		KeyID string `yaml:"key_id"` // of sse-kms
	} `yaml:"encryption"`
}

type kafkaSection struct {
	Brokers []string     `yaml:"brokers"`
	TLS     *tlsSection  `yaml:"tls"`
	SASL    *saslSection `yaml:"sasl"`
}

// open returns the store. Its address says whether it talks TLS, the section
// only how.
func (s *s3Section) open(subject string, loopback bool) (store, error) {
	r := secrets{subject: subject}
	cfg := s3.Config{Region: s.Region, Loopback: loopback, TLSConfig: r.tls(s.TLS), Encryption: s3.Encryption(s.Encryption)}
	switch read := r.secrets("access_key, secret_key", s.AccessKey, s.SecretKey, s.SessionToken); {
	case (s.AccessKey == nil) != (s.SecretKey == nil):
		r.fail("access_key, secret_key", errors.New("set both or neither"))
	case s.SessionToken != nil && s.AccessKey == nil:
		r.fail("session_token", errors.New("it needs an access key"))
	case read != nil && s.AccessKey != nil:
		cfg.Keys = func() s3.Keys {
			v := read.values()
			return s3.Keys{AccessKey: v[0], SecretKey: v[1], SessionToken: v[2]}
		}
	}
	if r.err != nil {
		return store{}, r.err
	}
	if err := withoutCredentials(s.Endpoint); err != nil {
		return store{}, badConnection(subject+": endpoint", err)
	}
	if !strings.Contains(s.Endpoint, "://") {
		return store{}, badConnection(subject, fmt.Errorf("endpoint %q: want http://host:port or https://host", s.Endpoint))
	}
	return openStore(s.Endpoint, cfg)
}

func (s *kafkaSection) config(subject, origin string, loopback bool) (kafka.Config, error) {
	r := secrets{subject: subject}
	cfg := kafka.Config{Brokers: s.Brokers, Origin: origin, Loopback: loopback, Throttle: retry.NewThrottle(), Link: new(kafka.Link), TLS: r.tls(s.TLS), SASL: r.sasl(s.SASL)}
	if r.err != nil {
		return cfg, r.err
	}
	if err := withoutCredentials(s.Brokers...); err != nil {
		return cfg, badConnection(subject+": brokers", err)
	}
	whole := cfg
	whole.Topic = "any" // specs name it
	if err := whole.Validate(); err != nil {
		return cfg, badConnection(subject, err)
	}
	return cfg, nil
}

// registrySection is a schema registry. Its address says whether it talks TLS,
// the section only how.
type registrySection struct {
	URL      string      `yaml:"url"`
	Username *reference  `yaml:"username" means:"write where the name is: {file: PATH}, {env: NAME} or {credential: NAME}"`
	Password *reference  `yaml:"password" means:"write where the password is: {file: PATH}, {env: NAME} or {credential: NAME}"`
	TLS      *tlsSection `yaml:"tls"`
}

func (s *registrySection) open(subject string, loopback bool) (*schemaregistry.Client, error) {
	r := secrets{subject: subject}
	cfg := schemaregistry.Config{URL: s.URL, Loopback: loopback, TLS: r.tls(s.TLS)}
	switch read := r.secrets("username, password", s.Username, s.Password); {
	case s.Username == nil && s.Password != nil:
		r.fail("password", errors.New("it needs a username"))
	case read != nil && s.Username != nil:
		cfg.Login = func() (username, password string) { return read.values()[0], read.values()[1] }
	}
	if r.err != nil {
		return nil, r.err
	}
	return schemaregistry.New(cfg)
}

// AddFile adds the connections of a file; "" names none.
func (c *Set) AddFile(file string) error {
	if file == "" {
		return nil
	}
	data, err := terminal.ReadFile(readingConnections, file, pipeline.MaxSpecBytes, "")
	if err != nil {
		return err
	}
	var parsed fileForm
	if err := pipeline.DecodeFile("connections file", file, data, &parsed); err != nil {
		return badConnection("", err)
	}
	for name, conn := range parsed.Connections {
		if err := c.add(file, name, conn); err != nil {
			return err
		}
	}
	return nil
}

// add opens a connection of the file.
func (c *Set) add(file, name string, conn connection) (err error) {
	subject := file + ": " + name
	switch {
	case conn.S3 != nil && conn.Directory != nil:
		return badConnection(subject, errors.New("give it s3 or directory, not both"))
	case conn.S3 != nil:
		c.stores[name], err = conn.S3.open(subject, conn.Loopback)
	case conn.Directory != nil:
		c.stores[name], err = openStore("file://"+*conn.Directory, s3.Config{})
	case conn.Kafka == nil && conn.SchemaRegistry == nil && conn.Key == nil && conn.OTLP == nil && conn.Webhook == nil:
		return badConnection(subject, errors.New("give it s3, directory, kafka, schema_registry, key, otlp or webhook"))
	}
	if err == nil && conn.Kafka != nil {
		c.brokers[name], err = conn.Kafka.config(subject, fmt.Sprintf("connection %s in %s", name, file), conn.Loopback)
	}
	if err == nil && conn.SchemaRegistry != nil {
		c.schemas[name], err = conn.SchemaRegistry.open(subject, conn.Loopback)
	}
	if err == nil && conn.Key != nil {
		c.keys[name], err = conn.Key.open(subject)
	}
	if err == nil && conn.OTLP != nil {
		c.collectors[name], err = conn.OTLP.config(subject, conn.Loopback)
	}
	if err == nil && conn.Webhook != nil {
		c.webhooks[name], err = conn.Webhook.config(subject, conn.Loopback)
	}
	return err
}

const readingConnections = "read connections"

// badConnection says what is wrong with a connection, and never a secret of it.
func badConnection(subject string, err error) error {
	return &thalweg.Error{Op: readingConnections, Kind: thalweg.Invalid, Subject: subject, Err: err}
}
