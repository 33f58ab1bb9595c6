package fsck

import (
	"strings"
	"testing"

	bucketmem "github.com/thalweg/thalweg/storage/memory"
)

// Rows, logs and dead letters of another pipeline are named with that, wherever in
// the sink they lie; people's own files beside its folders are nobody's business.
func TestWhatIsOfAnotherPipelineIsNamed(t *testing.T) {
	ours := func(in *intentRecord) { in.Pipeline = "flights" }
	theirs := func(in *intentRecord) { in.Pipeline = "other" }
	for where, want := range map[string]string{
		"":                   `is of pipeline "other", and the sink that of "flights"`,
		"other/":             `another sink lies in this one: it is of pipeline "other", which puts its rows into ` + prefix + "other/",
		"deep/below/":        `another sink lies in this one: it is of pipeline "other", which puts its rows into ` + prefix + "deep/below/",
		"_log/":              `no object of a stream belongs here: it is of pipeline "other", which puts its rows into ` + prefix + "_log/",
		"_dead/flights/":     `no object of a stream belongs here: it is of pipeline "other", which puts its rows into ` + prefix + "_dead/flights/",
		"data/other/":        `it is of pipeline "other", which puts its rows into ` + prefix + "data/other/",
		"data/flights/0000/": `no object of a stream belongs here: it is of pipeline "other", which puts its rows into ` + prefix + "data/flights/0000/",
	} {
		b := bucketmem.New()
		if where != "" {
			writeTo(t, b, "00000", slot{from: 0, to: 20, intent: ours})
		}
		foreign := write(t, slot{from: 0, to: 20, dead: []int64{3}, intent: theirs})
		for info, err := range foreign.List(t.Context(), "", "") {
			if err != nil {
				t.Fatal(err)
			}
			body, _, err := foreign.Get(t.Context(), info.Key)
			if err != nil {
				t.Fatal(err)
			}
			put(t, b, prefix+where+strings.TrimPrefix(info.Key, prefix), body)
		}
		v, err := Run(t.Context(), b, "flights", prefix, registered)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(v.String(), want) {
			t.Errorf("%q: %s, want %s", where, v, want)
		}
	}
	b := write(t, slot{from: 0, to: 20})
	put(t, b, prefix+"README.md", []byte("what this is"))
	put(t, b, prefix+"notes/data/x.parquet", []byte("mine"))
	if v, err := Run(t.Context(), b, "flights", prefix, registered); err != nil || !v.OK() {
		t.Errorf("files of people: %v, %s", err, v)
	}
}
