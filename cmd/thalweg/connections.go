package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/pflag"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors/kafka"
	schemaregistry "github.com/thalweg/thalweg/connectors/registry"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/file"
	"github.com/thalweg/thalweg/storage/s3"
	"github.com/thalweg/thalweg/throttle"
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
	flags.StringVar(&c.store, "store", envOr("THALWEG_STORE", "http://"+defaultS3Address),
		"default object store: an S3 endpoint (http://host:port) or a directory (file:///path) [THALWEG_STORE]")
	flags.StringSliceVar(&c.kafka, "kafka", envList("THALWEG_KAFKA", defaultKafkaAddress),
		"default Kafka brokers (host:port) [THALWEG_KAFKA]")
	flags.StringVar(&c.schemas, "schema-registry", os.Getenv("THALWEG_SCHEMA_REGISTRY"),
		"schema registry of Avro events (http://host:port), for specs that name the connection default [THALWEG_SCHEMA_REGISTRY]")
	flags.StringVar(&c.file, "connections", os.Getenv("THALWEG_CONNECTIONS"),
		"file of named connections, for specs that name one [THALWEG_CONNECTIONS]")
	flags.StringVar(&c.state, "state-bucket", envOr("THALWEG_STATE_BUCKET", "thalweg"),
		"bucket for checkpoints and partial results [THALWEG_STATE_BUCKET]")
}

// connections resolves the connection names of specs: "" is the default one.
type connections struct {
	stores  map[string]storage.Opener
	brokers map[string]kafka.Config
	schemas map[string]*schemaregistry.Client // by name; that of the flag is defaultRegistry
}

// defaultRegistry is what a spec calls the schema registry of the flag.
const defaultRegistry = "default"

// connectionFile is the form of the --connections file.
type connectionFile struct {
	Connections map[string]struct {
		S3 *struct {
			Endpoint     string `yaml:"endpoint"`
			Region       string `yaml:"region"`
			AccessKeyEnv string `yaml:"access_key_env"`
			SecretKeyEnv string `yaml:"secret_key_env"`
		} `yaml:"s3"`
		Directory *string `yaml:"directory"`
		Kafka     *struct {
			Brokers []string `yaml:"brokers"`
		} `yaml:"kafka"`
		SchemaRegistry *registryForm `yaml:"schema_registry"`
	} `yaml:"connections"`
}

// registryForm is the form of a schema registry in that file.
type registryForm struct {
	URL         string `yaml:"url"`
	UsernameEnv string `yaml:"username_env"`
	PasswordEnv string `yaml:"password_env"`
	// CAFile holds the certificates, in PEM, that an https registry is held
	// against. Default: the system's.
	CAFile string `yaml:"ca_file"`
}

func (f registryForm) open() (*schemaregistry.Client, error) {
	cfg := schemaregistry.Config{URL: f.URL, Username: os.Getenv(f.UsernameEnv), Password: os.Getenv(f.PasswordEnv)}
	if f.CAFile != "" {
		pem, err := os.ReadFile(f.CAFile)
		if err != nil {
			return nil, &thalweg.Error{Op: "read connections", Kind: thalweg.Invalid, Subject: "ca_file", Err: err}
		}
		cfg.TLS = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		if !cfg.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &thalweg.Error{Op: "read connections", Kind: thalweg.Invalid, Subject: f.CAFile, Hint: "it holds no certificate in PEM"}
		}
	}
	return schemaregistry.New(cfg)
}

// open builds the connections that the flags describe. No network is touched.
func (c *connectionFlags) open() (*connections, error) {
	def, err := openStore(c.store,
		envOr("THALWEG_ACCESS_KEY", envOr("AWS_ACCESS_KEY_ID", devAccessKey)),
		envOr("THALWEG_SECRET_KEY", envOr("AWS_SECRET_ACCESS_KEY", devSecretKey)),
		envOr("THALWEG_REGION", envOr("AWS_REGION", "us-east-1")))
	if err != nil {
		return nil, err
	}
	conns := &connections{
		stores:  map[string]storage.Opener{"": def},
		brokers: map[string]kafka.Config{"": {Brokers: c.kafka, Throttle: throttle.New()}},
	}
	conns.schemas = make(map[string]*schemaregistry.Client)
	if c.schemas != "" {
		if conns.schemas[defaultRegistry], err = (registryForm{URL: c.schemas}).open(); err != nil {
			return nil, err
		}
	}
	if c.file == "" {
		return conns, nil
	}
	data, err := os.ReadFile(c.file)
	if err != nil {
		return nil, &thalweg.Error{Op: "read connections", Kind: thalweg.Invalid, Err: err}
	}
	var parsed connectionFile
	if err := yaml.UnmarshalWithOptions(data, &parsed, yaml.Strict()); err != nil {
		return nil, &thalweg.Error{Op: "read connections", Kind: thalweg.Invalid, Subject: c.file, Err: err}
	}
	for name, conn := range parsed.Connections {
		switch {
		case conn.S3 != nil:
			conns.stores[name], err = openStore(conn.S3.Endpoint, os.Getenv(conn.S3.AccessKeyEnv), os.Getenv(conn.S3.SecretKeyEnv), conn.S3.Region)
		case conn.Directory != nil:
			conns.stores[name], err = openStore("file://"+*conn.Directory, "", "", "")
		case conn.Kafka != nil:
			conns.brokers[name] = kafka.Config{Brokers: conn.Kafka.Brokers, Throttle: throttle.New()}
		case conn.SchemaRegistry != nil:
			conns.schemas[name], err = conn.SchemaRegistry.open()
		default:
			err = &thalweg.Error{Op: "read connections", Kind: thalweg.Invalid, Subject: c.file + ": " + name, Hint: "give it s3, directory, kafka or schema_registry"}
		}
		if err != nil {
			return nil, err
		}
	}
	return conns, nil
}

func openStore(address, accessKey, secretKey, region string) (storage.Opener, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, usageError("--store", address, "http://host:port, https://host or file:///path")
	}
	switch u.Scheme {
	case "file":
		dir, err := filepath.Abs(filepath.FromSlash(u.Host + u.Path))
		if err != nil {
			return nil, err
		}
		return file.New(file.Config{Dir: dir})
	case "http", "https":
		return s3.New(s3.Config{Endpoint: u.Host, TLS: u.Scheme == "https", Region: region, AccessKey: accessKey, SecretKey: secretKey, PathStyle: true})
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
	if s, ok := c.stores[name]; ok {
		return s, nil
	}
	return nil, unknownConnection(name, "store")
}

// Kafka implements worker.Connections.
func (c *connections) Kafka(name string) (kafka.Config, error) {
	if b, ok := c.brokers[name]; ok {
		return b, nil
	}
	return kafka.Config{}, unknownConnection(name, "kafka")
}

// Schemas implements worker.Connections.
func (c *connections) Schemas(name string) (*schemaregistry.Client, error) {
	if r, ok := c.schemas[name]; ok {
		return r, nil
	}
	return nil, unknownConnection(name, "schema registry")
}

// eventSchemas is Schemas for who loads versions.
func (c *connections) eventSchemas(name string) (event.Schemas, error) { return c.Schemas(name) }

func unknownConnection(name, kind string) error {
	return &thalweg.Error{Op: "resolve connection", Kind: thalweg.NotFound, Subject: fmt.Sprintf("%s connection %q", kind, name),
		Hint: "name it in the file given by --connections"}
}

// bucketOf opens the bucket of an s3:// path over a named connection and
// returns the key part of the path.
func (c *connections) bucketOf(ctx context.Context, connection, path string) (storage.Bucket, string, error) {
	rest, ok := strings.CutPrefix(path, "s3://")
	name, key, _ := strings.Cut(rest, "/")
	if !ok || name == "" {
		return nil, "", usageError("path", path, "s3://bucket/key")
	}
	opener, err := c.Store(connection)
	if err != nil {
		return nil, "", err
	}
	b, err := opener.Bucket(ctx, name)
	return b, key, err
}
