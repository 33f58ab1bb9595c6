package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
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

// connections resolves the connection names of specs: "" is the default one.
type connections struct {
	stores  map[string]storage.Opener
	address map[string]string // of each store, to tell people
	brokers map[string]kafka.Config
	buffers *kafka.Pool                       // of all sources
	streams map[string]streamOpener           // by the kind of stream
	schemas map[string]*schemaregistry.Client // by name; that of the flag is defaultConnection
}

// connectionFile is the form of the --connections file. A connection named
// default is that of specs which name none.
type connectionFile struct {
	Connections map[string]connection `yaml:"connections"`
}

type connection struct {
	S3             *s3Section       `yaml:"s3"`
	Directory      *string          `yaml:"directory"`
	Kafka          *kafkaSection    `yaml:"kafka"`
	SchemaRegistry *registrySection `yaml:"schema_registry"`
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
func (s *s3Section) open(subject string) (storage.Opener, error) {
	access, err := secret(subject, "access_key", s.AccessKeyEnv, s.AccessKeyFile)
	if err != nil {
		return nil, err
	}
	key, err := secret(subject, "secret_key", s.SecretKeyEnv, s.SecretKeyFile)
	if err != nil {
		return nil, err
	}
	tlsConfig, err := s.TLS.config(subject)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(s.Endpoint, "://") {
		return nil, badConnection(subject, fmt.Errorf("endpoint %q: want http://host:port or https://host", s.Endpoint))
	}
	return openStore(s.Endpoint, access, key, s.Region, tlsConfig)
}

func (s *kafkaSection) config(subject, origin string) (cfg kafka.Config, err error) {
	cfg = kafka.Config{Brokers: s.Brokers, Origin: origin, Throttle: retry.NewThrottle()}
	if cfg.TLS, err = s.TLS.config(subject); err != nil {
		return kafka.Config{}, err
	}
	if cfg.SASL, err = s.SASL.config(subject); err != nil {
		return kafka.Config{}, err
	}
	whole := cfg
	whole.Topic = "any" // specs name it
	if err := whole.Validate(); err != nil {
		return kafka.Config{}, badConnection(subject, err)
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
	user, err := secret(subject, "username", s.UsernameEnv, "")
	if err != nil {
		return nil, err
	}
	password, err := secret(subject, "password", s.PasswordEnv, s.PasswordFile)
	if err != nil {
		return nil, err
	}
	cfg := schemaregistry.Config{URL: s.URL, Username: user, Password: password}
	if cfg.TLS, err = s.TLS.config(subject); err != nil {
		return nil, err
	}
	return schemaregistry.New(cfg)
}

// open builds the connections that the flags describe. No network is touched.
func (c *connectionFlags) open() (*connections, error) {
	def, err := openStore(c.store,
		cmp.Or(os.Getenv("THALWEG_ACCESS_KEY"), os.Getenv("AWS_ACCESS_KEY_ID"), devAccessKey),
		cmp.Or(os.Getenv("THALWEG_SECRET_KEY"), os.Getenv("AWS_SECRET_ACCESS_KEY"), devSecretKey),
		cmp.Or(os.Getenv("THALWEG_REGION"), os.Getenv("AWS_REGION"), "us-east-1"), nil)
	if err != nil {
		return nil, err
	}
	conns, err := newConnections(def, c.store, kafka.Config{Brokers: c.kafka, Origin: "--kafka [THALWEG_KAFKA]"}, c.schemas)
	if err != nil || c.file == "" {
		return conns, err
	}
	parsed, err := readConnections(c.file)
	if err != nil {
		return nil, err
	}
	for name, conn := range parsed.Connections {
		if err := conns.add(c.file, name, conn); err != nil {
			return nil, err
		}
	}
	if s, ok := conns.stores[defaultConnection]; ok {
		conns.stores[""], conns.address[""] = s, conns.address[defaultConnection]
	}
	if b, ok := conns.brokers[defaultConnection]; ok {
		conns.brokers[""] = b
	}
	return conns, nil
}

// newConnections returns those of the flags: a store and its address, a Kafka
// cluster, and the address of a schema registry, empty for none.
func newConnections(store storage.Opener, address string, cfg kafka.Config, schemas string) (*connections, error) {
	cfg.Throttle = retry.NewThrottle()
	c := &connections{
		stores:  map[string]storage.Opener{"": store},
		address: map[string]string{"": address},
		brokers: map[string]kafka.Config{"": cfg},
		buffers: kafka.NewPool(),
		streams: streamOpeners(),
		schemas: make(map[string]*schemaregistry.Client),
	}
	if schemas == "" {
		return c, nil
	}
	client, err := (&registrySection{URL: schemas}).open("--schema-registry")
	if err != nil {
		return nil, err
	}
	c.schemas[defaultConnection] = client
	return c, nil
}

// add opens a connection of the file.
func (c *connections) add(file, name string, conn connection) (err error) {
	subject := file + ": " + name
	switch {
	case conn.S3 != nil && conn.Directory != nil:
		return badConnection(subject, errors.New("give it s3 or directory, not both"))
	case conn.S3 != nil:
		c.stores[name], err = conn.S3.open(subject)
		c.address[name] = conn.S3.Endpoint
	case conn.Directory != nil:
		c.address[name] = "file://" + *conn.Directory
		c.stores[name], err = openStore(c.address[name], "", "", "", nil)
	case conn.Kafka == nil && conn.SchemaRegistry == nil:
		return badConnection(subject, errors.New("give it s3, directory, kafka or schema_registry"))
	}
	if err == nil && conn.Kafka != nil {
		c.brokers[name], err = conn.Kafka.config(subject, fmt.Sprintf("connection %s in %s", name, file))
	}
	if err == nil && conn.SchemaRegistry != nil {
		c.schemas[name], err = conn.SchemaRegistry.open(subject)
	}
	return err
}

// readConnections reads the file of connections, with the rules and the
// diagnostics of a spec.
func readConnections(name string) (parsed connectionFile, err error) {
	data, err := readFile(readingConnections, name, pipeline.MaxSpecBytes, "")
	if err != nil {
		return parsed, err
	}
	if err := pipeline.DecodeFile("connections file", name, data, &parsed); err != nil {
		return parsed, badConnection("", err)
	}
	return parsed, nil
}

const readingConnections = "read connections"

// badConnection says what is wrong with a connection, and never a secret of it.
func badConnection(subject string, err error) error {
	return &thalweg.Error{Op: readingConnections, Kind: thalweg.Invalid, Subject: subject, Err: err}
}

// defaultConnection is what a spec calls the schema registry of the flag, and
// the name in the connections file for what specs mean that name no connection.
const defaultConnection = "default"

func openStore(address, accessKey, secretKey, region string, tlsConfig *tls.Config) (storage.Opener, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
	case u.Scheme == "file":
		dir, err := filepath.Abs(filepath.FromSlash(u.Host + u.Path))
		if err != nil {
			return nil, err
		}
		return file.New(file.Config{Dir: dir})
	case u.Scheme == "http" || u.Scheme == "https":
		return s3.New(s3.Config{Endpoint: u.Host, TLS: u.Scheme == "https", TLSConfig: tlsConfig, Region: region, AccessKey: accessKey, SecretKey: secretKey, PathStyle: true})
	}
	return nil, usageError("--store", address, "http://host:port, https://host or file:///path")
}

// Close gives back what the stores hold: their idle connections, which keep a
// server from stopping.
func (c *connections) Close() {
	for _, store := range c.stores {
		if closer, ok := store.(io.Closer); ok {
			closer.Close()
		}
	}
	for _, client := range c.schemas {
		client.Close()
	}
}

// Store implements worker.Connections.
func (c *connections) Store(name string) (storage.Opener, error) {
	return named(c.stores, "store", name)
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

// streamOpeners returns what opens each of endpoint.Streams. To add one is a line
// here.
func streamOpeners() map[string]streamOpener { return map[string]streamOpener{"kafka": openKafka} }

func openKafka(c *connections, name string, options any, what connectors.Reading) (connectors.Source, error) {
	cfg, err := named(c.brokers, "kafka", name)
	if err != nil {
		return nil, err
	}
	cfg.IsolationLevel = options.(*endpoint.KafkaSource).IsolationLevel
	cfg.Topic, cfg.Group, cfg.Large, cfg.Pool = what.Topic, what.Group, what.Large, c.buffers
	return kafka.New(cfg)
}

// Outbox implements worker.Connections.
func (c *connections) Outbox(name, topic, as string, partition int) (connectors.Outbox, error) {
	cfg, err := named(c.brokers, "kafka", name)
	if err != nil {
		return nil, err
	}
	cfg.Topic = topic
	return kafka.NewOutbox(cfg, kafka.OutboxConfig{Name: as, Partition: partition})
}

// Schemas implements worker.Connections.
func (c *connections) Schemas(name string) (*schemaregistry.Client, error) {
	return named(c.schemas, "schema registry", name)
}

// eventSchemas is Schemas for who loads versions.
func (c *connections) eventSchemas(name string) (event.Schemas, error) { return c.Schemas(name) }

// named returns the connection of a kind that a spec names.
func named[T any](known map[string]T, kind, name string) (T, error) {
	found, ok := known[name]
	if ok {
		return found, nil
	}
	names := slices.Sorted(maps.Keys(known))
	names = slices.DeleteFunc(names, func(n string) bool { return n == "" })
	hint := spelling.Hint(name, slices.Values(names))
	if hint == "" && len(names) > 0 {
		hint = "known are " + strings.Join(names, ", ")
	}
	if hint == "" {
		hint = "name it in the file given by --connections"
	}
	return found, &thalweg.Error{Op: "resolve connection", Kind: thalweg.NotFound, Subject: fmt.Sprintf("%s connection %q", kind, name), Hint: hint}
}

// stateBucket returns what opens a bucket of the default store.
func (c *connections) stateBucket(name string) func(context.Context) (storage.Bucket, error) {
	return func(ctx context.Context) (storage.Bucket, error) {
		opener, err := c.Store("")
		if err != nil {
			return nil, err
		}
		return opener.Bucket(ctx, name)
	}
}

// bucketOf opens the bucket of an s3:// path over a named connection and
// returns the key part of the path.
func (c *connections) bucketOf(ctx context.Context, connection, path string) (storage.Bucket, string, error) {
	name, key, err := pipeline.SplitS3Path(path)
	if err != nil {
		return nil, "", err
	}
	opener, err := c.Store(connection)
	if err != nil {
		return nil, "", err
	}
	b, err := opener.Bucket(ctx, name)
	return b, key, err
}
