package state

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/coordinator/audit"
	"github.com/thalweg/thalweg/pipeline/rollout"
)

var update = flag.Bool("update", false, "rewrite the expected output of the scripts")

// TestScripts runs testdata/script/*.txt. A script is a list of blocks: command
// lines, a line "----", what they print, an empty line. Every entry is applied to
// two states, one of which is encoded and decoded after each entry; they must
// stay equal byte for byte, and every invariant must hold throughout.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScript(t, file) })
	}
}

func runScript(t *testing.T, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine(t)
	var rewritten strings.Builder
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	for i := 0; i < len(lines); {
		var out strings.Builder
		start := i
		for i < len(lines) && lines[i] != "----" {
			rewritten.WriteString(lines[i] + "\n")
			if line := strings.TrimSpace(lines[i]); line != "" && !strings.HasPrefix(line, "#") {
				m.line(&out, line)
			}
			i++
		}
		if i == len(lines) {
			break
		}
		want := ""
		for i++; i < len(lines) && lines[i] != ""; i++ {
			want += lines[i] + "\n"
		}
		i++
		rewritten.WriteString("----\n" + out.String())
		if i < len(lines) {
			rewritten.WriteString("\n")
		}
		if got := out.String(); got != want && !*update {
			t.Errorf("%s:%d:\ngot\n%swant\n%s", file, start+1, got, want)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(rewritten.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// machine applies entries to two states that must stay equal.
type machine struct {
	t        tester
	live     *State
	restored *State // goes through a snapshot after each entry
	index    uint64
	clockMS  int64
	plans    map[thalweg.PipelineName][]stages.Plan // of the specs that a script applied
}

func newMachine(t tester) *machine {
	return &machine{t: t, live: New(), restored: New(), clockMS: 1000, plans: make(map[thalweg.PipelineName][]stages.Plan)}
}

// apply commits a command as the next entry, one second after the last.
func (m *machine) apply(c Command, requestID string) Answer {
	m.t.Helper()
	m.index++
	m.clockMS += 1000
	var caller *audit.Caller
	if IsMutation(c) {
		caller = &audit.Caller{Kind: "user", Name: "ada", Role: "admin", By: "token", Remote: "10.0.0.7:4711", Request: requestID}
	}
	entry, err := EncodeFor(caller, c, requestID, m.clockMS)
	if err != nil {
		m.t.Fatal(err)
	}
	answer, err := m.live.Apply(m.index, entry)
	if err != nil {
		m.t.Fatal(err)
	}
	other, err := m.restored.Apply(m.index, entry)
	if err != nil {
		m.t.Fatal(err)
	}
	if answer.Fenced != other.Fenced || answer.Run != other.Run || answer.Changed != other.Changed || fmt.Sprint(answer.Err()) != fmt.Sprint(other.Err()) {
		m.t.Fatalf("%s: two states answered %+v and %+v", c.name(), answer, other)
	}
	a, b := encoded(m.t, m.live), encoded(m.t, m.restored)
	if !bytes.Equal(a, b) {
		m.t.Fatalf("%s: two states differ:\n%s\n%s", c.name(), a, b)
	}
	if m.restored, err = Decode(b); err != nil {
		m.t.Fatalf("%s: %v", c.name(), err)
	}
	checkInvariants(m.t, m.live)
	return answer
}

func encoded(t tester, s *State) []byte {
	t.Helper()
	data, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// specPlan is the list of stages of a spec's run.
func specPlan(replicas uint32) []stages.Plan {
	return []stages.Plan{
		{Name: "profile", Over: stages.OverTasks, Reducers: 1, Outputs: []string{"manifest"}},
		{Name: "clean", Over: stages.OverShards, Reducers: 1, Outputs: []string{"split"}},
		{Name: "fit", Over: stages.OverShards, Reducers: 1, Outputs: []string{"transform"}},
		{Name: "train", Over: stages.OverReplicas, Number: replicas, Outputs: []string{"checkpoint"}},
		{Name: "evaluate", Over: stages.OverShards, Reducers: 1, Outputs: []string{"evaluation"}},
		{Name: "register", Over: stages.OverNothing},
	}
}

// line carries one line of a script out: a verb, words, and key=value options.
func (m *machine) line(out *strings.Builder, line string) {
	var words []string
	options := make(map[string]string)
	for _, f := range strings.Fields(line) {
		if k, v, ok := strings.Cut(f, "="); ok {
			options[k] = strings.ReplaceAll(v, "_", " ")
		} else {
			words = append(words, f)
		}
	}
	word := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	if words[0] == "train" { // a run with one shard and one replica up to its registration
		for _, id := range seedTasks {
			m.carryOut(thalweg.TaskID(words[1]) + "/" + id)
		}
		return
	}
	if words[0] == "show" {
		show(out, m.live, words[1:])
		return
	}
	c := m.command(words, word, options)
	if c == nil {
		m.t.Fatalf("unknown line %q", line)
	}
	answer := m.apply(c, options["request"])
	fmt.Fprintf(out, "%d %s\n", m.index, describe(answer))
}

func (m *machine) command(words []string, word func(int) string, options map[string]string) Command {
	number := func(name string, otherwise uint64) uint64 {
		if options[name] == "" {
			return otherwise
		}
		n, err := strconv.ParseUint(options[name], 10, 64)
		if err != nil {
			m.t.Fatal(err)
		}
		return n
	}
	// token returns the option, or the task's newest token.
	token := func(id string) thalweg.Token {
		if t := m.live.Task(thalweg.TaskID(id)); t != nil {
			return thalweg.Token(number("token", uint64(t.Token)))
		}
		return thalweg.Token(number("token", 0))
	}
	pipeline := thalweg.PipelineName(word(1))
	model := func() thalweg.ModelName {
		if options["model"] != "" {
			return thalweg.ModelName(options["model"])
		}
		return thalweg.ModelName(pipeline)
	}
	switch words[0] {
	case "spec":
		m.plans[pipeline] = specPlan(uint32(number("replicas", 2)))
		return &ApplySpec{Pipeline: pipeline, Text: options["text"], Model: model(), Alias: "champion",
			Stages: m.plans[pipeline], Topic: options["topic"], Training: options["training"], Keep: uint32(number("keep", 0)),
			WarmStart: int64(number("warm", 0)), Rollout: policyOf(options)}
	case "cleans": // without a model
		m.plans[pipeline] = planOf("profile:tasks:0:1:manifest;write:tasks:0:1:split")
		return &ApplySpec{Pipeline: pipeline, Text: options["text"], Stages: m.plans[pipeline], Training: options["training"]}
	case "timed":
		m.plans[pipeline] = planOf("look:tasks:1:0:objects;learn:tasks:1:0:checkpoint;register:nothing:0:0:")
		t := &Timetable{Timing: options["timing"], NextMS: int64(number("next", 0)), OnNewObjects: options["objects"] != "", OnOverlap: options["overlap"]}
		return &ApplySpec{Pipeline: pipeline, Text: options["text"], Model: model(), Alias: "champion", Stages: m.plans[pipeline], Training: options["training"], Timetable: t}
	case "due":
		return &StartScheduled{StartRun: StartRun{Pipeline: pipeline, Generation: thalweg.Generation(number("generation", 1)), Stages: m.plans[pipeline]},
			DueMS: int64(number("due", 0)), NextMS: int64(number("next", 0)), Objects: options["objects"], Queued: options["queued"] != ""}
	case "champion": // starts warm
		m.plans[pipeline] = specPlan(1)
		return &ApplySpec{Pipeline: pipeline, Text: options["text"], Model: model(), Alias: "champion", Stages: m.plans[pipeline], WarmStart: FromChampion}
	case "run":
		c := &StartRun{Pipeline: pipeline, Stages: m.plans[pipeline], Verb: options["verb"]}
		if options["stages"] != "" {
			c.Stages = planOf(options["stages"])
		}
		if p := m.live.Pipeline(pipeline); p != nil {
			c.Generation = thalweg.Generation(number("generation", uint64(p.Newest().Generation)))
		}
		return c
	case "job":
		return &StartJob{Pipeline: pipeline, Kind: options["kind"], Parameters: options["parameters"], By: "user ada"}
	case "cancel-job":
		return &CancelJob{Job: thalweg.JobID(word(1))}
	case "cancel":
		return &CancelRun{Run: thalweg.RunID(word(1))}
	case "grant":
		c := &GrantLeases{Worker: thalweg.WorkerID(word(1)), Incarnation: "i1", Address: word(1) + ":1"}
		for _, id := range words[2:] {
			c.Grants = append(c.Grants, Lease{Task: thalweg.TaskID(id), Token: thalweg.Token(number("after", uint64(token(id))))})
		}
		return c
	case "backup":
		return &GrantBackup{Worker: thalweg.WorkerID(word(1)), Incarnation: "i1", Slow: Lease{Task: thalweg.TaskID(word(2)), Token: token(word(2))}}
	case "report":
		c := &ReportTask{Task: thalweg.TaskID(word(1)), Token: token(word(1)), Results: Results{Rows: int64(number("rows", 0))}}
		if options["error"] != "" {
			c.Failure = &ReportFailure{Error: options["error"], Permanent: word(2) == "permanent"}
		}
		if options["answer"] != "" {
			c.Results = answered(int64(number("answer", 0)))
		}
		if options["partial"] != "" {
			c.Partials = strings.Split(options["partial"], ",")
		}
		for _, name := range []string{"manifest", "split", "transform", "checkpoint", "model_sha256", "transform_hash", "evaluation", "part", "sum", "objects", "nothing_new", "rejected"} {
			if options[name] != "" {
				if c.Outputs == nil {
					c.Outputs = make(map[string]string)
				}
				c.Outputs[name] = options[name]
			}
		}
		for name, v := range options {
			if name, counts := strings.CutPrefix(name, "count."); counts {
				n, err := strconv.ParseInt(v, 10, 64)
				if err != nil {
					m.t.Fatal(err)
				}
				if c.Counts == nil {
					c.Counts = make(map[string]int64)
				}
				c.Counts[name] = n
			}
			if name, metrics := strings.CutPrefix(name, "metric."); metrics {
				x, err := strconv.ParseFloat(v, 64)
				if err != nil {
					m.t.Fatal(err)
				}
				if c.Metrics == nil {
					c.Metrics = make(map[string]float64)
				}
				c.Metrics[name] = x
			}
		}
		return c
	case "release":
		c := &ReleaseLeases{Lost: thalweg.WorkerID(options["lost"])}
		for _, id := range words[1:] {
			c.Leases = append(c.Leases, Lease{Task: thalweg.TaskID(id), Token: token(id)})
		}
		return c
	case "expire":
		w, upTo := thalweg.WorkerID(word(1)), thalweg.Token(number("upto", m.index))
		return Release(w, slices.DeleteFunc(m.live.HeldBy(w), func(t *Task) bool { return t.Token > upTo })...)
	case "save":
		return &SaveCheckpoint{Task: thalweg.TaskID(word(1)), Token: token(word(1)), Checkpoint: options["checkpoint"]}
	case "register":
		return &RegisterModel{Run: thalweg.RunID(word(1))}
	case "judge":
		a := m.live.Model(thalweg.ModelName(word(1))).Aliases["champion"]
		c := &JudgeRollout{Model: thalweg.ModelName(word(1)), Alias: "champion", Verdict: rollout.Verdict{Outcome: word(2), Why: options["why"], Percent: uint32(number("percent", 0))}}
		if r := a.Rollout; r != nil {
			c.Salt, c.Judged = cmp.Or(options["salt"], r.Salt), number("judged", r.Judged)
			c.Verdict.Percent = uint32(number("percent", uint64(r.Percent())))
		}
		if options["value"] != "" {
			c.Verdict.Findings = []rollout.Finding{{Metric: rollout.ErrorRate, Value: float64(number("value", 0)), Outcome: word(2)}}
		}
		return c
	case "rollout":
		return &SetRollout{Pipeline: pipeline, Action: word(2)}
	case "promote":
		return &Promote{Model: thalweg.ModelName(word(1)), Alias: "champion", Version: thalweg.ModelVersion(number("version", 0))}
	case "schedule":
		return &SetSchedule{Pipeline: pipeline, Paused: word(2) == "pause"}
	case "stream":
		c := &SetStream{Pipeline: pipeline, Paused: word(2) == "pause"}
		if options["skip"] != "" {
			c.Skip = &SkipAuthorization{Partition: uint32(number("partition", 0)), TopicID: options["topic"], Accept: options["accept"]}
			if _, err := fmt.Sscanf(options["skip"], "%d-%d", &c.Skip.From, &c.Skip.To); err != nil {
				m.t.Fatal(err)
			}
		}
		return c
	case "trip":
		return &TripStream{Pipeline: pipeline, Partition: uint32(number("partition", 0)), Generation: thalweg.Generation(number("generation", 1)),
			Resumes: number("resumes", 0), Reason: options["reason"]}
	case "collect":
		c := &CollectVersions{Model: thalweg.ModelName(word(1))}
		for _, v := range words[2:] {
			n, err := strconv.ParseUint(v, 10, 64)
			if err != nil {
				m.t.Fatal(err)
			}
			c.Versions = append(c.Versions, thalweg.ModelVersion(n))
		}
		return c
	case "delete":
		return deletePipeline(pipeline, word(2) == "purge")
	case "token":
		return &CreateToken{Name: word(1), Hash: hashOf(cmp.Or(options["secret"], word(1))), Role: options["role"], Pipelines: words[2:],
			ExpiresMS: int64(number("expires", 0)), First: options["first"] != ""}
	case "revoke":
		return &RevokeToken{Name: word(1)}
	case "dropaudit":
		c := &DropAudit{Cluster: options["cluster"], Upto: audit.Head{Seq: number("upto", 0)}}
		for _, r := range m.live.AuditRecords() {
			if r.Seq == c.Upto.Seq {
				c.Upto.Hash = cmp.Or(options["hash"], r.Hash)
			}
		}
		return c
	case "partitions":
		return &SetPartitions{Pipeline: pipeline, Topic: options["topic"], Partitions: uint32(number("n", 0))}
	}
	return nil
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func deletePipeline(name thalweg.PipelineName, purge bool) *DeletePipeline {
	c := &DeletePipeline{Pipeline: name, Purge: purge}
	if purge {
		c.Stages, c.Arguments = []stages.Plan{{Name: "purge", Over: stages.OverTasks, Reducers: 1}}, map[string]string{"sink.1": "s3://lake/x/"}
	}
	return c
}

func describe(a Answer) string {
	if err := a.Err(); err != nil {
		return "refused: " + err.Error()
	}
	var parts []string
	add := func(name string, v any, zero bool) {
		if !zero {
			parts = append(parts, fmt.Sprintf("%s=%v", name, v))
		}
	}
	add("pipeline", a.Pipeline, a.Pipeline == "")
	add("generation", a.Generation, a.Generation == 0)
	add("run", a.Run, a.Run == "")
	add("job", a.Job, a.Job == "")
	add("previous", a.Previous, a.Previous == 0)
	add("version", a.Version, a.Version == 0)
	if a.Fenced {
		parts = append(parts, "fenced")
	}
	if a.Changed {
		parts = append(parts, "changed")
	}
	if len(parts) == 0 {
		return "no change"
	}
	return strings.Join(parts, " ")
}

// show prints a run with its stages and tasks, a model, or a stream.
func show(out *strings.Builder, s *State, words []string) {
	switch words[0] {
	case "run":
		r := s.Run(thalweg.RunID(words[1]))
		if r == nil {
			fmt.Fprintln(out, "no such run")
			return
		}
		fmt.Fprintf(out, "%s %s in %s", r.ID, r.State, r.Stage().Name)
		if r.Error != "" {
			fmt.Fprintf(out, ": %s", r.Error)
		}
		if r.Parent != nil {
			fmt.Fprintf(out, " from version %d, %s", r.Parent.Version, r.Parent.Checkpoint)
		}
		if r.Trigger != "" {
			fmt.Fprintf(out, " by %s, knows %q", r.Trigger, r.Known)
		}
		if r.Champion != nil && r.State == RunRunning {
			fmt.Fprintf(out, " beside version %d, %s", r.Champion.Version, r.Champion.Checkpoint)
		}
		for _, text := range r.Warnings {
			fmt.Fprintf(out, "\n  warning: %s", text)
		}
		fmt.Fprintln(out)
		for _, stage := range r.Stages[:r.At+1] {
			fmt.Fprintf(out, "  %s %s %d/%d rows=%d\n", stage.Name, stage.State, stage.Done, stage.Total, stage.Rows)
			if slices.Contains(words, "tasks") {
				for _, t := range stage.Tasks {
					fmt.Fprintf(out, "    %s\n", taskLine(t))
				}
			}
		}
		if slices.Contains(words, "results") {
			fmt.Fprintf(out, "  outputs=%v metrics=%v counts=%v version=%d\n", r.Outputs, r.Metrics, r.Counts, r.Version)
		}
	case "jobs":
		showJobs(out, s)
	case "model":
		m := s.Model(thalweg.ModelName(words[1]))
		if m == nil {
			fmt.Fprintln(out, "no such model")
			return
		}
		for _, v := range m.Versions {
			fmt.Fprintf(out, "version %d run=%s checkpoint=%s index=%d", v.Version, v.Run, v.Checkpoint, v.Index)
			if v.Parent > 0 {
				fmt.Fprintf(out, " parent=%d", v.Parent)
			}
			if v.Rejected != "" {
				out.WriteString(" rejected=" + v.Rejected)
			}
			if v.Retired {
				out.WriteString(" retired")
			}
			if v.Collected {
				out.WriteString(" collected")
			}
			fmt.Fprintln(out)
		}
		for name, a := range m.Aliases {
			fmt.Fprintf(out, "%s -> %d, before: %v\n", name, a.Version, a.Replaced)
			r := a.Rollout
			if r == nil {
				continue
			}
			fmt.Fprintf(out, "  rollout %s of %d beside %d: %d%% of %v, %d bad of %d verdicts", r.Salt, r.Candidate, r.Champion, r.Percent(), r.Steps, r.Failures, r.Judged)
			if r.Held {
				out.WriteString(", held")
			}
			fmt.Fprintln(out, "", r.Outcome, r.Why)
			for _, v := range r.Verdicts {
				fmt.Fprintf(out, "    %d%% %s %d times: %s\n", v.Percent, v.Outcome, v.Times, v.Why)
			}
		}
	case "stream":
		p := s.Pipeline(thalweg.PipelineName(words[1]))
		fmt.Fprintf(out, "scores=%v paused=%v", s.Scores(p), p.Paused)
		if p.PauseReason != "" {
			fmt.Fprintf(out, " because of %q", p.PauseReason)
		}
		fmt.Fprintln(out)
		for _, part := range p.Partitions {
			fmt.Fprintf(out, "  %s", taskLine(part.Task))
			if part.Grown {
				out.WriteString(" grown")
			}
			if k := part.Skip; k != nil {
				fmt.Fprintf(out, " skip=%d-%d of %q accept=%q", k.From, k.To, k.TopicID, k.Accept)
			}
			if part.Failures > 0 || part.Stopped != "" {
				fmt.Fprintf(out, " failures=%d stopped=%q", part.Failures, part.Stopped)
			}
			fmt.Fprintln(out)
		}
	case "timetable":
		p := s.Pipeline(thalweg.PipelineName(words[1]))
		if p.Timetable == nil {
			fmt.Fprintln(out, "none")
			return
		}
		fmt.Fprintf(out, "%+v\n", *p.Timetable)
		now, err := strconv.ParseInt(words[2], 10, 64)
		objects := ""
		if len(words) > 3 {
			objects = words[3]
		}
		if c := s.NextRun(p, now, objects); c != nil && err == nil {
			fmt.Fprintf(out, "is due: by time %d, queued %v, objects %q\n", c.DueMS, c.Queued, c.Objects)
		}
	case "collectable":
		fmt.Fprintln(out, s.Collectable(s.Model(thalweg.ModelName(words[1]))))
	case "deleted":
		for t := range s.Deleted() {
			fmt.Fprintf(out, "%s generation=%d purged=%v objects=%d bytes=%d\n", t.Pipeline, t.Generation, t.Purged, t.Objects, t.Bytes)
		}
	case "pipelines":
		for p := range s.Pipelines() {
			fmt.Fprintf(out, "%s generation=%d run=%s", p.Name, p.Newest().Generation, p.ActiveRun)
			if d := p.Deletion; d != nil {
				fmt.Fprintf(out, " deletion purge=%v failed=%q", d.Purge, d.Failed)
			}
			fmt.Fprintln(out)
		}
	case "audit":
		for _, r := range s.AuditRecords() {
			fmt.Fprintf(out, "%d at %d by %s: %s", r.Seq, r.Index, r.Caller.Name, r.Command)
			for _, text := range []string{r.Pipeline, r.Subject, r.Outcome} {
				if text != "" {
					fmt.Fprintf(out, " [%s]", text)
				}
			}
			fmt.Fprintln(out)
		}
		fmt.Fprintf(out, "head %d\n", s.AuditHead().Seq)
	case "tokens":
		for t := range s.Tokens() {
			fmt.Fprintf(out, "%s %s of %v, %d to %d\n", t.Name, t.Role, t.Pipelines, t.CreatedMS, t.ExpiresMS)
		}
	case "leases":
		for _, w := range s.Holders() {
			for _, t := range s.HeldBy(w) {
				fmt.Fprintf(out, "%s %s token=%d\n", w, t.ID, t.Token)
			}
		}
	}
}

func taskLine(t *Task) string {
	line := fmt.Sprintf("%s %s", t.ID, t.State)
	if t.Worker != "" {
		line += " by " + string(t.Worker)
	}
	if t.Token != 0 {
		line += fmt.Sprintf(" token=%d attempts=%d", t.Token, t.Attempts)
	}
	if t.Losses > 0 {
		line += fmt.Sprintf(" losses=%d", t.Losses)
	}
	for _, f := range t.Failures {
		line += fmt.Sprintf(" failed on %s (%s)", f.Worker, f.Error)
	}
	if t.Backup != nil {
		line += " [" + taskLine(t.Backup) + "]"
	}
	return line
}
