package kafka_test

import (
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
)

// A fetch ends where the leader's term does, and tells the broker in whose term the record
// before its offset was written.
func TestRecordsOfAFetchAreOfOneLeadersTerm(t *testing.T) {
	c := newCluster(t, 1, kfake.NumBrokers(2))
	cl := newFranz(t, c)
	produceSync(t, cl, 0, numbered(0, 5)...)
	for _, node := range []int32{0, 1} { // wherever it was
		if err := c.MoveTopicPartition(topic, 0, node); err != nil {
			t.Fatal(err)
		}
	}
	cl.ForceMetadataRefresh()
	produceSync(t, cl, 0, numbered(5, 3)...)

	s := newSource(t, config(c))
	named, err := s.Topic(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan int32, 100)
	c.ControlKey(kmsg.Fetch.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		asked <- r.(*kmsg.FetchRequest).Topics[0].Partitions[0].LastFetchedEpoch
		return nil, nil, false
	})
	var terms []int32
	r := connectors.Records{TopicID: named.ID}
	for next := int64(0); next < 8; next = r.Next {
		if err := s.Fetch(t.Context(), 0, next, time.Second, 1<<20, &r); err != nil {
			t.Fatal(err)
		}
		if r.Len() > 0 {
			terms = append(terms, r.LeaderEpoch)
		}
		if r.Next != 5 && r.Next != 8 {
			t.Errorf("a fetch from %d ends at %d", next, r.Next)
		}
	}
	if len(terms) != 2 || terms[0] < 1 || terms[1] != terms[0]+2 {
		t.Fatalf("terms %d", terms)
	}
	if err := s.Fetch(t.Context(), 0, 8, 10*time.Millisecond, 1<<20, &r); err != nil || r.LeaderEpoch != terms[1] {
		t.Errorf("after a fetch of nothing: term %d, %v", r.LeaderEpoch, err)
	}
	first, last := <-asked, int32(0)
	for len(asked) > 0 {
		last = <-asked
	}
	if first != -1 || last != terms[1]-1 {
		t.Errorf("the broker was told %d at first, %d in the end", first, last)
	}
}

// A log that does not have what was read is told by the exact range, wherever it ends now.
func TestALogThatWasCutIsLost(t *testing.T) {
	c := newCluster(t, 1)
	produceSync(t, newFranz(t, c), 0, numbered(0, 10)...)
	s := newSource(t, config(c))
	named, err := s.Topic(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ends int64
	c.ControlKey(kmsg.Fetch.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := r.(*kmsg.FetchRequest)
		asked := req.Topics[0].Partitions[0]
		if asked.LastFetchedEpoch < 0 {
			return nil, nil, false
		}
		of := kmsg.NewFetchResponseTopicPartition()
		of.HighWatermark, of.DivergingEpoch.Epoch, of.DivergingEpoch.EndOffset = 10, asked.LastFetchedEpoch, ends
		res := req.ResponseKind().(*kmsg.FetchResponse)
		res.Topics = []kmsg.FetchResponseTopic{{TopicID: req.Topics[0].TopicID, Partitions: []kmsg.FetchResponseTopicPartition{of}}}
		return res, nil, true
	})
	for at, want := range map[int64]int64{4: 4, 0: 0, 25: 7} { // beyond: of the term nothing is left
		ends = at
		r := connectors.Records{TopicID: named.ID, LeaderEpoch: 3}
		err := s.Fetch(t.Context(), 0, 8, time.Second, 1<<20, &r)
		missing := new(connectors.MissingRange)
		if !thalweg.Is(err, thalweg.Lost) || !errors.As(err, &missing) {
			t.Fatal(err)
		}
		if w := (connectors.MissingRange{Topic: topic, From: want, To: 8, Cut: true, First: 0, Next: 10}); *missing != w {
			t.Errorf("%+v, want %+v", *missing, w)
		}
	}
	// Who does not know in whose term it was written is told nothing.
	r := connectors.Records{TopicID: named.ID}
	if err := s.Fetch(t.Context(), 0, 8, time.Second, 1<<20, &r); err != nil || r.Len() != 2 {
		t.Errorf("%d records, %v", r.Len(), err)
	}
}
