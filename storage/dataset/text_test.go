package dataset

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/storage/records"
)

var csvText = records.Format{Quote: '"', Delimiter: ',', Header: true}

// textBucket holds objects of text, with rows that have line ends in quotes.
func textBucket(t *testing.T) (storage.Bucket, []string) {
	t.Helper()
	b := memory.New()
	var rows []string
	for o := range 3 {
		var text strings.Builder
		text.WriteString("\xef\xbb\xbfid,text\n")
		for i := range 100 + o {
			row := fmt.Sprintf("%d,\"a\n\"\"%d\"\r\n", o*1000+i, i)
			rows = append(rows, row)
			text.WriteString(row + strings.Repeat("\n", i%2))
		}
		body := []byte(text.String())
		key := fmt.Sprintf("t/%d.csv", o)
		if o == 2 {
			var out bytes.Buffer
			z := gzip.NewWriter(&out)
			z.Write(body)
			z.Close()
			body, key = out.Bytes(), key+".gz"
		}
		put(t, b, key, body)
	}
	put(t, b, "t/3.csv", []byte("id,text\n"))
	put(t, b, "t/empty.csv", nil)
	put(t, b, "t/_hidden.csv", []byte("x"))
	return b, rows
}

func put(t *testing.T, b storage.Bucket, key string, body []byte) {
	t.Helper()
	if _, err := b.Put(t.Context(), key, body); err != nil {
		t.Fatal(err)
	}
}

// readText returns the records of all shards, and the place of each.
func readText(ctx context.Context, b storage.Bucket, m *Manifest, f records.Format) (rows []string, places []records.Place, err error) {
	for shard := range m.Shards {
		r, err := OpenText(ctx, b, m, shard, f, ReaderConfig{BatchRows: 7})
		if err != nil {
			return rows, places, err
		}
		var run records.Run
		for err == nil {
			if err = r.Next(&run); err == nil {
				for i := range run.Len() {
					rows = append(rows, string(run.Record(i)))
				}
				places = append(places, run.Places...)
			}
		}
		r.Close()
		if err != io.EOF {
			return rows, places, err
		}
	}
	return rows, places, nil
}

func TestShardsOfTextCutNoRow(t *testing.T) {
	b, want := textBucket(t)
	var places []records.Place
	for _, shardRows := range []int64{1 << 20, 50, 7, 1} {
		m, err := DiscoverText(t.Context(), b, "t/*", csvText, DiscoverConfig{ShardRows: shardRows})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Validate(); err != nil {
			t.Error(err)
		}
		plain := int((100+shardRows-1)/shardRows) + int((101+shardRows-1)/shardRows)
		if m.Rows != int64(len(want)) || len(m.Shards) != plain+1 || len(m.Objects) != 4 || m.PassedOver != 2 || !slices.Equal(m.Headers, []string{"id,text\n"}) || m.Objects[2].Header != 1 {
			t.Errorf("by %d rows: %d rows in %d shards of %d objects, %d passed over, headers %q", shardRows, m.Rows, len(m.Shards), len(m.Objects), m.PassedOver, m.Headers)
		}
		rows, at, err := readText(t.Context(), b, m, csvText)
		if places == nil {
			places = at
		}
		if err != nil || !slices.Equal(rows, want) || !slices.Equal(at, places) {
			t.Errorf("by %d rows: %d rows of %d, %v", shardRows, len(rows), len(want), err)
		}
	}
}

// The hint on a pattern that names nothing is one of objects that end alike.
func TestHintsLeadToTheTextThatThereIs(t *testing.T) {
	for _, c := range []struct{ key, pattern, want string }{
		{"flights/a.csv", "flight/*.csv", "there is s3://b/flights/a.csv: write s3://b/flights/*.csv"},
		{"d/2024/a.jsonl", "d/*.jsonl", "there is s3://b/d/2024/a.jsonl: write s3://b/d/**/*.jsonl"},
		{"d/a.csv.gz", "d/*.csv", "there is s3://b/d/a.csv.gz: write s3://b/d/*.gz"},
		{"d/a.txt", "d/*.csv", "nothing there ends in .csv: there is s3://b/d/a.txt"},
	} {
		b := memory.New()
		if _, err := b.Put(t.Context(), c.key, []byte("a,b\n1,2\n")); err != nil {
			t.Fatal(err)
		}
		_, err := DiscoverText(t.Context(), b, c.pattern, csvText, DiscoverConfig{Root: "s3://b/"})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %s: %v, want %s", c.key, c.pattern, err, c.want)
		}
	}
}

func TestATextThatWasReplacedIsAConflict(t *testing.T) {
	b, _ := textBucket(t)
	m, err := DiscoverText(t.Context(), b, "t/*", csvText, DiscoverConfig{})
	if err != nil {
		t.Fatal(err)
	}
	m.Shards[0].Rows--
	if _, _, err := readText(t.Context(), b, m, csvText); !thalweg.Is(err, thalweg.Conflict) {
		t.Errorf("another number of rows: %v", err)
	}
	m.Shards[0].Rows++
	put(t, b, "t/1.csv", []byte("id,text\n1,2\n"))
	if _, _, err := readText(t.Context(), b, m, csvText); !thalweg.Is(err, thalweg.Conflict) {
		t.Errorf("another object: %v", err)
	}
}

func TestReadingTextEndsWithItsContext(t *testing.T) {
	b, _ := textBucket(t)
	m, err := DiscoverText(t.Context(), b, "t/*", csvText, DiscoverConfig{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := readText(ctx, b, m, csvText); err == nil {
		t.Error("a reading that was canceled is whole")
	}
	if _, err := DiscoverText(ctx, b, "t/*", csvText, DiscoverConfig{}); err == nil {
		t.Error("a look that was canceled is whole")
	}
}

func TestTextsThatAreNone(t *testing.T) {
	b := memory.New()
	put(t, b, "a.csv", []byte("x,y\n"))
	put(t, b, "b.csv.gz", []byte("x,y\n1,2\n"))
	put(t, b, "c.csv", []byte("PAR1"))
	for pattern, want := range map[string]thalweg.Kind{"a.csv": thalweg.Invalid, "b*": thalweg.Corrupt, "c.csv": thalweg.Invalid, "d": thalweg.NotFound} {
		if _, err := DiscoverText(t.Context(), b, pattern, csvText, DiscoverConfig{}); !thalweg.Is(err, want) {
			t.Errorf("%s: %v", pattern, err)
		}
	}
}
