//go:build integration

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/integration/process"
	"github.com/thalweg/thalweg/storage"
)

// eventRow is one scored row as any reader sees it.
type eventRow struct {
	text        string // all columns
	prediction  bool
	probability float64
	version     int64
}

// setOf reads every row and dead letter under a sink, with no code of ours.
func setOf(t *testing.T, lake storage.Bucket, prefix string) (rows map[place]eventRow, dead map[place]string) {
	t.Helper()
	rows, dead = map[place]eventRow{}, map[place]string{}
	for key, body := range objectsUnder(t, lake, prefix+"data/") {
		readParquet(t, key, body, func(batch arrow.Record) {
			partition, offset, version := ints(t, batch, "_partition"), ints(t, batch, "_offset"), ints(t, batch, "_model_version")
			probability, prediction := floats(t, batch, "probability"), columnOf[*array.Boolean](t, batch, "prediction")
			for i := range int(batch.NumRows()) {
				var text strings.Builder
				for j, f := range batch.Schema().Fields() {
					fmt.Fprintf(&text, "%s=%s|", f.Name, batch.Column(j).ValueStr(i))
				}
				p := place{partition.Value(i), offset.Value(i)}
				if _, twice := rows[p]; twice {
					t.Errorf("%s: event %+v appears twice", prefix, p)
				}
				rows[p] = eventRow{text.String(), prediction.Value(i), probability.Value(i), version.Value(i)}
			}
		})
	}
	for key, body := range objectsUnder(t, lake, prefix+"_dead/") {
		for line := range strings.Lines(string(body)) {
			var letter struct{ Partition, Offset int64 }
			if err := json.Unmarshal([]byte(line), &letter); err != nil {
				t.Fatalf("%s: %v", key, err)
			}
			dead[place{letter.Partition, letter.Offset}] = line
		}
	}
	return rows, dead
}

// doneSlots counts the finished slots under a sink.
func doneSlots(ctx context.Context, lake storage.Bucket, prefix string) (int, error) {
	n := 0
	for info, err := range lake.List(ctx, prefix+"_log/", "") {
		if err != nil {
			return 0, err
		}
		if strings.HasSuffix(info.Key, ".done.json") {
			n++
		}
	}
	return n, nil
}

// verb runs a verb to its end and returns its standard output as JSON, and its
// exit code.
func verb[T any](t *testing.T, cmd *exec.Cmd) (printed T, exit int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	if stdout.Len() > 0 {
		if err := json.Unmarshal(stdout.Bytes(), &printed); err != nil {
			t.Fatalf("%s: %v\n%s%s", cmd, err, &stdout, &stderr)
		}
	} else if ended == nil {
		t.Fatalf("%s printed nothing\n%s", cmd, &stderr)
	}
	if stderr.Len() > 0 {
		t.Logf("%s: %s", strings.Join(cmd.Args[1:min(3, len(cmd.Args))], " "), &stderr)
	}
	return printed, cmd.ProcessState.ExitCode()
}

// replaySummary is what `thalweg replay -o json` and `thalweg diff -o json` print,
// as far as the test looks at it.
type replaySummary struct {
	Scored, Dead int64
	Replay       struct {
		Partitions []struct{ Partition, From, To int64 }
	}
	Diff *diffSummary
}

type diffSummary struct {
	Both     int64                       `json:"in_both"`
	Equal    int64                       `json:"equal_bits"`
	Differ   int64                       `json:"different"`
	Flipped  int64                       `json:"flipped"`
	OnlyLive int64                       `json:"only_live"`
	Only     int64                       `json:"only_replayed"`
	DeadBoth int64                       `json:"dead_in_both"`
	DeadLive int64                       `json:"dead_only_live"`
	Dead     int64                       `json:"dead_only_replayed"`
	Delta    struct{ Mean, Max float64 } `json:"absolute_difference"`
	Versions []struct {
		Live     int64                       `json:"live_version"`
		Replayed int64                       `json:"replayed_version"`
		Both     int64                       `json:"in_both"`
		Differ   int64                       `json:"different"`
		Delta    struct{ Mean, Max float64 } `json:"absolute_difference"`
	}
	Largest []struct {
		Partition, Offset int64
		Delta             float64 `json:"absolute_difference"`
	}
}

// TestAReplayRunsBesideTheStreamAndItsRowsCanBeProved replays a topic, whose
// events never cease to come, with the version that scored it and with another;
// kills a replay in its middle; compares what the verbs say with what can be
// computed from the files by others' code; and scores random rows again from
// their lineage alone, after retention took the events too.
func TestAReplayRunsBesideTheStreamAndItsRowsCanBeProved(t *testing.T) {
	c, broker, lake, _ := startStream(t, 2)
	client := c.Client()
	f := newFeed(t, broker.Brokers(), topic, partitions)
	if err := f.write(t.Context(), 12_000); err != nil {
		t.Fatal(err)
	}
	waitStream(t, client, "the first events", committedTo(f.ends()))
	// A second version, and files of few rows, so that a replay takes many steps.
	fine := strings.Replace(streamSpec(t, 500*time.Millisecond, "  trainer: {optimizer: {type: momentum, learning_rate: 0.1}, seed: 7}\n"),
		"rolling: {", "rolling: {count: 100, ", 1)
	waitRun(t, c, apply(t, c, fine), "the second model", succeeded)
	stop := f.flow(t)
	to := func() string {
		var bounds []string
		for p, end := range f.ends() {
			bounds = append(bounds, fmt.Sprintf("%d:%d", p, end))
		}
		return strings.Join(bounds, ",")
	}
	process.Until(t, "events that the second version scored", func(ctx context.Context) error {
		text := c.Run(t, "stream", "status", flightPipeline, "-o", "json")
		if !strings.Contains(text, `"modelVersion": "2"`) && !strings.Contains(text, `"model_version": "2"`) {
			return fmt.Errorf("%s", text)
		}
		return nil
	})
	if err := f.write(t.Context(), 2_000); err != nil {
		t.Fatal(err)
	}
	end := to()
	waitStream(t, client, "all that is replayed", committedTo(f.ends()))

	// Whoever asked, and the worker that replays, are killed in its middle, and it is asked for
	// again: the job goes on elsewhere, beside another.
	args := []string{"replay", flightPipeline, "--model", "1", "--from", "earliest", "--to", end, "--into", "s3://lake/replays/killed/", "-o", "json"}
	before, err := doneSlots(t.Context(), lake, sinkPrefix)
	if err != nil {
		t.Fatal(err)
	}
	first := process.Start(t, "replay", c.Command(args...))
	process.Until(t, "some slots of the replay", func(ctx context.Context) error {
		n, err := doneSlots(ctx, lake, "replays/killed/")
		if err == nil && n < 5 {
			err = fmt.Errorf("%d", n)
		}
		return err
	})
	first.Kill()
	if !c.KillJob(t, "replay") {
		t.Error("the replay was not killed")
	}
	half, err := doneSlots(t.Context(), lake, "replays/killed/")
	if err != nil {
		t.Fatal(err)
	}
	killed, exit := verb[replaySummary](t, c.Command(args...))
	whole, err := doneSlots(t.Context(), lake, "replays/killed/")
	if err != nil || exit != 0 || half >= whole {
		t.Fatalf("killed after %d of %d slots and run again: exit %d, %v", half, whole, exit, err)
	}
	t.Logf("killed after %d of %d slots; %d rows, %d dead letters in the end", half, whole, killed.Scored, killed.Dead)

	// Undisturbed, with each version, and compared.
	with := func(version, into string) *replaySummary {
		t.Helper()
		began := time.Now()
		s, exit := verb[replaySummary](t, c.Command("replay", flightPipeline, "--model", version, "--from", "earliest", "--to", end, "--into", into, "--diff", "-o", "json"))
		if s.Diff == nil || exit != 1 { // each version differs from what the other scored
			t.Fatalf("replay with version %s: exit %d, %+v", version, exit, s)
		}
		t.Logf("version %s: %d rows, %d dead letters in %v; diff: %+v", version, s.Scored, s.Dead, time.Since(began), *s.Diff)
		return &s
	}
	one, two := with("1", "s3://lake/replays/one/"), with("2", "s3://lake/replays/two/")
	stop()
	waitStream(t, client, "the live stream", committedTo(f.ends()))
	after, err := doneSlots(t.Context(), lake, sinkPrefix)
	if err != nil || after <= before {
		t.Errorf("the live stream rested: %d slots before the replays, %d after, %v", before, after, err)
	}
	if verdict := judge(t, client, lake); verdict.Scored+verdict.Dead != sum(f.ends()) {
		t.Errorf("the live stream: %s", verdict)
	}
	for _, prefix := range []string{"killed", "one", "two"} {
		if text := c.Run(t, "fsck", flightPipeline, "--at", "s3://lake/replays/"+prefix+"/"); !strings.Contains(text, "ok:") {
			t.Errorf("fsck of %s: %s", prefix, text)
		}
	}
	checkTimes(t, newSource(t, broker, topic, ""))
	checkReplays(t, lake, f, one, two)
	checkLineages(t, c, lake, f)
	loseEvents(t, c, f)
}

// checkTimes holds what the brokers say of times against the records' own.
func checkTimes(t *testing.T, source *kafka.Source) {
	t.Helper()
	first, next, err := source.Bounds(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var stamps, offsets []int64
	var batch connectors.Records
	for at := first; at < next; at = batch.Next {
		if err := source.Fetch(t.Context(), 0, at, time.Second, 1<<20, &batch); err != nil {
			t.Fatal(err)
		}
		stamps, offsets = append(stamps, batch.Timestamps...), append(offsets, batch.Offsets...)
	}
	at := func(us int64) int64 {
		t.Helper()
		got, err := source.OffsetAt(t.Context(), 0, time.UnixMicro(us))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for i := 0; i < len(stamps); i += len(stamps) / 7 {
		for _, us := range []int64{stamps[i] - 1, stamps[i], stamps[i] + 1} {
			want := next
			for j, stamp := range stamps {
				if stamp >= us {
					want = offsets[j]
					break
				}
			}
			if got := at(us); got != want {
				t.Errorf("the first record at or after %v is %d, the broker says %d", time.UnixMicro(us).UTC(), want, got)
			}
		}
	}
	if got := at(time.Now().Add(time.Hour).UnixMicro()); got != next {
		t.Errorf("of the future: %d, want %d", got, next)
	}
	if got := at(-5_000_000); got != first {
		t.Errorf("of before 1970: %d, want %d", got, first)
	}
}

func sum(all []int64) (total int64) {
	for _, n := range all {
		total += n
	}
	return total
}

// checkReplays compares the sets by the files alone.
func checkReplays(t *testing.T, lake storage.Bucket, f *feed, one, two *replaySummary) {
	t.Helper()
	live, liveDead := setOf(t, lake, sinkPrefix)
	first, firstDead := setOf(t, lake, "replays/one/")
	killed, killedDead := setOf(t, lake, "replays/killed/")
	if len(killed) != len(first) || !maps.Equal(killedDead, firstDead) {
		t.Errorf("the killed replay has %d rows and %d dead letters, the undisturbed one %d and %d", len(killed), len(killedDead), len(first), len(firstDead))
	}
	for p, row := range first {
		if killed[p].text == "" || scoredAtRemoved(killed[p].text) != scoredAtRemoved(row.text) {
			t.Fatalf("event %+v: the killed replay has %q, the undisturbed one %q", p, killed[p].text, row.text)
		}
	}
	for version, summary := range map[int64]*replaySummary{1: one, 2: two} {
		replayed, replayedDead := setOf(t, lake, fmt.Sprintf("replays/%s/", map[int64]string{1: "one", 2: "two"}[version]))
		var events int64
		for _, r := range summary.Replay.Partitions {
			events += r.To - r.From
		}
		if int64(len(replayed)+len(replayedDead)) != events {
			t.Errorf("version %d: %d rows and %d dead letters of %d events", version, len(replayed), len(replayedDead), events)
		}
		var same, other diffSummary // as their versions are equal or not
		var flipped int64
		var total, largest float64
		for p, row := range replayed {
			a := live[p]
			d := &other
			if a.version == version {
				d = &same
			}
			d.Both++
			if math.Float64bits(a.probability) != math.Float64bits(row.probability) || a.prediction != row.prediction {
				d.Differ++
			}
			if a.prediction != row.prediction {
				flipped++
			}
			delta := math.Abs(a.probability - row.probability)
			total, largest = total+delta, max(largest, delta)
		}
		d := summary.Diff
		if same.Differ != 0 {
			t.Errorf("version %d: %d of %d rows of the same version have other bits", version, same.Differ, same.Both)
		}
		if d.Both != same.Both+other.Both || d.Differ != other.Differ || d.Flipped != flipped || d.OnlyLive+d.Only+d.DeadLive+d.Dead != 0 || d.DeadBoth != int64(len(replayedDead)) {
			t.Errorf("version %d: diff says %+v; the files say %+v of the same version, %+v of the other, %d flipped, %d dead", version, *d, same, other, flipped, len(replayedDead))
		}
		if other.Differ == 0 || same.Both == 0 {
			t.Errorf("version %d: nothing was compared: %+v, %+v", version, same, other)
		}
		if d.Largest[0].Delta != largest || d.Delta.Max != largest {
			t.Errorf("version %d: the largest difference is %v, diff says %+v", version, largest, d.Largest[0])
		}
		var mean float64
		for _, v := range d.Versions {
			mean += v.Delta.Mean * float64(v.Both)
			if v.Live == v.Replayed && (v.Differ != 0 || v.Delta.Max != 0) {
				t.Errorf("version %d with itself: %+v", version, v)
			}
		}
		if math.Abs(mean-total) > 1e-6*total {
			t.Errorf("version %d: the differences sum to %v, diff says %v", version, total, mean)
		}
		for p := range replayedDead {
			if _, ok := liveDead[p]; !ok || !f.mu.sent[p].poison {
				t.Errorf("event %+v is dead in the replay: %s", p, f.mu.sent[p].value)
			}
		}
	}
}

// scoredAtRemoved is a row's text without when its replay began.
func scoredAtRemoved(text string) string {
	before, rest, _ := strings.Cut(text, "_scored_at=")
	_, after, _ := strings.Cut(rest, "|")
	return before + after
}

// lineageDocument is what `thalweg lineage -o json` prints, as far as the test
// looks at it.
type lineageDocument struct {
	Outcome  string
	Event    struct{ Held bool }
	Training *struct {
		Objects []struct{ Key, ETag string }
	}
	Row []struct {
		Name  string
		Value *string
	}
	Verification *struct {
		OK             bool
		Event, Object  string
		Columns, Equal int
	}
}

// checkLineages verifies rows from their documents, by processes that know no
// coordinator.
func checkLineages(t *testing.T, c *cluster, lake storage.Bucket, f *feed) {
	t.Helper()
	live, dead := setOf(t, lake, sinkPrefix)
	rng := rand.New(rand.NewPCG(1, 2))
	pick := func(places []place) place {
		slices.SortFunc(places, func(a, b place) int {
			if a.partition != b.partition {
				return int(a.partition - b.partition)
			}
			return int(a.offset - b.offset)
		})
		return places[rng.IntN(len(places))]
	}
	var nulls []place
	for p, row := range live {
		if strings.Contains(row.text, "=(null)|") {
			nulls = append(nulls, p)
		}
	}
	all, letters := slices.Collect(maps.Keys(live)), slices.Collect(maps.Keys(dead))
	if len(nulls) == 0 || len(letters) == 0 {
		t.Fatalf("%d rows with nulls, %d dead letters", len(nulls), len(letters))
	}
	head, err := lake.Head(t.Context(), "flights/flights.parquet")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		p := pick(all)
		switch i % 4 {
		case 1:
			p = pick(nulls)
		case 2:
			p = pick(letters)
		}
		doc, v := lineageOf(t, c, p)
		if v == nil || !v.OK || v.Event != "broker" || v.Object != "equal" || !doc.Event.Held {
			t.Fatalf("event %+v: %+v, %+v", p, doc, v)
		}
		if doc.Training == nil || len(doc.Training.Objects) != 1 || doc.Training.Objects[0].ETag != head.ETag {
			t.Errorf("event %+v: trained on %+v; the store's ETag is %s", p, doc.Training, head.ETag)
		}
		if doc.Outcome == "scored" {
			if v.Columns != len(doc.Row) || v.Equal != v.Columns || !strings.Contains(live[p].text, "origin="+textOf(doc, "origin")+"|") {
				t.Errorf("event %+v: %+v; the row is %s", p, doc.Row, live[p].text)
			}
		} else if !f.mu.sent[p].poison {
			t.Errorf("event %+v is %s", p, doc.Outcome)
		}
	}
}

func textOf(doc lineageDocument, column string) string {
	for _, c := range doc.Row {
		if c.Name == column && c.Value != nil {
			return *c.Value
		}
	}
	return "(null)"
}

// lineageOf writes the lineage of a live row to a file and verifies it in a
// process that can reach no coordinator.
func lineageOf(t *testing.T, c *cluster, p place, more ...string) (doc lineageDocument, v *struct {
	OK             bool
	Event, Object  string
	Columns, Equal int
}) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "lineage.json")
	text := c.Run(t, "lineage", flightPipeline, "--partition", fmt.Sprint(p.partition), "--offset", fmt.Sprint(p.offset), "-o", "json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"--coordinator", process.FreeAddress(t), "lineage", "--from-file", file, "--verify", "-o", "json"}, more...)
	doc, exit := verb[lineageDocument](t, c.Command(args...))
	if (exit == 0) != (doc.Verification != nil && doc.Verification.OK) {
		t.Errorf("exit %d of %+v", exit, doc.Verification)
	}
	return doc, doc.Verification
}

// loseEvents has the topic lose events: what needs them says which are missing,
// and a row can still be proved by whoever kept its event.
func loseEvents(t *testing.T, c *cluster, f *feed) {
	t.Helper()
	const cut = 500
	part := kmsg.NewDeleteRecordsRequestTopicPartition()
	part.Partition, part.Offset = 1, cut
	deletion := kmsg.NewDeleteRecordsRequestTopic()
	deletion.Topic, deletion.Partitions = topic, append(deletion.Partitions, part)
	request := kmsg.NewPtrDeleteRecordsRequest()
	request.Topics = append(request.Topics, deletion)
	if res, err := request.RequestWith(t.Context(), f.client); err != nil || res.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("delete records: %+v, %v", res, err)
	}
	out, err := c.Command("replay", flightPipeline, "--model", "1", "--from", "committed", "--into", "s3://lake/replays/lost/").CombinedOutput()
	if err == nil || !strings.Contains(string(out), fmt.Sprintf("%s/1: offsets [0, %d) are missing", topic, cut)) {
		t.Errorf("a replay of lost events: %v\n%s", err, out)
	}
	var kept place
	for p, e := range f.mu.sent {
		if p.partition == 1 && p.offset < cut && !e.poison && (kept == place{} || p.offset < kept.offset) {
			kept = p
		}
	}
	if _, v := lineageOf(t, c, kept); v != nil {
		t.Errorf("event %+v was proved without its bytes: %+v", kept, v)
	}
	event := filepath.Join(t.TempDir(), "event")
	if err := os.WriteFile(event, f.mu.sent[kept].value, 0o600); err != nil {
		t.Fatal(err)
	}
	doc, v := lineageOf(t, c, kept, "--event", event)
	if v == nil || !v.OK || v.Event != "file" || v.Equal < 12 || doc.Event.Held {
		t.Errorf("event %+v with its bytes: %+v, %+v", kept, doc.Event, v)
	}
}
