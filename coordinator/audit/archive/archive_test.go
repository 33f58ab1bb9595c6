package archive

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/audit"
	"github.com/thalweg/thalweg/storage/memory"
)

// chain returns n records, one after the other.
func chain(n int) (records []audit.Record) {
	previous := ""
	for i := range n {
		r := audit.Record{Seq: uint64(i + 1), TimeMS: int64(i), Command: "set stream", Previous: previous}
		r.Hash = r.Sum()
		previous = r.Hash
		records = append(records, r)
	}
	return records
}

func read(t *testing.T, b *memory.Bucket, from uint64, backwards bool) (seqs []uint64) {
	t.Helper()
	for r, err := range Records(context.Background(), b, "c1", from, backwards) {
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, r.Seq)
	}
	return seqs
}

func TestRecordsAreReadFromAnyOnBothWays(t *testing.T) {
	b, all := memory.New(), chain(2*MaxRecords+10)
	for rest := all; len(rest) > 0; {
		upto, err := Put(t.Context(), b, "c1", rest)
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[upto.Seq-rest[0].Seq+1:]
		if last := all[upto.Seq-1]; upto.Hash != last.Hash {
			t.Errorf("up to %v, and record %d has %s", upto, last.Seq, last.Hash)
		}
	}
	last := uint64(len(all))
	for _, from := range []uint64{1, 2, MaxRecords, MaxRecords + 1, MaxRecords + 2, 2*MaxRecords + 1, last} {
		forth, back := read(t, b, from, false), read(t, b, from, true)
		if uint64(len(forth)) != last-from+1 || forth[0] != from || forth[len(forth)-1] != last {
			t.Errorf("from %d: %d records, %d to %d", from, len(forth), forth[0], forth[len(forth)-1])
		}
		if uint64(len(back)) != from || back[0] != from || back[len(back)-1] != 1 {
			t.Errorf("back from %d: %d records, %d to %d", from, len(back), back[0], back[len(back)-1])
		}
	}
}

// A leader that died between writing and dropping is followed by one that writes more
// records under the same name: those that are there count.
func TestAnObjectThatIsThereCountsIfItIsOfTheseRecords(t *testing.T) {
	b, all := memory.New(), chain(20)
	if _, err := Put(t.Context(), b, "c1", all[:10]); err != nil {
		t.Fatal(err)
	}
	if upto, err := Put(t.Context(), b, "c1", all); err != nil || upto.Seq != 10 {
		t.Errorf("up to %v: %v", upto, err)
	}
	other := chain(20)
	other[3].Command = "promote"
	other[3].Hash = other[3].Sum()
	if _, err := Put(t.Context(), b, "c1", other); !thalweg.Is(err, thalweg.Conflict) {
		t.Errorf("another's records: %v", err)
	}
}

func TestADamagedObjectIsNamed(t *testing.T) {
	b := memory.New()
	if _, err := Put(t.Context(), b, "c1", chain(3)); err != nil {
		t.Fatal(err)
	}
	body, _, err := b.Get(t.Context(), Key("c1", 1))
	if err != nil {
		t.Fatal(err)
	}
	for what, damaged := range map[string][]byte{
		"cut": body[:len(body)-5], "empty": nil, "no record": []byte("{}x\n"), "a field too many": bytes.Replace(body, []byte(`{"seq"`), []byte(`{"more":1,"seq"`), 1),
	} {
		if _, err := b.Put(t.Context(), Key("c1", 1), damaged); err != nil {
			t.Fatal(err)
		}
		for _, err := range Records(t.Context(), b, "c1", 1, false) {
			if !thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(err.Error(), Key("c1", 1)) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}
