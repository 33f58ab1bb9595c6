package devbroker_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"go.uber.org/goleak"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors/devbroker"
)

// dirOfChild, when set, makes the test binary a broker process to be killed.
const dirOfChild = "DEVBROKER_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(dirOfChild); dir != "" {
		b, err := devbroker.New(dir, devbroker.Config{Partitions: 2})
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println(b.Addr())
		b.Run(context.Background())
	}
	goleak.VerifyTestMain(m)
}

func start(t *testing.T, dir string, cfg devbroker.Config) *devbroker.Broker {
	t.Helper()
	b, err := devbroker.New(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// client returns a kafka-go client whose connections end with the test.
func client(t *testing.T, addr string) *kafkago.Client {
	t.Helper()
	tr := &kafkago.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &kafkago.Client{Addr: kafkago.TCP(addr), Transport: tr, Timeout: 10 * time.Second}
}

// write produces values with kafka-go's own writer, which makes the topic.
func write(t *testing.T, addr, topic string, values ...string) {
	t.Helper()
	tr := &kafkago.Transport{}
	defer tr.CloseIdleConnections()
	w := &kafkago.Writer{Addr: kafkago.TCP(addr), Topic: topic, RequiredAcks: kafkago.RequireAll, AllowAutoTopicCreation: true,
		BatchTimeout: time.Millisecond, Transport: tr}
	defer w.Close()
	var messages []kafkago.Message
	for _, v := range values {
		messages = append(messages, kafkago.Message{Value: []byte(v)})
	}
	for attempt := 0; ; attempt++ {
		err := w.WriteMessages(t.Context(), messages...)
		if err == nil {
			return
		}
		// The writer does not wait for the topic that it has just made.
		if attempt == 20 || !strings.Contains(err.Error(), "Unknown Topic") {
			t.Fatal(err)
		}
	}
}

// read returns the values of all partitions, sorted.
func read(t *testing.T, addr, topic string, partitions int) []string {
	t.Helper()
	c := client(t, addr)
	var values []string
	for p := range partitions {
		res, err := c.Fetch(t.Context(), &kafkago.FetchRequest{Topic: topic, Partition: p, MinBytes: 1, MaxBytes: 1 << 20, MaxWait: 10 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if res.Error != nil {
			t.Fatal(res.Error)
		}
		for {
			r, err := res.Records.ReadRecord()
			if err != nil {
				break
			}
			b := make([]byte, r.Value.Len())
			r.Value.Read(b)
			values = append(values, string(b))
		}
	}
	slices.Sort(values)
	return values
}

func TestTopicIsMadeOnFirstUseWithTheConfiguredPartitions(t *testing.T) {
	b := start(t, "", devbroker.Config{Partitions: 3})
	write(t, b.Addr(), "made", "a", "b")
	m, err := client(t, b.Addr()).Metadata(t.Context(), &kafkago.MetadataRequest{Topics: []string{"made"}})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(m.Topics[0].Partitions); n != 3 {
		t.Errorf("%d partitions, want 3", n)
	}
	if got := read(t, b.Addr(), "made", 3); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("read %q", got)
	}
}

func TestTopicsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	b := start(t, dir, devbroker.Config{Partitions: 2})
	write(t, b.Addr(), "kept", "one", "two", "three")
	b.Close()
	b = start(t, dir, devbroker.Config{Partitions: 2})
	if got := read(t, b.Addr(), "kept", 2); !slices.Equal(got, []string{"one", "three", "two"}) {
		t.Errorf("after the restart: %q", got)
	}
	write(t, b.Addr(), "kept", "four")
	if got := read(t, b.Addr(), "kept", 2); len(got) != 4 {
		t.Errorf("after writing on: %q", got)
	}
}

func TestTopicsSurviveBeingKilled(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), dirOfChild+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.HasPrefix(line, "error") {
		child.Process.Kill()
		t.Fatal(line, err)
	}
	write(t, strings.TrimSpace(line), "kept", "one", "two")
	if _, err := devbroker.New(dir, devbroker.Config{}); !thalweg.Is(err, thalweg.Conflict) {
		t.Errorf("a second broker in the directory of a running process: %v, want a conflict", err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	child.Wait()

	b := start(t, dir, devbroker.Config{Partitions: 2})
	if got := read(t, b.Addr(), "kept", 2); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("after the kill: %q", got)
	}
}

func TestDirectoryIsForOneBroker(t *testing.T) {
	dir := t.TempDir()
	first := start(t, dir, devbroker.Config{})
	if _, err := devbroker.New(dir, devbroker.Config{}); !thalweg.Is(err, thalweg.Conflict) {
		t.Fatalf("second broker: %v, want a conflict", err)
	}
	first.Close()
	start(t, dir, devbroker.Config{})
}

func TestTakenPortIsNamed(t *testing.T) {
	first := start(t, "", devbroker.Config{})
	_, err := devbroker.New(t.TempDir(), devbroker.Config{Address: first.Addr()})
	if !thalweg.Is(err, thalweg.Unavailable) || !strings.Contains(err.Error(), first.Addr()) {
		t.Errorf("%v, want unavailable naming %s", err, first.Addr())
	}
}

func TestOnlyLoopbackIsServed(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":9092", "192.0.2.1:9092", "nonsense"} {
		if _, err := devbroker.New("", devbroker.Config{Address: address}); !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("address %q: %v, want invalid", address, err)
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	b, err := devbroker.New(t.TempDir(), devbroker.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- b.Run(ctx) }()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
