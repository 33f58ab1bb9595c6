// Package kafka runs a real Apache Kafka cluster for tests: brokers in KRaft
// mode on loopback, from the jars that make integration-deps fetches into
// .cache/kafka. A cluster takes about three seconds to start and 400 MB a node.
package kafka

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/thalweg/thalweg/integration/process"
)

// Config describes a cluster.
type Config struct {
	// Nodes is how many there are, each broker and controller. Default 1.
	Nodes int
	// Properties are broker settings that add to or replace the package's own, by
	// the names of Kafka's documentation ("log.retention.check.interval.ms").
	Properties map[string]string
	// Proxied are further listeners, of a cluster of one node, whose clients are
	// told to come by another address: that of a proxy.
	Proxied []Listener
	// Guarded opens a second listener, on which clients must prove who they are.
	Guarded bool
}

// Listener is an address at which a broker listens and the one by which it says
// that it is reached.
type Listener struct{ Address, Advertised string }

// Cluster is a running cluster.
type Cluster struct {
	Guard *Guard // nil unless Config.Guarded
	nodes []*node
}

type node struct {
	id         int
	broker     string // host:port
	controller string
	properties string // path of its settings
	logs       string // directory of its partitions
	starts     int
	process    *process.Process
}

// clusterID is any 16 bytes in base64; the nodes of a cluster share one.
const clusterID = "dGhhbHdlZy1pbnRlZ3JhdA"

// Start starts a cluster without topics and waits until its brokers answer. It
// ends with the test. Missing jars or a missing Java fail the test.
func Start(t testing.TB, cfg Config) *Cluster {
	t.Helper()
	if jars, err := filepath.Glob(filepath.Join(jarDir(t), "kafka_*.jar")); err != nil || len(jars) == 0 {
		t.Fatalf("no Apache Kafka in %s: run make integration-deps", jarDir(t))
	}
	c := &Cluster{}
	var voters []string
	for id := range max(cfg.Nodes, 1) {
		n := &node{id: id, broker: process.FreeAddress(t), controller: process.FreeAddress(t)}
		c.nodes = append(c.nodes, n)
		voters = append(voters, fmt.Sprintf("%d@%s", id, n.controller))
	}
	if cfg.Guarded {
		c.Guard = newGuard(t, t.TempDir())
	}
	for _, n := range c.nodes {
		n.configure(t, cfg, c.Guard, voters)
		n.start(t)
	}
	c.WaitReady(t)
	return c
}

// configure writes the node's settings and formats its directory.
func (n *node) configure(t testing.TB, cfg Config, guard *Guard, voters []string) {
	t.Helper()
	dir := t.TempDir()
	copies := fmt.Sprint(min(len(voters), 3))
	settings := map[string]string{
		"process.roles":                            "broker,controller",
		"node.id":                                  fmt.Sprint(n.id),
		"controller.quorum.voters":                 strings.Join(voters, ","),
		"controller.listener.names":                "CONTROLLER",
		"listeners":                                "PLAINTEXT://" + n.broker + ",CONTROLLER://" + n.controller,
		"advertised.listeners":                     "PLAINTEXT://" + n.broker,
		"log.dirs":                                 filepath.Join(dir, "log"),
		"auto.create.topics.enable":                "false",
		"default.replication.factor":               copies,
		"offsets.topic.num.partitions":             "1",
		"offsets.topic.replication.factor":         copies,
		"transaction.state.log.num.partitions":     "1",
		"transaction.state.log.replication.factor": copies,
		"transaction.state.log.min.isr":            "1",
		"group.initial.rebalance.delay.ms":         "0",
		"broker.heartbeat.interval.ms":             "500",
		"broker.session.timeout.ms":                "4000", // a killed broker is missed this long
	}
	protocols := "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
	for i, l := range cfg.Proxied {
		settings["listeners"] += fmt.Sprintf(",PROXY%d://%s", i, l.Address)
		settings["advertised.listeners"] += fmt.Sprintf(",PROXY%d://%s", i, l.Advertised)
		protocols += fmt.Sprintf(",PROXY%d:PLAINTEXT", i)
	}
	args := []string{"kafka.tools.StorageTool", "format", "-t", clusterID}
	if guard != nil {
		maps.Copy(settings, guard.properties())
		settings["listeners"] += ",GUARDED://" + guard.Address
		settings["advertised.listeners"] += ",GUARDED://" + guard.Address
		protocols += ",GUARDED:SASL_SSL"
		args = append(args, guard.users()...)
	}
	settings["listener.security.protocol.map"] = protocols
	maps.Copy(settings, cfg.Properties)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "%s=%s\n", name, settings[name])
	}
	n.logs = settings["log.dirs"]
	n.properties = filepath.Join(dir, "server.properties")
	if err := os.WriteFile(n.properties, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	format := Java(t, append(args, "-c", n.properties)...)
	if out, err := format.CombinedOutput(); err != nil {
		t.Fatalf("format Kafka's storage: %v\n%s", err, out)
	}
}

func (n *node) start(t testing.TB) {
	t.Helper()
	n.starts++
	n.process = process.Start(t, fmt.Sprintf("kafka-%d.%d", n.id, n.starts), Java(t, "kafka.Kafka", n.properties))
}

func jarDir(t testing.TB) string { return filepath.Join(process.Root(t), ".cache", "kafka") }

// Java returns the command of a class of Kafka's, or of a source file that uses
// its clients, tuned to start quickly and to stay small.
func Java(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	flags := []string{"-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-cp", filepath.Join(jarDir(t), "*")}
	return exec.Command("java", append(flags, args...)...)
}

// Brokers returns host:port of every node, running or not.
func (c *Cluster) Brokers() []string {
	var addresses []string
	for _, n := range c.nodes {
		addresses = append(addresses, n.broker)
	}
	return addresses
}

// Kill ends a node at once, as a crash does.
func (c *Cluster) Kill(node int) { c.nodes[node].process.Kill() }

// Restart starts a node that was killed again, on its ports and
// directory. It does not wait; WaitReady does.
func (c *Cluster) Restart(t testing.TB, node int) {
	t.Helper()
	c.nodes[node].start(t)
}

// segment is the path of the first segment of partition 0 of a topic.
func (n *node) segment(topic string) string {
	return filepath.Join(n.logs, topic+"-0", "00000000000000000000.log")
}

// LogBytes returns the size of the first segment of partition 0 of a topic, which ends with a
// batch whenever nobody writes.
func (c *Cluster) LogBytes(t testing.TB, node int, topic string) int64 {
	t.Helper()
	info, err := os.Stat(c.nodes[node].segment(topic))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// CutLog cuts that segment of a node that was killed, as a disk does that loses what was written
// last, and a follower that never had it.
func (c *Cluster) CutLog(t testing.TB, node int, topic string, size int64) {
	t.Helper()
	<-c.nodes[node].process.Done()
	if err := os.Truncate(c.nodes[node].segment(topic), size); err != nil {
		t.Fatal(err)
	}
}

// WaitReady waits until each node that runs answers a metadata request and
// knows all of them.
func (c *Cluster) WaitReady(t testing.TB) {
	t.Helper()
	var running []*node
	for _, n := range c.nodes {
		select {
		case <-n.process.Done():
		default:
			running = append(running, n)
		}
	}
	for _, n := range running {
		process.Until(t, "Kafka at "+n.broker, func(ctx context.Context) error { return n.knows(ctx, len(running)) })
	}
}

// knows returns nil if the node answers and knows as many live brokers.
func (n *node) knows(ctx context.Context, brokers int) error {
	select {
	case <-n.process.Done():
		return fmt.Errorf("%w: it ended: %s", process.ErrHopeless, n.process.Tail())
	default:
	}
	conn, err := kafkago.DialContext(ctx, "tcp", n.broker)
	if err != nil {
		return err
	}
	defer conn.Close()
	known, err := conn.Brokers()
	if err == nil && len(known) != brokers {
		err = fmt.Errorf("it knows %d brokers of %d", len(known), brokers)
	}
	return err
}

// CreateTopic creates a topic, its partitions spread over the nodes and copied
// as often as the cluster's default says. settings are the topic's own, by
// Kafka's names ("retention.ms"); it may be nil.
func (c *Cluster) CreateTopic(t testing.TB, topic string, partitions int, settings map[string]string) {
	t.Helper()
	request := kafkago.TopicConfig{Topic: topic, NumPartitions: partitions, ReplicationFactor: -1}
	for name, value := range settings {
		request.ConfigEntries = append(request.ConfigEntries, kafkago.ConfigEntry{ConfigName: name, ConfigValue: value})
	}
	client := c.client()
	res, err := client.CreateTopics(t.Context(), &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{request}})
	if err == nil {
		err = res.Errors[topic]
	}
	if err != nil {
		t.Fatalf("create topic %s: %v", topic, err)
	}
	process.Until(t, "leaders of the topic's partitions", func(ctx context.Context) error {
		meta, err := client.Metadata(ctx, &kafkago.MetadataRequest{Topics: []string{topic}})
		if err != nil {
			return err
		}
		if len(meta.Topics) != 1 || len(meta.Topics[0].Partitions) != partitions {
			return fmt.Errorf("%+v", meta.Topics)
		}
		for _, p := range meta.Topics[0].Partitions {
			if p.Error != nil {
				return p.Error
			}
		}
		return nil
	})
}

func (c *Cluster) client() *kafkago.Client {
	return &kafkago.Client{Addr: kafkago.TCP(c.Brokers()...), Transport: &kafkago.Transport{Dial: (&net.Dialer{}).DialContext}}
}

// Tool runs a class of Kafka's command line tools with the cluster's address
// and what is read from stdin, and returns what it printed. A failure fails the
// test.
func (c *Cluster) Tool(t testing.TB, stdin io.Reader, class string, args ...string) string {
	t.Helper()
	cmd := Java(t, append([]string{class, "--bootstrap-server", strings.Join(c.Brokers(), ",")}, args...)...)
	cmd.Stdin = stdin
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", class, strings.Join(args, " "), err, out)
	}
	return string(out)
}
