package kafka_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/kafka"
)

// certificate returns a server's TLS configuration for 127.0.0.1 and the pool
// that trusts it.
func certificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}

func TestSignInWithEachMechanismOverTLS(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			server, pool := certificate(t)
			c := newCluster(t, 1, kfake.EnableSASL(), kfake.Superuser(mechanism, "ada", "s3cret"), kfake.TLS(server))
			cfg := config(c)
			cfg.TLS = &tls.Config{RootCAs: pool}
			cfg.SASL = kafka.SASL{Mechanism: mechanism, User: "ada", Password: "s3cret"}
			if err := newProducer(t, cfg, kafka.ProducerConfig{}).Produce(t.Context(), messages("a", "b")); err != nil {
				t.Fatal(err)
			}
			if got, _ := readAll(t, newSource(t, cfg), 0, 0, 1<<20); len(got) != 2 {
				t.Errorf("%v", got)
			}

			cfg.SASL.Password = "wr0ng"
			_, err := newSource(t, cfg).Topic(t.Context())
			if !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), "user, password and mechanism") {
				t.Errorf("wrong password: %v", err)
			}
			if err != nil && strings.Contains(err.Error(), "wr0ng") {
				t.Errorf("the error tells the password: %v", err)
			}

			// One that changes is asked for at each sign-in.
			var password atomic.Value
			password.Store("wr0ng")
			cfg.SASL.Secret = func() string { return password.Load().(string) }
			changing := newSource(t, cfg)
			if _, err := changing.Topic(t.Context()); !thalweg.Is(err, thalweg.Invalid) {
				t.Errorf("before the change: %v", err)
			}
			password.Store("s3cret")
			if _, err := changing.Topic(t.Context()); err != nil {
				t.Errorf("after the change: %v", err)
			}
		})
	}
}

func TestClientCertificateIsShownAndItsAbsenceExplained(t *testing.T) {
	server, pool := certificate(t)
	server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, pool
	c := newCluster(t, 1, kfake.TLS(server))
	cfg := config(c)
	cfg.Attempts = 2
	cfg.TLS = &tls.Config{RootCAs: pool, Certificates: server.Certificates}
	produce := newProducer(t, cfg, kafka.ProducerConfig{})
	if err := produce.Produce(t.Context(), messages("a", "b")); err != nil {
		t.Fatal(err)
	}
	if got, _ := readAll(t, newSource(t, cfg), 0, 0, 1<<20); len(got) != 2 {
		t.Errorf("%v", got)
	}
	cfg.TLS = &tls.Config{RootCAs: pool}
	_, err := newSource(t, cfg).Topic(t.Context())
	if !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), "client certificate") {
		t.Errorf("without a certificate: %v", err)
	}
}

func TestWrongTransportIsExplained(t *testing.T) {
	server, _ := certificate(t)
	secured := config(newCluster(t, 1, kfake.TLS(server)))
	secured.Attempts = 2
	secured.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
	if _, err := newSource(t, secured).Topic(t.Context()); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), "CA") {
		t.Errorf("unknown CA: %v", err)
	}
	secured.TLS = nil
	if _, err := newSource(t, secured).Topic(t.Context()); err == nil || !strings.Contains(err.Error(), "TLS") {
		t.Errorf("plain text to a TLS port: %v", err)
	}
	login := config(newCluster(t, 1, kfake.EnableSASL(), kfake.Superuser("PLAIN", "ada", "s3cret")))
	login.Attempts = 2
	if _, err := newSource(t, login).Topic(t.Context()); err == nil || !strings.Contains(err.Error(), "sign-in") {
		t.Errorf("no sign-in: %v", err)
	}
}

func TestMissingPermissionIsNotTakenForAMissingTopicAlone(t *testing.T) {
	c := newCluster(t, 1, kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("PLAIN", "root", "root"),
		kfake.User("PLAIN", "ada", "s3cret", kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: "other", Pattern: kmsg.ACLResourcePatternTypeLiteral,
			Operation: kmsg.ACLOperationRead, Allow: true}))
	cfg := config(c)
	cfg.SASL = kafka.SASL{Mechanism: "PLAIN", User: "ada", Password: "s3cret"}
	_, err := newSource(t, cfg).Topic(t.Context())
	if err == nil || thalweg.Is(err, thalweg.Unavailable) || !strings.Contains(err.Error(), "ada") {
		t.Errorf("%v, want an error that names the user", err)
	}
}

// The permission that an operator must give is named by operation and resource,
// whatever way the broker's refusal comes by.
func TestARefusedPermissionIsNamed(t *testing.T) {
	c := newCluster(t, 1)
	refuse := func(key kmsg.Key, fill func(kmsg.Request) kmsg.Response) {
		c.ControlKey(key.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			return fill(req), nil, true
		})
	}
	refuse(kmsg.OffsetCommit, func(req kmsg.Request) kmsg.Response {
		of := kmsg.NewOffsetCommitResponseTopicPartition()
		of.ErrorCode = kerr.GroupAuthorizationFailed.Code
		res := req.ResponseKind().(*kmsg.OffsetCommitResponse)
		res.Topics = []kmsg.OffsetCommitResponseTopic{{Topic: topic, Partitions: []kmsg.OffsetCommitResponseTopicPartition{of}}}
		return res
	})
	refuse(kmsg.ListOffsets, func(req kmsg.Request) kmsg.Response {
		of := kmsg.NewListOffsetsResponseTopicPartition()
		of.ErrorCode = kerr.TopicAuthorizationFailed.Code
		res := req.ResponseKind().(*kmsg.ListOffsetsResponse)
		res.Topics = []kmsg.ListOffsetsResponseTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsResponseTopicPartition{of}}}
		return res
	})
	refuse(kmsg.Fetch, func(req kmsg.Request) kmsg.Response {
		of := kmsg.NewFetchResponseTopicPartition()
		of.ErrorCode = kerr.TopicAuthorizationFailed.Code
		res := req.ResponseKind().(*kmsg.FetchResponse)
		res.Topics = []kmsg.FetchResponseTopic{{Topic: topic, TopicID: req.(*kmsg.FetchRequest).Topics[0].TopicID, Partitions: []kmsg.FetchResponseTopicPartition{of}}}
		return res
	})
	refuse(kmsg.InitProducerID, func(req kmsg.Request) kmsg.Response {
		res := req.ResponseKind().(*kmsg.InitProducerIDResponse)
		res.ErrorCode = kerr.ClusterAuthorizationFailed.Code
		return res
	})
	refuse(kmsg.CreateTopics, func(req kmsg.Request) kmsg.Response {
		of := kmsg.NewCreateTopicsResponseTopic()
		of.Topic, of.ErrorCode = topic, kerr.TopicAuthorizationFailed.Code
		res := req.ResponseKind().(*kmsg.CreateTopicsResponse)
		res.Topics = append(res.Topics, of)
		return res
	})
	cfg := config(c)
	cfg.Group = "scores"
	s, p := newSource(t, cfg), newProducer(t, cfg, kafka.ProducerConfig{})
	_, _, bounds := s.Bounds(t.Context(), 0)
	var records connectors.Records
	for want, err := range map[string]error{
		"Read on group scores":                                     s.Commit(t.Context(), 0, 1),
		"Describe on topic events":                                 bounds,
		"Read on topic events":                                     s.Fetch(t.Context(), 0, 0, 0, 1<<20, &records),
		"Create on topic events":                                   p.CreateTopic(t.Context(), 1),
		"IdempotentWrite on the cluster, or Write on topic events": p.Produce(t.Context(), messages("a")),
	} {
		if !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(fmt.Sprint(err), "does not permit this to anonymous users: it needs "+want) {
			t.Errorf("%v, want invalid naming %s", err, want)
		}
	}
}

func TestPasswordIsNeverPrinted(t *testing.T) {
	s := kafka.SASL{Mechanism: "PLAIN", User: "ada", Password: "s3cret"}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("connecting", "sasl", s)
	for _, printed := range []string{log.String(), fmt.Sprint(s), fmt.Sprintf("%+v", s), fmt.Sprintf("%#v", s), fmt.Sprintf("%v", kafka.Config{SASL: s})} {
		if strings.Contains(printed, "s3cret") {
			t.Errorf("%q", printed)
		}
	}
}

func TestBadConfigurationIsNamed(t *testing.T) {
	good := kafka.Config{Brokers: []string{"localhost:9092"}, Topic: topic}
	for name, spoil := range map[string]func(*kafka.Config){
		"brokers":            func(c *kafka.Config) { c.Brokers = nil },
		"host:port":          func(c *kafka.Config) { c.Brokers = []string{"localhost"} },
		"topic":              func(c *kafka.Config) { c.Topic = "" },
		"isolation_level":    func(c *kafka.Config) { c.IsolationLevel = "serializable" },
		"sasl mechanism":     func(c *kafka.Config) { c.SASL.Mechanism = "GSSAPI" },
		"attempts":           func(c *kafka.Config) { c.Attempts = -1 },
		"max response bytes": func(c *kafka.Config) { c.MaxResponseBytes = -1 },
	} {
		cfg := good
		spoil(&cfg)
		if _, err := kafka.New(cfg); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want invalid naming %s", err, name)
		}
	}
	if _, err := kafka.NewProducer(good, kafka.ProducerConfig{Compression: "rar"}); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("compression rar: %v", err)
	}
}

// Where nobody listens, errors name the address, what named it, and what to do.
func TestABrokerThatIsNotThereIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	cfg := kafka.Config{Brokers: []string{address}, Origin: "connection c.yaml: bus", Topic: topic, Attempts: 2}
	p, s := newProducer(t, cfg, kafka.ProducerConfig{}), newSource(t, cfg)
	_, _, bounds := s.Bounds(t.Context(), 0)
	_, topicErr := s.Topic(t.Context())
	for name, err := range map[string]error{"create": p.CreateTopic(t.Context(), 1), "produce": p.Produce(t.Context(), messages("a")), "bounds": bounds, "topic": topicErr} {
		for _, want := range []string{"dial tcp " + address, "start Kafka there, or change brokers " + address + " of connection c.yaml: bus"} {
			if !thalweg.Is(err, thalweg.Unavailable) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
	}
}
