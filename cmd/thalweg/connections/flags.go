package connections

import (
	"cmp"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/storage/s3"
)

// The fixed ports of thalweg dev, and so the defaults of every command.
const (
	APIAddress   = "127.0.0.1:7070"
	KafkaAddress = "127.0.0.1:9092"
	S3Address    = "127.0.0.1:9000"
	DevAccessKey = "thalweg"
	DevSecretKey = "thalweg-dev-secret"
)

// Flags tell where stores and brokers are. Credentials come from the
// environment or from variables that the connections file names, never from
// the command line or the spec.
type Flags struct {
	store string
	kafka []string
	// Schemas is the address of the default schema registry; empty: none.
	Schemas string
	File    string // of named connections; empty: none
	State   string // the bucket of checkpoints and partial results
	Traces  string // the collector of traces, a connection or an address; empty: none
}

// Register adds the flags to those of a command.
func (c *Flags) Register(flags *pflag.FlagSet) {
	flags.StringVar(&c.store, "store", cmp.Or(os.Getenv("THALWEG_STORE"), "http://"+S3Address),
		"default object store: an S3 endpoint (http://host:port) or a directory (file:///path) [THALWEG_STORE]")
	flags.StringSliceVar(&c.kafka, "kafka", EnvList("THALWEG_KAFKA", KafkaAddress),
		"default Kafka brokers (host:port) [THALWEG_KAFKA]")
	flags.StringVar(&c.Schemas, "schema-registry", os.Getenv("THALWEG_SCHEMA_REGISTRY"),
		"schema registry of Avro events (http://host:port), for specs that name the connection default [THALWEG_SCHEMA_REGISTRY]")
	flags.StringVar(&c.File, "connections", os.Getenv("THALWEG_CONNECTIONS"),
		"file of named connections, for specs that name one [THALWEG_CONNECTIONS]")
	flags.StringVar(&c.State, "state-bucket", cmp.Or(os.Getenv("THALWEG_STATE_BUCKET"), "thalweg"),
		"bucket for checkpoints and partial results [THALWEG_STATE_BUCKET]")
}

// Open builds the connections that the flags describe. No network is touched.
func (c *Flags) Open() (*Set, error) {
	conns, err := New(c.store, s3.Config{
		AccessKey: cmp.Or(os.Getenv("THALWEG_ACCESS_KEY"), os.Getenv("AWS_ACCESS_KEY_ID"), DevAccessKey),
		SecretKey: cmp.Or(os.Getenv("THALWEG_SECRET_KEY"), os.Getenv("AWS_SECRET_ACCESS_KEY"), DevSecretKey),
		Region:    cmp.Or(os.Getenv("THALWEG_REGION"), os.Getenv("AWS_REGION"), "us-east-1"),
	}, kafka.Config{Brokers: c.kafka, Origin: "--kafka [THALWEG_KAFKA]"}, c.Schemas)
	if err == nil {
		err = conns.AddFile(c.File)
	}
	if err != nil {
		return nil, err
	}
	return conns, nil
}

// EnvList returns the values of an environment variable, commas between them, or
// else the fallback.
func EnvList(name, fallback string) []string {
	if v := os.Getenv(name); v != "" {
		return strings.Split(v, ",")
	}
	return []string{fallback}
}
