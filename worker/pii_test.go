package worker

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/table"
)

// keyed are stores, and keys by name.
type keyed struct {
	stores
	keys map[string]string
}

func (k keyed) Key(name string) (table.Key, error) {
	if secret, ok := k.keys[name]; ok {
		return table.NewKey([]byte(secret))
	}
	return table.Key{}, &thalweg.Error{Op: "resolve connection", Kind: thalweg.NotFound, Subject: name}
}

// hashedSpec has a column that is hashed with a key.
func hashedSpec(key string) string {
	return strings.Replace(flightSpec, "  preprocessing:\n", `  schema:
    pii_key: `+key+`
    columns:
      - {name: distance, type: int64}
      - {name: delay, type: int64, available_in: [training]}
      - {name: origin, type: string, pii: hash}
      - {name: gates, type: list<float64>}
  preprocessing:
`, 1)
}

// hashedHalf is a batchHalf whose worker has these keys.
func hashedHalf(t *testing.T, key string, keys map[string]string) *batchHalf {
	t.Helper()
	b := newBatchHalf(t)
	opener := b.worker.connections.(stores).Opener
	w, err := New(t.Context(), nil, keyed{stores{opener}, keys}, slog.New(slog.DiscardHandler), Config{SpecCatalog: catalog.All(), ID: "w", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.listener.Close() })
	b.worker, b.spec = w, hashedSpec(key)
	return b
}

// A champion scores what it learnt from, whatever key the spec of a run names.
func TestAChampionReadsRowsWithItsOwnKey(t *testing.T) {
	b := hashedHalf(t, "one", map[string]string{"one": "the secret of one key", "two": "the secret of another"})
	b.all(1)
	a, err := b.worker.artifact(t.Context(), b.inputs["checkpoint"])
	if err != nil {
		t.Fatal(err)
	}
	champion := &modelVersion{Artifact: a, number: 1}
	var want []float32
	for _, key := range []string{"one", "two"} {
		run := b.again()
		run.spec = hashedSpec(key)
		run.upTo("profile", 1)
		inputs := maps.Clone(b.inputs)
		maps.Copy(inputs, run.inputs)
		d, err := b.worker.openData(t.Context(), &apiv1.Lease{RunId: key, Pipeline: "flights", Spec: hashedSpec(key), Inputs: inputs})
		if err != nil {
			t.Fatal(err)
		}
		d.progress = new(atomic.Int64)
		c, flaw, err := d.newComparison(t.Context(), champion, a, 0, true)
		if err != nil || flaw != "" {
			t.Fatal(flaw, err)
		}
		if want == nil {
			want = c.predictions
		}
		if len(want) == 0 || !slices.Equal(c.predictions, want) {
			t.Errorf("with key %s the champion answers otherwise", key)
		}
	}
}

// The first line of a file is no header where it has no declared column: the manifest and
// errors would tell its values.
func TestALineThatIsNoHeaderIsToldToNobody(t *testing.T) {
	const schema = "{pii_key: k, columns: [{name: who, type: string, pii: hash}, {name: x, type: int64}]}"
	for name, objects := range map[string]map[string]string{
		"one of the files": {"a": "who,x\nbob,1\n", "b": "Zanzibar,2\n"},
		"all files":        {"a": "Zanzibar,1\n", "b": "Zanzibar,2\n"},
	} {
		_, _, err := columnsOf(t, "{type: csv}", schema, objects)
		if err == nil || strings.Contains(err.Error(), "Zanzibar") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, got, err := columnsOf(t, "{type: csv}", schema, map[string]string{"a": "who,x\nbob,1\n", "b": "x,who\n", "c": ""}); err != nil || len(got) != 2 {
		t.Errorf("a header alone: %v %v", got, err)
	}
}

// A key is its secret: a worker that has another under the name is refused, a run and its
// version say which it was, and what is kept for one is not taken for another's.
func TestAnotherSecretUnderTheNameOfAKeyIsRefused(t *testing.T) {
	keys := map[string]string{"one": "the secret of one key", "other": "the secret of one key"}
	b := hashedHalf(t, "one", keys)
	b.all(1)
	a, err := b.worker.artifact(t.Context(), b.inputs["checkpoint"])
	if err != nil {
		t.Fatal(err)
	}
	key, err := table.NewKey([]byte(keys["one"]))
	if err != nil || a.Provenance.Key != key.ID() {
		t.Fatalf("%v: the version has key %q", err, a.Provenance.Key)
	}
	lease := &apiv1.Lease{RunId: "one", Pipeline: "flights", Spec: b.spec, Inputs: b.inputs}
	d, err := b.worker.openData(t.Context(), lease)
	if err != nil {
		t.Fatal(err)
	}
	kept := d.keeping.rows
	keys["one"] = "it was rotated under its name"
	lease.RunId = "two"
	if _, err := b.worker.openData(t.Context(), lease); err == nil || !strings.Contains(err.Error(), "key one") {
		t.Errorf("a task of the run: %v", err)
	}
	if _, err := a.HashedBy(b.worker.connections.Key); err == nil || !strings.Contains(err.Error(), "key one") {
		t.Errorf("the version: %v", err)
	}
	// A new run is of the new secret, and of rows of its own.
	next := b.again()
	next.upTo("learn", 1)
	d, err = next.worker.openData(t.Context(), &apiv1.Lease{RunId: "three", Pipeline: "flights", Spec: b.spec, Inputs: next.inputs})
	if err != nil {
		t.Fatal(err)
	}
	if d.keeping.rows == kept {
		t.Error("rows of another secret are taken for the run's")
	}
}

// A column gets pii: a version from before scores no dataset, whose rows would have its
// values as they are.
func TestNoVersionThatLeavesValuesAsTheyAreScoresADataset(t *testing.T) {
	b := hashedHalf(t, "one", map[string]string{"one": "the secret of one key"})
	hashed := b.spec
	b.spec = strings.Replace(hashed, ", pii: hash", "", 1)
	b.all(1)
	dataset := map[string]string{stages.FromArgument: "s3://lake/flights/*.parquet"}
	if report := b.score(1, dataset); report.Error != "" {
		t.Fatal(report.Error)
	}
	b.spec, dataset[stages.FormatArgument] = hashed, "parquet" // another job
	if report := b.score(1, dataset); !strings.Contains(report.Error, "column origin") || !strings.Contains(report.Error, "without its pii: hash") {
		t.Errorf("%q", report.Error)
	}
}
