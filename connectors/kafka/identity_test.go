package kafka_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/kafka"
)

// brokers are the ages of brokers that matter for the identity of a topic.
var brokers = map[string][]kfake.Opt{
	"fetches by ID":              nil,
	"tells IDs, fetches by name": {kfake.MaxVersions(kversion.V2_8_0())},
}

func TestKeysAndHeadersAreReadWhenAskedFor(t *testing.T) {
	c := newCluster(t, 1)
	err := newFranz(t, c).ProduceSync(t.Context(),
		&kgo.Record{Key: []byte("k"), Value: []byte("a"), Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte("1")}, {Key: "trace", Value: []byte("2")}, {Key: "null"}}},
		&kgo.Record{Key: nil, Value: []byte("b")},
		&kgo.Record{Key: []byte{}, Value: []byte("c"), Headers: []kgo.RecordHeader{{Key: "empty", Value: []byte{}}}}).FirstErr()
	if err != nil {
		t.Fatal(err)
	}
	p := newProducer(t, config(c), kafka.ProducerConfig{})
	if err := p.Produce(t.Context(), []kafka.Message{{Key: []byte("ours"), Value: []byte("d"), Headers: []connectors.Header{{Name: "h", Value: []byte("v")}, {Name: "null"}}}}); err != nil {
		t.Fatal(err)
	}
	read := func(want connectors.Fields) *connectors.Records {
		r := &connectors.Records{Want: want}
		if err := newSource(t, config(c)).Fetch(t.Context(), 0, 0, time.Second, 1<<20, r); err != nil || r.Len() != 4 {
			t.Fatalf("%d records, %v", r.Len(), err)
		}
		return r
	}
	if r := read(0); r.KeyBytes != nil || r.HeaderBytes != nil {
		t.Error("keys or headers that nobody asked for")
	}
	r := read(connectors.Keys | connectors.Headers)
	var got []string
	for i := range r.Len() {
		text := fmt.Sprintf("%q null %v:", r.Key(i), r.Key(i) == nil)
		for name, value := range r.AllHeaders(i) {
			text += fmt.Sprintf(" %s=%q null %v", name, value, value == nil)
		}
		got = append(got, text)
	}
	want := []string{
		`"k" null false: trace="1" null false trace="2" null false null="" null true`,
		`"" null true:`,
		`"" null false: empty="" null false`,
		`"ours" null false: h="v" null false null="" null true`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

func TestATopicHasAnIdentityThatItsSuccessorHasNot(t *testing.T) {
	c := newCluster(t, 3)
	s := newSource(t, config(c))
	was, err := s.Topic(t.Context())
	if err != nil || len(was.ID) != 32 || was.Partitions != 3 {
		t.Fatalf("%+v, %v", was, err)
	}
	if again, err := s.Topic(t.Context()); again != was || err != nil {
		t.Errorf("%+v, %v, want %+v", again, err, was)
	}
	remake(t, c, 2)
	if is, err := s.Topic(t.Context()); is.ID == was.ID || len(is.ID) != 32 || is.Partitions != 2 || err != nil {
		t.Errorf("made anew: %+v, %v", is, err)
	}
}

func TestBrokersWithoutIdentitiesAreReadByName(t *testing.T) {
	c := newCluster(t, 2, kfake.MaxVersions(kversion.V2_4_0()))
	produceSync(t, newFranz(t, c), 0, numbered(0, 5)...)
	s := newSource(t, config(c))
	if topic, err := s.Topic(t.Context()); topic != (connectors.Topic{Partitions: 2}) || err != nil {
		t.Errorf("%+v, %v", topic, err)
	}
	if got, next := readAll(t, s, 0, 0, 1<<20); len(got) != 5 || next != 5 {
		t.Errorf("%d records up to %d", len(got), next)
	}
	r := connectors.Records{TopicID: "0123456789abcdef0123456789abcdef"}
	if err := s.Fetch(t.Context(), 0, 0, time.Second, 1<<20, &r); !thalweg.Is(err, thalweg.Unsupported) || r.Len() != 0 {
		t.Errorf("asked for a topic by its identity: %v with %d records, want unsupported", err, r.Len())
	}
}

// remake deletes the topic and makes one of the same name.
func remake(t *testing.T, c *kfake.Cluster, partitions int32) {
	t.Helper()
	if err := c.DeleteTopic(topic); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateTopic(topic, partitions, nil); err != nil {
		t.Fatal(err)
	}
}

// pinned returns a source and the buffer for records of the topic as it is now.
func pinned(t *testing.T, c *kfake.Cluster) (*kafka.Source, *connectors.Records) {
	t.Helper()
	s := newSource(t, config(c))
	now, err := s.Topic(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s, &connectors.Records{TopicID: now.ID}
}

func TestRecordsOfATopicMadeAnewAreNeverTakenForTheOld(t *testing.T) {
	for age, opts := range brokers {
		for name, inNew := range map[string]int{"with fewer records": 3, "with as many records": 10, "with more records": 30} {
			t.Run(age+" "+name, func(t *testing.T) {
				c := newCluster(t, 1, opts...)
				produceSync(t, newFranz(t, c), 0, numbered(0, 10)...)
				s, r := pinned(t, c)
				if err := s.Fetch(t.Context(), 0, 0, time.Second, 1<<20, r); err != nil || r.Next != 10 {
					t.Fatalf("up to %d, %v", r.Next, err)
				}
				remake(t, c, 1)
				produceSync(t, newFranz(t, c), 0, numbered(100, inNew)...)
				now, err := s.Topic(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, offset := range []int64{4, 10} {
					err = s.Fetch(t.Context(), 0, offset, time.Second, 1<<20, r)
					if offset == 10 && inNew == 10 && err == nil && r.Len() == 0 && age != "fetches by ID" {
						continue // nothing there that could be mistaken for what is meant
					}
					var missing *connectors.MissingRange
					if !thalweg.Is(err, thalweg.Lost) || !errors.As(err, &missing) || r.Len() != 0 {
						t.Fatalf("from %d: %v with %d records, want lost", offset, err, r.Len())
					}
					want := connectors.MissingRange{Topic: topic, Partition: 0, From: offset, To: 10, Was: r.TopicID, Is: now.ID, First: 0, Next: int64(inNew)}
					if *missing != want {
						t.Errorf("from %d: %+v, want %+v", offset, *missing, want)
					}
				}
				r.TopicID = now.ID
				if err := s.Fetch(t.Context(), 0, 0, time.Second, 1<<20, r); err != nil || r.Len() != inNew {
					t.Errorf("the new topic by its own identity: %d records, %v", r.Len(), err)
				}
			})
		}
	}
}

func TestATopicMadeAnewWhileAFetchWaitsIsNoticed(t *testing.T) {
	for age, opts := range brokers {
		t.Run(age, func(t *testing.T) {
			c := newCluster(t, 1, opts...)
			produceSync(t, newFranz(t, c), 0, numbered(0, 10)...)
			s, r := pinned(t, c)
			remade := make(chan struct{})
			go func() { defer close(remade); remake(t, c, 1) }()
			var err error
			for err == nil && t.Context().Err() == nil { // at the end of the topic, while it goes
				if err = s.Fetch(t.Context(), 0, 10, 20*time.Millisecond, 1<<20, r); r.Len() > 0 {
					t.Fatalf("%d records of another topic", r.Len())
				}
				select {
				case <-remade:
					produceSync(t, newFranz(t, c), 0, numbered(100, 15)...)
					remade = nil
				default:
				}
				if thalweg.Is(err, thalweg.NotFound) {
					err = nil // between the two topics
				}
			}
			if !thalweg.Is(err, thalweg.Lost) {
				t.Errorf("%v, want lost", err)
			}
		})
	}
}

func TestAPartitionThatTheNewTopicHasNotIsLostToo(t *testing.T) {
	c := newCluster(t, 2)
	produceSync(t, newFranz(t, c), 1, numbered(0, 10)...)
	s, r := pinned(t, c)
	remake(t, c, 1)
	var missing *connectors.MissingRange
	if err := s.Fetch(t.Context(), 1, 4, time.Second, 1<<20, r); !errors.As(err, &missing) || missing.Was != r.TopicID || missing.Is == "" || missing.First != -1 {
		t.Errorf("%v, want lost by name", err)
	}
}

func TestADeletedTopicIsNotFound(t *testing.T) {
	c := newCluster(t, 1)
	s, r := pinned(t, c)
	if err := c.DeleteTopic(topic); err != nil {
		t.Fatal(err)
	}
	if err := s.Fetch(t.Context(), 0, 0, time.Second, 1<<20, r); !thalweg.Is(err, thalweg.NotFound) {
		t.Errorf("%v, want not found", err)
	}
}

func TestFetchByIDFollowsTheLeader(t *testing.T) {
	c := newCluster(t, 1, kfake.NumBrokers(3))
	cl := newFranz(t, c)
	s, r := pinned(t, c)
	var next int64
	for round := range 6 {
		produceSync(t, cl, 0, numbered(10*round, 10)...)
		if err := c.MoveTopicPartition(topic, 0, (c.LeaderFor(topic, 0)+1)%3); err != nil {
			t.Fatal(err)
		}
		for want := next + 10; next < want; next = r.Next {
			if err := s.Fetch(t.Context(), 0, next, time.Second, 1<<20, r); err != nil {
				t.Fatal(err)
			}
		}
	}
}
