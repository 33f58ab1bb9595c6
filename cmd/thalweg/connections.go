package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/kafka"
	schemaregistry "github.com/thalweg/thalweg/connectors/registry"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/endpoint"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/retry"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/file"
	"github.com/thalweg/thalweg/storage/s3"
)

// The fixed ports of thalweg dev, and so the defaults of every command.
const (
	defaultAPIAddress   = "127.0.0.1:7070"
	defaultKafkaAddress = "127.0.0.1:9092"
	defaultS3Address    = "127.0.0.1:9000"
	devAccessKey        = "thalweg"
	devSecretKey        = "thalweg-dev-secret"
)

// connectionFlags tell where stores and brokers are. Credentials come from the
// environment or from variables that the connections file names, never from
// the command line or the spec.
type connectionFlags struct {
	store string
	kafka []string
	// schemas is the address of the default schema registry; empty: none.
	schemas string
	file    string
	state   string
}

func (c *connectionFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&c.store, "store", cmp.Or(os.Getenv("THALWEG_STORE"), "http://"+defaultS3Address),
		"default object store: an S3 endpoint (http://host:port) or a directory (file:///path) [THALWEG_STORE]")
	flags.StringSliceVar(&c.kafka, "kafka", envList("THALWEG_KAFKA", defaultKafkaAddress),
		"default Kafka brokers (host:port) [THALWEG_KAFKA]")
	flags.StringVar(&c.schemas, "schema-registry", os.Getenv("THALWEG_SCHEMA_REGISTRY"),
		"schema registry of Avro events (http://host:port), for specs that name the connection default [THALWEG_SCHEMA_REGISTRY]")
	flags.StringVar(&c.file, "connections", os.Getenv("THALWEG_CONNECTIONS"),
		"file of named connections, for specs that name one [THALWEG_CONNECTIONS]")
	flags.StringVar(&c.state, "state-bucket", cmp.Or(os.Getenv("THALWEG_STATE_BUCKET"), "thalweg"),
		"bucket for checkpoints and partial results [THALWEG_STATE_BUCKET]")
}

// defaultConnection is the connection that the flags describe, which is meant
// where a spec names none. One of that name in the connections file replaces it.
const defaultConnection = pipeline.DefaultConnection

// connections resolves the connection names of specs: "" is the default one.
type connections struct {
	stores  map[string]store
	brokers map[string]kafka.Config
	buffers *kafka.Pool                       // of all sources
	streams map[string]streamOpener           // by the kind of stream
	schemas map[string]*schemaregistry.Client // no default one without the flag
	keys    map[string]table.Key              // no default one
}

// store is an object store, and how it is reached, to tell people.
type store struct {
	storage.Opener
	reach endpoint.Store
}

// connectionFile is the form of the --connections file.
type connectionFile struct {
	Connections map[string]connection `yaml:"connections"`
}

type connection struct {
	S3             *s3Section       `yaml:"s3"`
	Directory      *string          `yaml:"directory"`
	Kafka          *kafkaSection    `yaml:"kafka"`
	SchemaRegistry *registrySection `yaml:"schema_registry"`
	Key            *keySection      `yaml:"key"`
}

type s3Section struct {
	Endpoint      string      `yaml:"endpoint"`
	Region        string      `yaml:"region"`
	AccessKeyEnv  string      `yaml:"access_key_env"`
	AccessKeyFile string      `yaml:"access_key_file"`
	SecretKeyEnv  string      `yaml:"secret_key_env"`
	SecretKeyFile string      `yaml:"secret_key_file"`
	TLS           *tlsSection `yaml:"tls"`
}

type kafkaSection struct {
	Brokers []string     `yaml:"brokers"`
	TLS     *tlsSection  `yaml:"tls"`
	SASL    *saslSection `yaml:"sasl"`
}

// open returns the store. Its address says whether it talks TLS, the section
// only how.
func (s *s3Section) open(subject string) (store, error) {
	r := secrets{subject: subject}
	cfg := s3.Config{Region: s.Region, TLSConfig: r.tls(s.TLS), AccessKey: r.secret("access_key", s.AccessKeyEnv, s.AccessKeyFile),
		SecretKey: r.secret("secret_key", s.SecretKeyEnv, s.SecretKeyFile)}
	if r.err != nil {
		return store{}, r.err
	}
	if !strings.Contains(s.Endpoint, "://") {
		return store{}, badConnection(subject, fmt.Errorf("endpoint %q: want http://host:port or https://host", s.Endpoint))
	}
	return openStore(s.Endpoint, cfg)
}

func (s *kafkaSection) config(subject, origin string) (kafka.Config, error) {
	r := secrets{subject: subject}
	cfg := kafka.Config{Brokers: s.Brokers, Origin: origin, Throttle: retry.NewThrottle(), Link: new(kafka.Link), TLS: r.tls(s.TLS), SASL: r.sasl(s.SASL)}
	if r.err != nil {
		return cfg, r.err
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
	URL          string      `yaml:"url"`
	UsernameEnv  string      `yaml:"username_env"`
	PasswordEnv  string      `yaml:"password_env"`
	PasswordFile string      `yaml:"password_file"`
	TLS          *tlsSection `yaml:"tls"`
}

func (s *registrySection) open(subject string) (*schemaregistry.Client, error) {
	r := secrets{subject: subject}
	cfg := schemaregistry.Config{URL: s.URL, Username: r.secret("username", s.UsernameEnv, ""),
		Password: r.secret("password", s.PasswordEnv, s.PasswordFile), TLS: r.tls(s.TLS)}
	if r.err != nil {
		return nil, r.err
	}
	return schemaregistry.New(cfg)
}

// open builds the connections that the flags describe. No network is touched.
func (c *connectionFlags) open() (*connections, error) {
	conns, err := newConnections(c.store, s3.Config{
		AccessKey: cmp.Or(os.Getenv("THALWEG_ACCESS_KEY"), os.Getenv("AWS_ACCESS_KEY_ID"), devAccessKey),
		SecretKey: cmp.Or(os.Getenv("THALWEG_SECRET_KEY"), os.Getenv("AWS_SECRET_ACCESS_KEY"), devSecretKey),
		Region:    cmp.Or(os.Getenv("THALWEG_REGION"), os.Getenv("AWS_REGION"), "us-east-1"),
	}, kafka.Config{Brokers: c.kafka, Origin: "--kafka [THALWEG_KAFKA]"}, c.schemas)
	if err == nil {
		err = conns.addFile(c.file)
	}
	if err != nil {
		return nil, err
	}
	return conns, nil
}

// addFile adds the connections of a file; "" names none.
func (c *connections) addFile(file string) error {
	if file == "" {
		return nil
	}
	data, err := readFile(readingConnections, file, pipeline.MaxSpecBytes, "")
	if err != nil {
		return err
	}
	var parsed connectionFile
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

// newConnections returns the default ones: a store by its address and keys, a
// Kafka cluster, and a schema registry by its address, empty for none.
func newConnections(address string, keys s3.Config, brokers kafka.Config, schemas string) (*connections, error) {
	s, err := openStore(address, keys)
	if err != nil {
		return nil, err
	}
	brokers.Throttle, brokers.Link = retry.NewThrottle(), new(kafka.Link)
	c := &connections{
		stores:  map[string]store{defaultConnection: s},
		brokers: map[string]kafka.Config{defaultConnection: brokers},
		buffers: kafka.NewPool(),
		streams: streamOpeners(),
		schemas: make(map[string]*schemaregistry.Client),
		keys:    make(map[string]table.Key),
	}
	if schemas != "" {
		c.schemas[defaultConnection], err = (&registrySection{URL: schemas}).open("--schema-registry")
	}
	return c, err
}

// add opens a connection of the file.
func (c *connections) add(file, name string, conn connection) (err error) {
	subject := file + ": " + name
	switch {
	case conn.S3 != nil && conn.Directory != nil:
		return badConnection(subject, errors.New("give it s3 or directory, not both"))
	case conn.S3 != nil:
		c.stores[name], err = conn.S3.open(subject)
	case conn.Directory != nil:
		c.stores[name], err = openStore("file://"+*conn.Directory, s3.Config{})
	case conn.Kafka == nil && conn.SchemaRegistry == nil && conn.Key == nil:
		return badConnection(subject, errors.New("give it s3, directory, kafka, schema_registry or key"))
	}
	if err == nil && conn.Kafka != nil {
		c.brokers[name], err = conn.Kafka.config(subject, fmt.Sprintf("connection %s in %s", name, file))
	}
	if err == nil && conn.SchemaRegistry != nil {
		c.schemas[name], err = conn.SchemaRegistry.open(subject)
	}
	if err == nil && conn.Key != nil {
		c.keys[name], err = conn.Key.open(subject)
	}
	return err
}

const readingConnections = "read connections"

// badConnection says what is wrong with a connection, and never a secret of it.
func badConnection(subject string, err error) error {
	return &thalweg.Error{Op: readingConnections, Kind: thalweg.Invalid, Subject: subject, Err: err}
}

// openStore opens a directory, or an S3 endpoint with the keys, region and TLS of
// a configuration.
func openStore(address string, cfg s3.Config) (store, error) {
	s := store{reach: endpoint.Store{Address: address, Region: cmp.Or(cfg.Region, "us-east-1"), AccessKey: "ACCESS_KEY", SecretKey: "SECRET_KEY"}}
	if cfg.AccessKey == devAccessKey && cfg.SecretKey == devSecretKey {
		s.reach.AccessKey, s.reach.SecretKey = devAccessKey, devSecretKey
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
	case u.Scheme == "file":
		dir, err := filepath.Abs(filepath.FromSlash(u.Host + u.Path))
		if err == nil {
			s.Opener, err = file.New(file.Config{Dir: dir})
		}
		return s, err
	case u.Scheme == "http" || u.Scheme == "https":
		cfg.Endpoint, cfg.TLS, cfg.PathStyle = u.Host, u.Scheme == "https", true
		s.Opener, err = s3.New(cfg)
		return s, err
	}
	return s, usageError("--store", address, "http://host:port, https://host or file:///path")
}

// Close gives back what the stores hold: their idle connections, which keep a
// server from stopping.
func (c *connections) Close() {
	for _, store := range c.stores {
		if closer, ok := store.Opener.(io.Closer); ok {
			closer.Close()
		}
	}
	for _, client := range c.schemas {
		client.Close()
	}
	for _, brokers := range c.brokers {
		brokers.Link.Close()
	}
}

// Store implements worker.Connections.
func (c *connections) Store(name string) (storage.Opener, error) {
	return named(c.stores, pipeline.StoreConnection, name)
}

// reach tells how a store is reached, without keys that are secret.
func (c *connections) reach(name string) endpoint.Store {
	return c.stores[cmp.Or(name, defaultConnection)].reach
}

// Source implements worker.Connections.
func (c *connections) Source(name string, stream pipeline.Choice, what connectors.Reading) (connectors.Source, error) {
	if open, ok := c.streams[stream.Name]; ok {
		return open(c, name, stream.Options, what)
	}
	return nil, &thalweg.Error{Op: "open events", Kind: thalweg.Unsupported, Subject: "stream " + stream.Name, Hint: "this build cannot read it"}
}

// streamOpener opens a topic over a named connection, given the options of its
// kind of stream in the spec.
type streamOpener func(c *connections, name string, options any, what connectors.Reading) (connectors.Source, error)

// kafkaConnection is the kind of connections to Kafka, and of the streams over them.
const kafkaConnection = "kafka"

// streamOpeners returns what opens each of endpoint.Streams. To add one is a line
// here.
func streamOpeners() map[string]streamOpener {
	return map[string]streamOpener{kafkaConnection: openKafka}
}

func openKafka(c *connections, name string, options any, what connectors.Reading) (connectors.Source, error) {
	cfg, err := named(c.brokers, kafkaConnection, name)
	if err != nil {
		return nil, err
	}
	cfg.IsolationLevel = options.(*endpoint.KafkaSource).IsolationLevel
	cfg.Topic, cfg.Group, cfg.Large, cfg.Pool = what.Topic, what.Group, what.Large, c.buffers
	return kafka.New(cfg)
}

// Outbox implements worker.Connections.
func (c *connections) Outbox(name, topic, as string, partition int) (connectors.Outbox, error) {
	cfg, err := named(c.brokers, kafkaConnection, name)
	if err != nil {
		return nil, err
	}
	cfg.Topic = topic
	return kafka.NewOutbox(cfg, kafka.OutboxConfig{Name: as, Partition: partition})
}

// Schemas implements worker.Connections.
func (c *connections) Schemas(name string) (*schemaregistry.Client, error) {
	return named(c.schemas, pipeline.RegistryConnection, name)
}

// Key implements worker.Connections.
func (c *connections) Key(name string) (table.Key, error) {
	return named(c.keys, pipeline.KeyConnection, name)
}

// Known implements worker.Connections.
func (c *connections) Known() (known pipeline.Connections) {
	for name, s := range c.stores {
		known = append(known, pipeline.Connection{Kind: pipeline.StoreConnection, Name: name, Addresses: spelled(s.reach.Address)})
	}
	for name, b := range c.brokers {
		known = append(known, pipeline.Connection{Kind: kafkaConnection, Name: name, Addresses: spelled(b.Brokers...)})
	}
	for name := range c.keys {
		known = append(known, pipeline.Connection{Kind: pipeline.KeyConnection, Name: name})
	}
	for name := range c.schemas {
		known = append(known, pipeline.Connection{Kind: pipeline.RegistryConnection, Name: name})
	}
	return known
}

// spelled returns addresses in one spelling, so that they can be compared: of a
// store with its port and without its scheme.
func spelled(addresses ...string) (out []string) {
	for _, a := range addresses {
		u, err := url.Parse(a)
		if err != nil || u.Host == "" && u.Scheme != "file" {
			u = &url.URL{Host: a} // of a broker
		}
		if u.Scheme == "file" {
			out = append(out, filepath.Clean(u.Host+u.Path))
			continue
		}
		host := strings.ToLower(u.Hostname())
		if host == "localhost" || host == "::1" {
			host = "127.0.0.1"
		}
		port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme], "9092")
		out = append(out, net.JoinHostPort(host, port))
	}
	return out
}

// eventSchemas is Schemas for who loads versions.
func (c *connections) eventSchemas(name string) (event.Schemas, error) { return c.Schemas(name) }

// named returns the connection of a kind that a spec names.
func named[T any](known map[string]T, kind, name string) (T, error) {
	found, ok := known[cmp.Or(name, defaultConnection)]
	if ok {
		return found, nil
	}
	names := slices.Sorted(maps.Keys(known))
	hint := spelling.Hint(name, slices.Values(names))
	if hint == "" {
		hint = "name it in the file given by --connections; known are " + cmp.Or(strings.Join(names, ", "), "none")
	}
	return found, &thalweg.Error{Op: "resolve connection", Kind: thalweg.NotFound, Subject: fmt.Sprintf("%s connection %q", kind, name), Hint: hint}
}

// Bucket implements localdata.Connections.
func (c *connections) Bucket(ctx context.Context, connection, name string) (storage.Bucket, error) {
	opener, err := c.Store(connection)
	if err != nil {
		return nil, err
	}
	return opener.Bucket(ctx, name)
}
