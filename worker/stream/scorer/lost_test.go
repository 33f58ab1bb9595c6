package scorer

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/kafka"
)

// admin sends the broker requests that neither we nor kafka-go have.
func (w *world) admin(requests ...kmsg.Request) {
	w.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.broker.Addr()))
	if err != nil {
		w.t.Fatal(err)
	}
	defer cl.Close()
	for _, r := range requests {
		if _, err := cl.Request(w.t.Context(), r); err != nil {
			w.t.Fatal(err)
		}
	}
}

// deleteRecords removes the records of partition 0 before an offset.
func (w *world) deleteRecords(before int64) {
	w.t.Helper()
	part := kmsg.NewDeleteRecordsRequestTopicPartition()
	part.Offset = before
	of := kmsg.NewDeleteRecordsRequestTopic()
	of.Topic, of.Partitions = topic, append(of.Partitions, part)
	r := kmsg.NewPtrDeleteRecordsRequest()
	r.Topics = append(r.Topics, of)
	w.admin(r)
}

// remake deletes the topic and makes one of the same name; it returns the IDs
// of both.
func (w *world) remake() (was, is string) {
	w.t.Helper()
	was = w.topicID()
	of := kmsg.NewDeleteTopicsRequestTopic()
	of.Topic = kmsg.StringPtr(topic)
	r := kmsg.NewPtrDeleteTopicsRequest()
	r.Topics, r.TopicNames = append(r.Topics, of), []string{topic}
	w.admin(r)
	w.producer.Close()
	var err error
	if w.producer, err = kafka.NewProducer(w.kafka(), kafka.ProducerConfig{}); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.producer.Close() })
	if err := w.producer.CreateTopic(w.t.Context(), 1); err != nil {
		w.t.Fatal(err)
	}
	return was, w.topicID()
}

func (w *world) topicID() string {
	w.t.Helper()
	s, err := kafka.New(w.kafka())
	if err != nil {
		w.t.Fatal(err)
	}
	defer s.Close()
	now, err := s.Topic(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return now.ID
}

// mustLose waits for the scorer to end and returns what it misses.
func (r *active) mustLose() connectors.MissingRange {
	r.t.Helper()
	err := <-r.ended
	r.ended <- nil
	missing := new(connectors.MissingRange)
	if !thalweg.Is(err, thalweg.Lost) || !errors.As(err, &missing) {
		r.t.Fatalf("%v, want lost", err)
	}
	return *missing
}

func TestDeletedRecordsAreGivenUpByTheRightAuthorizationOnly(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	s := w.start()
	w.produceGood(0, 50)
	s.waitCommitted(50)
	s.stop()
	w.produceGood(50, 50)
	w.deleteRecords(80)
	id := w.topicID()
	right := SkipAuthorization{From: 50, To: 80, TopicID: id}

	for _, authorization := range []SkipAuthorization{{}, {From: 50, To: 79, TopicID: id}, {From: 50, To: 100, TopicID: id}, {From: 40, To: 80, TopicID: id}, {From: 50, To: 80}, {From: 50, To: 80, TopicID: id, Accept: id}} {
		s = w.startAllowed(authorization)
		if missing := s.mustLose(); missing.From != 50 || missing.To != 80 {
			t.Fatalf("with the authorization %v: %+v", authorization, missing)
		}
		if status := s.Status(); status.State != thalweg.StreamStopped || *status.Lost != right || !strings.Contains(status.Message, "--skip 50-80") {
			t.Errorf("%+v", status)
		}
	}
	s = w.startAllowed(right)
	status := s.waitCommitted(100)
	s.stop()
	if status.Missing != 30 || status.TopicID != id {
		t.Errorf("%+v", status)
	}
	if v := w.judge(); v.Missing != 30 || v.Scored != 70 {
		t.Errorf("%d missing, %d scored", v.Missing, v.Scored)
	}
	rows, _ := w.read(0)
	for at := range int64(100) {
		if _, scored := rows[at]; scored != (at < 50 || at >= 80) {
			t.Errorf("offset %d is scored: %v", at, scored)
		}
	}
}

func TestLostOffsetsAreGivenUpAtOnceWhereTheSpecSaysSo(t *testing.T) {
	for policy, want := range map[string]int64{Earliest: 30, Latest: 50} {
		t.Run(policy, func(t *testing.T) {
			w := newWorld(t, 1)
			w.promote(1)
			on := func(c *Config) { c.OnLost = policy }
			s := w.start(on)
			w.produceGood(0, 50)
			s.waitCommitted(50)
			s.stop()
			w.produceGood(50, 50)
			w.deleteRecords(80)
			s = w.start(on)
			s.waitCommitted(100)
			w.produceGood(100, 10)
			if status := s.waitCommitted(110); status.Missing != want {
				t.Errorf("%+v", status)
			}
			s.stop()
			if v := w.judge(); v.Missing != want || v.Scored != 110-want {
				t.Errorf("%d missing, %d scored", v.Missing, v.Scored)
			}
		})
	}
}

func TestATopicMadeAnewStopsTheStreamUntilAnOperatorAcceptsIt(t *testing.T) {
	for name, records := range map[string]int{"with fewer records": 20, "with as many": 50, "with more": 80} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			w.promote(1)
			s := w.start()
			w.produceGood(0, 50)
			s.waitCommitted(50)
			was, is := w.remake() // while the scorer fetches
			w.produceGood(0, records)
			if missing := s.mustLose(); missing.Was != was || missing.Is != is || missing.From != 50 || missing.To != 50 {
				t.Fatalf("%+v", missing)
			}
			if status := s.Status(); status.Committed != 50 || *status.Lost != (SkipAuthorization{50, 50, was, is}) {
				t.Errorf("%+v", status)
			}
			for _, authorization := range []SkipAuthorization{{}, {50, 50, was, ""}, {50, 50, was, was}, {50, 50, is, was}, {0, 50, was, is}} {
				s = w.startAllowed(authorization)
				if missing := s.mustLose(); missing.Was != was || missing.Is != is {
					t.Fatalf("with the authorization %v: %+v", authorization, missing)
				}
			}
			s = w.startAllowed(SkipAuthorization{50, 57, was, is}) // the operator knows of seven more
			status := s.wait("the new topic", func(s Status) bool { return s.TopicID == is && s.Committed == int64(records) })
			w.produceGood(records, 5)
			s.waitCommitted(int64(records) + 5)
			s.stop()
			if status.Missing != 7 {
				t.Errorf("%+v", status)
			}
			if v := w.judge(); v.Missing != 7 || v.Scored != int64(50+records+5) {
				t.Errorf("%d missing, %d scored", v.Missing, v.Scored)
			}
		})
	}
}
