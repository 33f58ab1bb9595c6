package coordinator

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
)

// placed is specText with other places, given as old and new texts.
func placed(name string, pairs ...string) *apiv1.ApplyRequest {
	text := specText(name, 1) + "    dead_letter: {kafka: {topic: " + name + ".dlq}}\n"
	return &apiv1.ApplyRequest{Spec: strings.NewReplacer(pairs...).Replace(text), File: name + ".yaml"}
}

// A place that another pipeline or the cluster has is refused by apply and by its
// dry run, naming both pipelines and fields with their places in both files.
func TestApplyRefusesPlacesThatOthersHave(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, func(cfg *Config) { cfg.StateBucket = "thalweg" })
	client := c.client()
	if _, err := client.Apply(c.ctx(), placed("a", "lake/flights/*", "lake/history/*")); err != nil {
		t.Fatal(err)
	}
	const sink = "s3://lake/scored/b/"
	for what, r := range map[string]struct{ from, to, want string }{
		"the sink itself":          {sink, "s3://lake/scored/a/", "b.yaml:15:23: spec.scoring.sink.s3.path: s3://lake/scored/a/ is where pipeline a (a.yaml:15:23: spec.scoring.sink.s3.path) puts its rows (give it a prefix of its own)"},
		"within the log":           {sink, "s3://lake/scored/a/_log/flights/", "lies in or around s3://lake/scored/a/, where pipeline a"},
		"within the dead letters":  {sink, "s3://lake/scored/a/_dead/", "lies in or around s3://lake/scored/a/, where pipeline a"},
		"around the sink":          {sink, "s3://lake/scored/", "s3://lake/scored/ lies in or around s3://lake/scored/a/, where pipeline a"},
		"within the training data": {sink, "s3://lake/history/scored/", "s3://lake/history/scored/ lies in or around s3://lake/history/*.parquet, the training data of pipeline a (a.yaml:6:25: spec.sources.train.s3.path)"},
		"the state bucket":         {sink, "s3://thalweg/scored/", "lies in the bucket of the cluster's state (give it another bucket)"},
		"trained on all of a sink": {"s3://lake/flights/*", "s3://lake/scored/a/**/*", "rows alone are s3://lake/scored/a/data/**/*.parquet"},
		"dead letters as events":   {"topic: flights}", "topic: a.dlq}", "b.yaml:7:29: spec.sources.events.kafka.topic: its events would be dead letters: a.dlq is the topic that gets those of pipeline a (a.yaml:16:34: spec.scoring.dead_letter.kafka.topic)"},
		"events as dead letters":   {"topic: b.dlq}", "topic: flights}", "flights is the topic of the events"},
	} {
		for _, dry := range []bool{false, true} {
			req := placed("b", r.from, r.to)
			req.DryRun = dry
			_, err := client.Apply(c.ctx(), req)
			if !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), r.want) {
				t.Errorf("%s, dry %v: %v, want %q", what, dry, err, r.want)
			}
		}
	}
	// Beside each other, and on the rows of another pipeline, is no conflict; nor are
	// the places of an earlier generation, or one's own.
	for what, req := range map[string]*apiv1.ApplyRequest{
		"a name that begins alike": placed("b", sink, "s3://lake/scored/ab/"),
		"the rows of another":      placed("c", "s3://lake/flights/*", "s3://lake/scored/a/data/**/*"),
		"another bucket":           placed("d", sink, "s3://pond/scored/a/"),
		"the same pipeline":        placed("a", "seed: 1", "seed: 2"),
	} {
		if _, err := client.Apply(c.ctx(), req); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	// A sink that is moved does not go into or around the one before.
	_, err := client.Apply(c.ctx(), placed("c", "s3://lake/flights/*", "s3://lake/scored/a/data/**/*", "scored/c/", "scored/c/new/"))
	if err == nil || !strings.Contains(err.Error(), "lies in or around s3://lake/scored/c/, where pipeline c until generation 1 (") {
		t.Errorf("a sink in the one before: %v", err)
	}
	// A topic of events that is the dead letters' of one that came before.
	req := placed("e", "topic: e.dlq}", "topic: flights}", "topic: flights}, format", "topic: other}, format")
	if _, err = client.Apply(c.ctx(), req); err == nil || !strings.Contains(err.Error(), "dead letters would become events: flights is the topic that pipeline") {
		t.Errorf("a loop over two pipelines: %v", err)
	}
}

// A sink that holds the rows of another pipeline, which moved on or was deleted, is
// refused, by however many generations ago; a pipeline may return to its own.
func TestApplyRefusesSinksThatOthersLeft(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	client := c.client()
	apply := func(name string, pairs ...string) error {
		_, err := client.Apply(c.ctx(), placed(name, pairs...))
		return err
	}
	refused := func(what, want string, err error) {
		t.Helper()
		if !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	sinkOf := func(name, sink string) []string { return []string{"s3://lake/scored/" + name + "/", sink} }
	for _, sink := range []string{"s3://lake/one/", "s3://lake/two/", "s3://lake/three/"} {
		if err := apply("a", sinkOf("a", sink)...); err != nil {
			t.Fatal(err)
		}
	}
	refused("the first sink", "b.yaml:15:23: spec.scoring.sink.s3.path: s3://lake/one/ is where pipeline a until generation 1 (spec.scoring.sink.s3.path) puts its rows (give it a prefix of its own)", apply("b", sinkOf("b", "s3://lake/one/")...))
	refused("within the second", "s3://lake/two/b/ lies in or around s3://lake/two/, where pipeline a until generation 2", apply("b", sinkOf("b", "s3://lake/two/b/")...))
	if err := apply("a", sinkOf("a", "s3://lake/one/")...); err != nil {
		t.Errorf("back to the first: %v", err)
	}
	refused("the third, now left", "s3://lake/three/ is where pipeline a until generation 3", apply("b", sinkOf("b", "s3://lake/three/")...))
	refused("around an own one", "lies in or around s3://lake/two/, where pipeline a until generation 2", apply("a", sinkOf("a", "s3://lake/two/new/")...))
	if _, err := client.DeletePipeline(c.ctx(), &apiv1.DeletePipelineRequest{Pipeline: "a"}); err != nil {
		t.Fatal(err)
	}
	refused("that of a deleted one", "s3://lake/two/ is where pipeline a, which was deleted, (spec.scoring.sink.s3.path) puts its rows", apply("b", sinkOf("b", "s3://lake/two/")...))
	if err := apply("a", sinkOf("a", "s3://lake/three/")...); err != nil {
		t.Errorf("a new pipeline of the name: %v", err)
	}
	refused("after that", "s3://lake/two/ is where pipeline a until generation 2", apply("b", sinkOf("b", "s3://lake/two/")...))
	if err := apply("b", sinkOf("b", "s3://pond/two/")...); err != nil {
		t.Errorf("another bucket: %v", err)
	}
}

// The table of a job goes to no place that a pipeline, its own one included, or the
// cluster has, nor among the files that it reads.
func TestJobsDoNotWriteWhereOthersDo(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, func(cfg *Config) { cfg.StateBucket = "thalweg" })
	client := c.client()
	for _, name := range []string{"a", "b"} {
		if _, err := client.Apply(c.ctx(), placed(name, "lake/flights/*", "lake/history/"+name+"/*")); err != nil {
			t.Fatal(err)
		}
	}
	for into, want := range map[string]string{
		"s3://lake/scored/a/":         "s3://lake/scored/a/ is where the same pipeline (a.yaml:15:23: spec.scoring.sink.s3.path) puts its rows",
		"s3://lake/scored/b/sub/":     "lies in or around s3://lake/scored/b/, where pipeline b",
		"s3://lake/scored/":           "lies in or around s3://lake/scored/a/, where the same pipeline",
		"s3://lake/history/b/scored/": "the training data of pipeline b",
		"s3://lake/new/scored/":       "lies in or around s3://lake/new/*.csv, the training data of the same pipeline (from)",
		"s3://thalweg/scored/":        "lies in the bucket of the cluster's state",
		"nowhere":                     "not s3://bucket/key",
	} {
		_, err := client.StartRun(c.ctx(), &apiv1.StartRunRequest{Pipeline: "a", Verb: stages.ScoreVerb, Arguments: map[string]string{
			stages.FromArgument: "s3://lake/new/*.csv", stages.IntoArgument: into}})
		if kind := thalweg.KindOf(err); kind != thalweg.Conflict && kind != thalweg.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", into, err, want)
		}
	}
}

// Of two specs that want one place at the same moment one is accepted.
func TestOfTwoSpecsForOnePlaceOneIsAccepted(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	client := c.client()
	var group sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		group.Go(func() {
			name := string(rune('a' + i))
			_, errs[i] = client.Apply(c.ctx(), placed(name, "s3://lake/scored/"+name+"/", "s3://lake/scored/"))
		})
	}
	group.Wait()
	accepted := 0
	for _, err := range errs {
		if err == nil {
			accepted++
		} else {
			wantKind(t, "the others", err, thalweg.Invalid)
		}
	}
	if accepted != 1 {
		t.Errorf("%d are accepted: %v", accepted, errs)
	}
}

// Names of connections are those that workers have, and buckets behind two names are
// one where both lead to one store.
func TestApplyChecksConnections(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, func(cfg *Config) { cfg.LeaseTTL = time.Hour })
	client := c.client()
	has := func(kind, name string, addresses ...string) *apiv1.Connection {
		return &apiv1.Connection{Kind: kind, Name: name, Addresses: addresses}
	}
	poll := &apiv1.PollRequest{WorkerId: "w", Incarnation: "1", Connections: []*apiv1.Connection{
		has(pipeline.StoreConnection, "default", "127.0.0.1:9000"), has(pipeline.StoreConnection, "lake", "127.0.0.1:9000"),
		has(pipeline.StoreConnection, "pond", "10.0.0.1:9000"), has("kafka", "default", "127.0.0.1:9092"), has("kafka", "bus", "10.0.0.2:9092")}}
	if _, err := client.Apply(c.ctx(), placed("a")); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Poll(c.ctx(), poll); err != nil {
		t.Fatal(err)
	}
	store := func(name string) []string {
		return []string{"sink: {s3", "sink: {connection: " + name + ", s3", "scored/b/", "scored/a/"}
	}
	for what, r := range map[string]struct {
		pairs []string
		want  string
	}{
		"a misspelt store":        {store("lak"), "b.yaml:15:24: spec.scoring.sink.connection: no worker has a store connection lak (did you mean lake?; known are default, lake, pond)"},
		"a connection to Kafka":   {store("bus"), "spec.scoring.sink.connection: connection bus is a kafka connection, and a store belongs here (known are default, lake, pond)"},
		"the same store":          {store("lake"), "(by connection lake as by default: both lead to 127.0.0.1:9000)"},
		"training data":           {[]string{"train:  {s3", "train:  {connection: bus, s3"}, "spec.sources.train.connection: connection bus is a kafka"},
		"events":                  {[]string{"events: {kafka", "events: {connection: buss, kafka"}, "spec.sources.events.connection: no worker has a kafka connection buss (did you mean bus?"},
		"dead letters":            {[]string{"{topic: b.dlq}", "{topic: b.dlq, connection: lake}"}, "spec.scoring.dead_letter.kafka.connection: connection lake is a store"},
		"a registry":              {[]string{"{type: json}", "{type: avro, schema_registry: schemas}"}, "spec.sources.events.format.schema_registry: no worker has a schema registry connection schemas (known are none)"},
		"a registry by default":   {[]string{"{type: json}", "{type: avro, schema_registry: default}"}, "no worker has a schema registry connection default (known are none)"},
		"dead letters elsewhere":  {[]string{"{topic: b.dlq}", "{topic: flights, connection: bus}"}, ""},
		"the name in other store": {store("pond"), ""},
	} {
		req := placed("b", r.pairs...)
		req.DryRun = true
		_, err := client.Apply(c.ctx(), req)
		if (err == nil) != (r.want == "") || err != nil && !strings.Contains(err.Error(), r.want) {
			t.Errorf("%s: %v, want %q", what, err, r.want)
		}
	}
}
