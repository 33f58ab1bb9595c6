package scorer

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/integration/fault"
)

func TestANewChampionTakesOverUnderLoad(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	s := w.start(func(c *Config) { c.Rolling.Period = time.Hour; c.Rolling.Count = 1 << 20 })
	w.produceGood(0, 500)
	s.wait("500 scored", func(s Status) bool { return s.Scored == 500 })
	w.promote(2, 1)
	s.waitCommitted(500)  // the change closes the file
	w.produceGood(0, 500) // the same events again
	s.wait("version 2", func(s Status) bool { return s.Model.Version == 2 && s.Scored == 1000 })
	w.promote(1) // rolled back
	s.waitCommitted(1000)
	w.produceGood(0, 10)
	s.wait("version 1", func(s Status) bool { return s.Model.Version == 1 && s.Scored == 1010 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	v := w.judge()
	if v.RowsByModel["flight-delays 1"] != 510 || v.RowsByModel["flight-delays 2"] != 500 {
		t.Errorf("rows by model: %v", v.RowsByModel)
	}
	rows, _ := w.read(0)
	for offset, row := range rows {
		if second := offset >= 500 && offset < 1000; second != (row.version == 2) {
			t.Fatalf("offset %d was scored by version %d", offset, row.version)
		}
	}
	first, second, third := rows[3].cells["probability"], rows[503].cells["probability"], rows[1003].cells["probability"]
	if first == second || first != third {
		t.Errorf("one event has the probability %s by version 1, %s by version 2, %s by version 1 again", first, second, third)
	}
}

func TestADamagedChampionIsRefusedAndTheOneBeforeServes(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	bad := w.register(2)
	for info, err := range w.state.List(context.Background(), "checkpoints/2", "") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(info.Key, "safetensors") {
			body, _, err := w.state.Get(context.Background(), info.Key)
			if err != nil {
				t.Fatal(err)
			}
			body[len(body)-1] ^= 1
			if _, err := w.state.Put(context.Background(), info.Key, body); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.promote(2, 1)
	s := w.start()
	w.produceGood(0, 50)
	status := s.waitCommitted(50)
	if status.Model.Version != 1 || len(status.Refusals) != 1 || status.Refusals[0].Model != bad.Model || !strings.Contains(status.Refusals[0].Reason, "safetensors") {
		t.Errorf("%+v", status)
	}
	if !strings.Contains(status.Message, "refused") {
		t.Errorf("message %q", status.Message)
	}
	w.promote(3, 2, 1)
	w.produceGood(50, 50)
	s.wait("version 3", func(s Status) bool { return s.Model.Version == 3 && s.Committed == 100 })
	w.judge()
}

// A version whose checkpoint is restored, or was late, takes over by itself.
func TestARefusedVersionServesOnceItsCheckpointIsRestored(t *testing.T) {
	for _, missing := range []bool{false, true} {
		w := newWorld(t, 1)
		w.promote(1)
		w.register(2)
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		ctx, good := context.Background(), make(map[string][]byte)
		for info, err := range w.state.List(ctx, "checkpoints/2", "") {
			check(err)
			body, _, err := w.state.Get(ctx, info.Key)
			check(err)
			good[info.Key] = body
			if missing {
				err = w.state.Delete(ctx, info.Key)
			} else {
				_, err = w.state.Put(ctx, info.Key, append(bytes.Clone(body), 0))
			}
			check(err)
		}
		w.promote(2, 1)
		s := w.start()
		w.produceGood(0, 50)
		status := s.waitCommitted(50)
		if status.Model.Version != 1 || len(status.Refusals) != 1 || !strings.Contains(status.Message, "`thalweg stream resume flight-delays`") {
			t.Errorf("missing %v: %+v", missing, status)
		}
		for key, body := range good {
			_, err := w.state.Put(ctx, key, body)
			check(err)
		}
		s.wait("version 2", func(s Status) bool { return s.Model.Version == 2 && len(s.Refusals) == 0 })
		w.produceGood(50, 50)
		if status = s.waitCommitted(100); strings.Contains(status.Message, "refused") {
			t.Errorf("missing %v: message %q", missing, status.Message)
		}
		w.judge()
	}
}

func TestAPausedStreamCommitsAndRests(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	s := w.start(func(c *Config) { c.Rolling.Period = time.Hour; c.Rolling.Count = 1 << 20 })
	w.produceGood(0, 50)
	s.wait("50 scored", func(s Status) bool { return s.Scored == 50 })
	s.Pause(true)
	s.wait("rest", func(s Status) bool { return s.State == thalweg.StreamPaused && s.Committed == 50 })
	w.produceGood(50, 50)
	if got := s.Status().Scored; got != 50 {
		t.Errorf("scored up to %d while paused", got)
	}
	s.wait("what piles up", func(s Status) bool { return s.State == thalweg.StreamPaused && s.End == 100 && s.Scored == 50 })
	s.Pause(false)
	s.wait("100 scored", func(s Status) bool { return s.State == thalweg.StreamRunning && s.Scored == 100 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	w.judge()
}

func TestAStoreThatFailsLosesNothing(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	whole := w.sink
	faults := fault.NewBucket(whole, fault.Plan{Seed: 7, Rules: []fault.Rule{
		{Fault: fault.Reply503, Rate: 0.3}, {Fault: fault.LostReply, Rate: 0.1}, {Fault: fault.Reply412, Rate: 0.1}}})
	w.sink = faults
	s := w.start(func(c *Config) { c.Rolling = Limits{Count: 100, Period: 5 * time.Millisecond} })
	for i := range 10 {
		w.produceGood(100*i, 100)
	}
	s.waitCommitted(1000)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	w.sink = whole
	if v := w.judge(); v.Scored != 1000 {
		t.Errorf("%d rows; faults %v", v.Scored, faults.Injected())
	}
}

func TestBacklogAndRowsAreBoundedWhileTheStoreIsAway(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	whole := w.sink
	store := &broken{Bucket: whole, part: "_log/"}
	w.sink = store
	s := w.start(func(c *Config) {
		c.Rolling = Limits{Count: 200, Period: time.Millisecond}
		c.FetchBytes, c.BacklogBytes = 4096, 8192
	})
	w.produceGood(0, 5000)
	status := s.wait("the bounds", func(s Status) bool { return s.Scored >= 200 && strings.Contains(s.Message, "tries") })
	if status.Scored > 400 {
		t.Errorf("scored %d events ahead of the store, bounds are 200 being committed and 200 open", status.Scored)
	}
	store.mended.Store(true)
	s.waitCommitted(5000)
	s.stop()
	w.sink = whole
	w.judge()
}

func TestLostOffsetsStopTheStreamByName(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	s := w.start()
	w.produceGood(0, 50)
	s.waitCommitted(50)
	s.stop()
	source := &forgetful{}
	scorer, err := New(source, w.sink, w.registry, slogDiscard(), w.config)
	if err != nil {
		t.Fatal(err)
	}
	err = scorer.Run(t.Context())
	var missing *connectors.MissingRange
	if !thalweg.Is(err, thalweg.Lost) || !errors.As(err, &missing) || missing.From != 50 || missing.To != 70 {
		t.Errorf("%v, want offsets 50 to 70 lost", err)
	}
	if status := scorer.Status(); status.State != thalweg.StreamStopped || !strings.Contains(status.Message, "[50, 70)") {
		t.Errorf("%+v", status)
	}
	w.judge()
}

// forgetful is a topic that has lost the offsets before 70.
type forgetful struct{}

func (forgetful) Topic(context.Context) (connectors.Topic, error) {
	return connectors.Topic{Partitions: 1}, nil
}
func (forgetful) Bounds(context.Context, int) (int64, int64, error) { return 70, 80, nil }
func (forgetful) Commit(context.Context, int, int64) error          { return nil }
func (forgetful) Close() error                                      { return nil }
func (forgetful) Fetch(_ context.Context, partition int, offset int64, _ time.Duration, _ int, _ *connectors.Records) error {
	return &thalweg.Error{Op: "fetch", Kind: thalweg.Lost, Err: &connectors.MissingRange{Topic: topic, Partition: partition, From: offset, To: 70}}
}

func TestAStreamWaitsForItsTopicAndItsModel(t *testing.T) {
	w := newWorld(t, 1)
	cfg := w.kafka()
	cfg.Topic = "later"
	source, err := kafka.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	config := w.config
	config.Topic = "later"
	scorer, err := New(source, w.sink, w.registry, slogDiscard(), config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := &active{Scorer: scorer, t: t, cancel: cancel, ended: make(chan error, 1)}
	go func() { s.ended <- scorer.Run(ctx) }()
	s.wait("word of the topic", func(s Status) bool { return s.State == thalweg.StreamWaiting && strings.Contains(s.Message, "topic") })
	producer, err := kafka.NewProducer(cfg, kafka.ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	if err := producer.CreateTopic(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	s.wait("word of the model", func(s Status) bool {
		return s.State == thalweg.StreamWaiting && strings.Contains(s.Message, "no model")
	})
	w.promote(1)
	status := s.wait("running", func(s Status) bool { return s.State == thalweg.StreamRunning })
	if status.Model.Version != 1 {
		t.Errorf("%+v", status)
	}
	s.wait("the partitions", func(s Status) bool { return s.Partitions == 3 || s.Partitions == 0 })
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}

func TestStartOffsetIsForAStreamWithoutALog(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	w.produceGood(0, 30)
	latest := func(c *Config) { c.StartOffset = Latest }
	s := w.start(latest)
	s.wait("the start", func(s Status) bool { return s.Scored == 30 })
	w.produceGood(30, 10)
	s.waitCommitted(40)
	s.stop()
	w.produceGood(40, 10)
	s = w.start(latest)
	s.waitCommitted(50)
	s.stop()
	if v := w.judge(); v.Scored != 20 || v.Partitions[0].From != 30 {
		t.Errorf("%d rows from %d", v.Scored, v.Partitions[0].From)
	}
}

func TestGroupOffsetsAreWrittenForDashboards(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	s := w.start()
	w.produceGood(0, 25)
	s.waitCommitted(25)
	transport := &kafkago.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafkago.Client{Addr: kafkago.TCP(w.broker.Addr()), Transport: transport}
	for {
		res, err := client.OffsetFetch(t.Context(), &kafkago.OffsetFetchRequest{GroupID: "lag", Topics: map[string][]int{topic: {0}}})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range res.Topics[topic] { // none while there is no such group yet
			if p.CommittedOffset == 25 {
				return
			}
			if p.CommittedOffset > 25 {
				t.Fatalf("group offset %d", p.CommittedOffset)
			}
		}
	}
}

func TestTransactionsLeaveGapsAndAbortedEventsAreNeverScored(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.broker.Addr()), kgo.DefaultProduceTopic(topic), kgo.TransactionalID("tx"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	want := make(map[int64]bool)
	offset := int64(0)
	for round := range 8 {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		committed := round%3 != 1
		for i := range 5 {
			if err := cl.ProduceSync(t.Context(), kgo.StringRecord(goodEvent(10*round+i))).FirstErr(); err != nil {
				t.Fatal(err)
			}
			want[offset] = committed
			offset++
		}
		if err := cl.EndTransaction(t.Context(), kgo.TransactionEndTry(committed)); err != nil {
			t.Fatal(err)
		}
		offset++ // the marker
	}
	s := w.startOn(func(c *kafka.Config) { c.IsolationLevel = kafka.ReadCommitted })
	s.waitCommitted(offset - 1)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	v := w.judge()
	rows, letters := w.read(0)
	for at, committed := range want {
		if _, scored := rows[at]; scored != committed {
			t.Errorf("offset %d: committed %v, scored %v", at, committed, scored)
		}
	}
	if len(letters) > 0 || v.Absent == 0 {
		t.Errorf("%d dead letters, %d offsets in gaps", len(letters), v.Absent)
	}
}

func TestTheStreamMayBeJudgedAtAnyMoment(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	s := w.start(func(c *Config) { c.Rolling = Limits{Count: 30, Period: 2 * time.Millisecond} })
	for i := range 20 {
		w.produceGood(50*i, 50)
		w.judge()
	}
	s.waitCommitted(1000)
	if v := w.judge(); v.Scored != 1000 {
		t.Errorf("%d rows", v.Scored)
	}
}
