package main

import (
	"strings"
	"testing"

	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/throughput"
)

// How many failing rows a run keeps starts no run, and is nothing to a stream.
func TestPlanSaysThatStoredFailuresAreForRuns(t *testing.T) {
	var specs [2]*pipeline.Spec
	for i, tests := range []string{"  tests: [{column: distance, not_null: true, store_failures: 10}]\n", "  tests: [{column: distance, not_null: true, store_failures: 20}]\n"} {
		var err error
		if specs[i], err = pipeline.Parse(catalog.All(), "flights.yaml", []byte(strings.TrimRight(demoSpec(t), "\n")+"\n"+tests)); err != nil {
			t.Fatal(err)
		}
	}
	changes, err := pipeline.Changes(specs[0], specs[1])
	if err != nil || len(changes) != 1 {
		t.Fatalf("%+v, %v", changes, err)
	}
	if got := effectOf(changes[0], specs[1]); got != "for runs that start from now on" {
		t.Errorf("%s: %s", changes[0].Path, got)
	}
}

// A column that gets pii ends what versions score that leave it as it is.
func TestPlanSaysThatEventsWaitForAVersionThatProtectsThem(t *testing.T) {
	var specs [2]*pipeline.Spec
	for i, column := range []string{"{name: seat, type: string}", "{name: seat, type: string, pii: drop}"} {
		var err error
		text := strings.Replace(strings.Replace(droppedSpec, "FORMAT", "{type: json}", 1), "{name: seat, type: string, pii: drop}", column, 1)
		if specs[i], err = pipeline.Parse(catalog.All(), "p.yaml", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	changes, err := pipeline.Changes(specs[0], specs[1])
	if err != nil || len(changes) != 1 {
		t.Fatalf("%+v, %v", changes, err)
	}
	effect := effectOf(changes[0], specs[1])
	var out strings.Builder
	(&plan{Pipeline: "p", Generation: 1, Trains: true, Changes: []plannedChange{{changes[0], effect}}}).print(&out)
	if !strings.Contains(effect, "events wait until it is promoted") || !strings.Contains(out.String(), "the stream waits until its version is promoted") {
		t.Errorf("%s: %s\n%s", changes[0].Path, effect, &out)
	}
}

// plan says what explanations and samples leave of the speed of scoring, or why it does not.
func TestPlanSaysWhatExplanationsAndSamplesLeave(t *testing.T) {
	for want, of := range map[string]*plannedScoring{
		"": nil,
		"is not measured: there is no champion yet\n": {Unmeasured: "there is no champion yet"},
		"leave 100000 rows a second of 400000 (25 %): version 3, scoring alone, without reading, decoding, cleaning and writing, on one core": {Version: 3, Rates: throughput.Rates{Plain: 400_000, With: 100_000}},
	} {
		var out strings.Builder
		(&plan{Pipeline: "p", Generation: 1, Scoring: of}).print(&out)
		if !strings.Contains(out.String(), want) || of == nil && strings.Contains(out.String(), "samples") {
			t.Errorf("%q, want %q", &out, want)
		}
	}
}

func TestPlanSaysWhatTrialsAreComparedByAndWhatNoiseThereIs(t *testing.T) {
	const by, noise = "at most 20 trials, compared by the validation rows", "noise of 1 times clip_norm 1"
	for _, p := range []plan{{Pipeline: "p", Trains: true, Search: by, Privacy: noise}, {Pipeline: "p", Generation: 1, Search: by, Privacy: noise}} {
		var out strings.Builder
		p.print(&out)
		if strings.Contains(out.String(), "search: "+by+"\n") != p.Trains || strings.Contains(out.String(), "privacy: "+noise+"\n") != p.Trains {
			t.Errorf("trains %v: %q", p.Trains, &out)
		}
	}
}

// plan says of each edit what it will do, and apply prints the same.
func TestPlanSaysWhatApplyDoes(t *testing.T) {
	c := parallelDev(t, embedded.Config{})
	upload(t, c, fewFlights(t, 6_000))
	file := t.TempDir() + "/flights.yaml"
	base := demoSpec(t)
	for _, step := range []struct {
		edit  []string
		wants []string
	}{
		{nil, []string{"flight-delays is new: a training run begins"}},
		{[]string{"rolling: {period: 200ms}", "rolling: {period: 300ms}"}, []string{
			`spec.scoring.sink.rolling.period  "200ms"  "300ms"  in place, with the next batch`, "generation 2: no run"}},
		{[]string{"delay > 15", "delay > 30"}, []string{
			`spec.output_features[delayed].expression  "delay > 15"  "delay > 30"  a version is trained anew`, "generation 3: a training run begins"}},
		{[]string{"    - {name: distance,    type: number}\n", ""}, []string{
			"spec.input_features[distance].type ", `"number"          -       a version is trained anew`}},
		{[]string{"s3://lake/scored/flight-delays/", "s3://lake/scored/elsewhere/"}, []string{
			`rows, log and table until now stay where they are; new ones begin there (or go on, if the pipeline was there before), at start_offset earliest: all events that the topic still has are scored again`}},
	} {
		if step.edit != nil {
			base = strings.Replace(base, step.edit[0], step.edit[1], 1)
		}
		put(t, file, base)
		planned, err := command(t, c, "plan", "-f", file)
		for _, want := range step.wants {
			if err != nil || !strings.Contains(planned, want) {
				t.Errorf("plan: %v\n%s\nwant %q", err, planned, want)
			}
		}
		applied, err := command(t, c, "apply", "-f", file, "--wait")
		if err != nil {
			t.Fatal(err)
		}
		if table, _, ok := strings.Cut(planned, "generation "); ok && !strings.Contains(applied, table) {
			t.Errorf("apply prints\n%s\nplan\n%s", applied, table)
		}
		if text, err := command(t, c, "plan", "-f", file); err != nil || !strings.Contains(text, "flight-delays is unchanged at generation") {
			t.Errorf("plan after apply: %v\n%s", err, text)
		}
	}
}
