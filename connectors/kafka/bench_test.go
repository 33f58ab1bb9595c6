package kafka_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/kafka"
)

// BenchmarkRead compares the ways to read a partition of 92-byte events. The
// broker runs in the same process; its share of the time is in all of them.
func BenchmarkRead(b *testing.B) {
	const events = 1_000_000
	c := newCluster(b, 1)
	p := newProducer(b, config(c), kafka.ProducerConfig{})
	batch := make([]kafka.Message, 10_000)
	for i := range batch {
		batch[i] = kafka.Message{Value: []byte(`{"date":"2001-03-31 21:40:00","delay":-8,"distance":480,"origin":"SAN","destination":"SJC"}`), Time: time.Now()}
	}
	for range events / len(batch) {
		if err := p.Produce(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	measure := func(name string, read func(b *testing.B)) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				read(b)
			}
			b.ReportMetric(float64(b.N)*events/b.Elapsed().Seconds()/1e6, "Mevents/s")
		})
	}
	s := newSource(b, config(c))
	var r connectors.Records
	measure("source", func(b *testing.B) {
		for offset := int64(0); offset < events; offset = r.Next {
			if err := s.Fetch(b.Context(), 0, offset, time.Second, 4<<20, &r); err != nil {
				b.Fatal(err)
			}
		}
	})
	measure("kafka-go ReadBatch", func(b *testing.B) { // values only: no timestamp, no way to tell control records
		conn, err := kafkago.DialLeader(b.Context(), "tcp", c.ListenAddrs()[0], topic, 0)
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		buf := make([]byte, 4096)
		for n := 0; n < events; {
			batch := conn.ReadBatch(1, 4<<20)
			for {
				if _, err := batch.Read(buf); err != nil {
					if !errors.Is(err, io.EOF) {
						b.Fatal(err)
					}
					break
				}
				n++
			}
			if err := batch.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	measure("kafka-go Reader", func(b *testing.B) {
		reader := kafkago.NewReader(kafkago.ReaderConfig{Brokers: c.ListenAddrs(), Topic: topic, MinBytes: 1, MaxBytes: 4 << 20, MaxWait: 50 * time.Millisecond, QueueCapacity: 10_000})
		defer reader.Close()
		for range events {
			if _, err := reader.ReadMessage(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkProduce(b *testing.B) {
	c := newCluster(b, 4)
	p := newProducer(b, config(c), kafka.ProducerConfig{})
	batch := make([]kafka.Message, 10_000)
	for i := range batch {
		batch[i] = kafka.Message{Value: []byte(`{"date":"2001-03-31 21:40:00","delay":-8,"distance":480,"origin":"SAN","destination":"SJC"}`), Time: time.Now()}
	}
	for b.Loop() {
		if err := p.Produce(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(batch))/b.Elapsed().Seconds()/1e6, "Mevents/s")
}
