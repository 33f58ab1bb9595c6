// Package connections finds the stores, brokers, schema registries and keys that
// specs name: by the flags of a command, the environment, and the file of
// --connections. No secret is in an error or a log.
package connections

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/kafka"
	schemaregistry "github.com/thalweg/thalweg/connectors/registry"
	"github.com/thalweg/thalweg/coordinator/alert/webhook"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/endpoint"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/retry"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/file"
	"github.com/thalweg/thalweg/storage/s3"
	"github.com/thalweg/thalweg/tracing"
)

// Default is the connection that the flags describe, which is meant
// where a spec names none. One of that name in the connections file replaces it.
const Default = pipeline.DefaultConnection

// Set resolves the connection names of specs: "" is the default one.
type Set struct {
	stores  map[string]store
	brokers map[string]kafka.Config
	buffers *kafka.Pool                       // of all sources
	streams map[string]streamOpener           // by the kind of stream
	schemas map[string]*schemaregistry.Client // no default one without the flag
	keys    map[string]table.Key              // no default one
	// collectors of traces; no default one
	collectors map[string]tracing.Config
	// webhooks that coordinators tell alerts; no default one
	webhooks map[string]webhook.Config
}

// store is an object store, and how it is reached, to tell people.
type store struct {
	storage.Opener
	reach endpoint.Store
}

// New returns the default ones: a store by its address and keys, a
// Kafka cluster, and a schema registry by its address, empty for none.
func New(address string, keys s3.Config, brokers kafka.Config, schemas string) (*Set, error) {
	if err := withoutCredentials(address); err != nil {
		return nil, &thalweg.Error{Op: "--store", Kind: thalweg.Invalid, Err: err}
	}
	s, err := openStore(address, keys)
	if err != nil {
		return nil, err
	}
	if err := withoutCredentials(brokers.Brokers...); err != nil {
		return nil, &thalweg.Error{Op: "--kafka", Kind: thalweg.Invalid, Err: err}
	}
	brokers.Throttle, brokers.Link = retry.NewThrottle(), new(kafka.Link)
	c := &Set{
		stores:  map[string]store{Default: s},
		brokers: map[string]kafka.Config{Default: brokers},
		buffers: kafka.NewPool(),
		streams: streamOpeners(),
		schemas: make(map[string]*schemaregistry.Client),
		keys:    make(map[string]table.Key), collectors: make(map[string]tracing.Config), webhooks: make(map[string]webhook.Config),
	}
	if schemas != "" {
		c.schemas[Default], err = (&registrySection{URL: schemas}).open("--schema-registry", false)
	}
	return c, err
}

// openStore opens a directory, or an S3 endpoint with the keys, region and TLS of
// a configuration.
func openStore(address string, cfg s3.Config) (store, error) {
	s := store{reach: endpoint.Store{Address: address, Region: cmp.Or(cfg.Region, "us-east-1"), AccessKey: "ACCESS_KEY", SecretKey: "SECRET_KEY"}}
	if cfg.AccessKey == DevAccessKey && cfg.SecretKey == DevSecretKey {
		s.reach.AccessKey, s.reach.SecretKey = DevAccessKey, DevSecretKey
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
	return s, terminal.UsageError("--store", address, "http://host:port, https://host or file:///path")
}

// withoutCredentials refuses addresses with a user's name or password, without showing
// them: addresses are told to everybody.
func withoutCredentials(addresses ...string) error {
	for _, a := range addresses {
		if strings.Contains(a, "@") && !strings.HasPrefix(a, "file:") {
			return errors.New("credentials have no place in an address: name where they are in the file of --connections, as access_key: {file: PATH}, password: {env: NAME}")
		}
	}
	return nil
}

// Close gives back what the stores hold: their idle connections, which keep a
// server from stopping.
func (c *Set) Close() {
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
func (c *Set) Store(name string) (storage.Opener, error) {
	return named(c.stores, pipeline.StoreConnection, name)
}

// Reach tells how a store is reached, without keys that are secret.
func (c *Set) Reach(name string) endpoint.Store {
	return c.stores[cmp.Or(name, Default)].reach
}

// Source implements worker.Connections.
func (c *Set) Source(name string, stream pipeline.Choice, what connectors.Reading) (connectors.Source, error) {
	if open, ok := c.streams[stream.Name]; ok {
		return open(c, name, stream.Options, what)
	}
	return nil, &thalweg.Error{Op: "open events", Kind: thalweg.Unsupported, Subject: "stream " + stream.Name, Hint: "this build cannot read it"}
}

// streamOpener opens a topic over a named connection, given the options of its
// kind of stream in the spec.
type streamOpener func(c *Set, name string, options any, what connectors.Reading) (connectors.Source, error)

// kafkaConnection is the kind of connections to Kafka, and of the streams over them.
const kafkaConnection = "kafka"

// streamOpeners returns what opens each of endpoint.Streams. To add one is a line
// here.
func streamOpeners() map[string]streamOpener {
	return map[string]streamOpener{kafkaConnection: openKafka}
}

func openKafka(c *Set, name string, options any, what connectors.Reading) (connectors.Source, error) {
	cfg, err := c.Kafka(name)
	if err != nil {
		return nil, err
	}
	cfg.IsolationLevel = options.(*endpoint.KafkaSource).IsolationLevel
	cfg.Topic, cfg.Group, cfg.Large, cfg.Pool = what.Topic, what.Group, what.Large, c.buffers
	return kafka.New(cfg)
}

// Kafka tells how the cluster of a connection is reached.
func (c *Set) Kafka(name string) (kafka.Config, error) {
	return named(c.brokers, kafkaConnection, name)
}

// Outbox implements worker.Connections.
func (c *Set) Outbox(name, topic, as string, partition int) (connectors.Outbox, error) {
	cfg, err := c.Kafka(name)
	if err != nil {
		return nil, err
	}
	cfg.Topic = topic
	return kafka.NewOutbox(cfg, kafka.OutboxConfig{Name: as, Partition: partition})
}

// Appender implements worker.Connections.
func (c *Set) Appender(name, topic, as string, partition int) (connectors.Appender, error) {
	cfg, err := c.Kafka(name)
	if err != nil {
		return nil, err
	}
	cfg.Topic = topic
	return kafka.NewAppender(cfg, kafka.OutboxConfig{Name: as, Partition: partition})
}

// Schemas implements worker.Connections.
func (c *Set) Schemas(name string) (*schemaregistry.Client, error) {
	return named(c.schemas, pipeline.RegistryConnection, name)
}

// Key implements worker.Connections.
func (c *Set) Key(name string) (table.Key, error) {
	return named(c.keys, pipeline.KeyConnection, name)
}

// Known implements worker.Connections.
func (c *Set) Known() (known pipeline.Connections) {
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

// EventSchemas is Schemas for who loads versions.
func (c *Set) EventSchemas(name string) (event.Schemas, error) { return c.Schemas(name) }

// named returns the connection of a kind that a spec names.
func named[T any](known map[string]T, kind, name string) (T, error) {
	found, ok := known[cmp.Or(name, Default)]
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
func (c *Set) Bucket(ctx context.Context, connection, name string) (storage.Bucket, error) {
	opener, err := c.Store(connection)
	if err != nil {
		return nil, err
	}
	return opener.Bucket(ctx, name)
}
