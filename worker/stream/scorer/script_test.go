package scorer

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
	"github.com/thalweg/thalweg/worker/stream/machine"
)

var rewrite = flag.Bool("rewrite", false, "write what the machine does into the scripts")

// TestScripts plays testdata/*.txt: each block is an event and the effects that
// it must have. Write them anew with -rewrite, and read the difference.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := playScript(t, string(data))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(data) {
				t.Errorf("%s: the machine does otherwise:\n%s", file, got)
			}
		})
	}
}

// script is a machine and the words for it.
type script struct {
	m   *partition
	now machine.Instant
}

// playScript returns the script with the effects that its events have.
func playScript(t *testing.T, text string) string {
	s := &script{now: machine.Instant{Mono: time.Hour, Wall: 1_000_000}}
	s.m = newPartition(Config{Generation: 1, Batching: Limits{Count: 10, Bytes: 1000, Period: 5 * time.Millisecond},
		Rolling: Limits{Count: 30, Bytes: 5000, Period: time.Second}, BacklogBytes: 2000, MaxDeadRate: 0.05,
		MinBackoff: 100 * time.Millisecond, MaxBackoff: 10 * time.Second}, rand.New(rand.NewPCG(1, 1)))
	s.m.cfg.OnLost, s.m.cfg.Pipeline, s.m.cfg.Partition = Fail, "p", 3
	var out strings.Builder
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		var command string
		for line := range strings.Lines(block) {
			if strings.HasPrefix(line, "#") {
				out.WriteString(line)
				continue
			}
			if command = strings.TrimSpace(line); command != "" {
				break
			}
		}
		if command != "" {
			fmt.Fprintf(&out, "%s\n", command)
			for _, line := range s.do(t, command) {
				fmt.Fprintf(&out, "  %s\n", line)
			}
		}
		out.WriteString("\n")
	}
	return strings.TrimRight(out.String(), "\n") + "\n"
}

// do carries a command out: "name key=value …". "after=20ms" lets time pass
// before it.
func (s *script) do(t *testing.T, command string) []string {
	words := strings.Fields(command)
	args := make(map[string]string)
	for _, w := range words[1:] {
		k, v, _ := strings.Cut(w, "=")
		args[k] = v
	}
	number := func(key string, fallback int64) int64 {
		if v, ok := args[key]; ok {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				t.Fatalf("%s: %v", command, err)
			}
			return n
		}
		return fallback
	}
	if after, ok := args["after"]; ok {
		d, err := time.ParseDuration(after)
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		s.now.Mono += d
		s.now.Wall += d.Microseconds()
	}
	var err error
	if kind, ok := args["err"]; ok {
		kinds := map[string]thalweg.Kind{"unavailable": thalweg.Unavailable, "corrupt": thalweg.Corrupt, "lost": thalweg.Lost, "notfound": thalweg.NotFound,
			"canceled": thalweg.Canceled, "conflict": thalweg.Conflict, "invalid": thalweg.Invalid}
		k, known := kinds[kind]
		if !known {
			t.Fatalf("%s: unknown error", command)
		}
		err = &thalweg.Error{Op: "do it", Kind: k}
	}
	word := func(key string, fallback string) string {
		if v, ok := args[key]; ok {
			return strings.TrimPrefix(v, "none")
		}
		return fallback
	}
	if lost, ok := args["missing"]; ok {
		m := &connectors.MissingRange{Topic: "t", Was: word("was", ""), Is: word("is", ""), First: number("first", 0), Next: number("end", 0), Cut: args["cut"] != ""}
		fmt.Sscanf(lost, "[%d,%d)", &m.From, &m.To)
		err = &thalweg.Error{Op: "fetch", Kind: thalweg.Lost, Err: m}
	}
	epoch := uint64(number("epoch", int64(s.m.epoch)))
	term := int32(number("term", 0))
	var ev event
	switch words[0] {
	case "opened":
		o := logOpened{State: commitlog.State{LeaderEpoch: term, NextOffset: number("next", -1), LostFrom: number("lost-from", number("next", -1))}, err: err}
		if o.NextOffset >= 0 {
			o.TopicID = word("topic", "T1")
		}
		if claim, ok := args["pending"]; ok {
			in := &commitlog.Intent{ID: "claim", Model: "m", SpecGeneration: 7, ScoredAtUS: 5, TopicID: word("topic", "T1"), LeaderEpoch: int32(number("claim-term", 0))}
			if rest, skip := strings.CutPrefix(claim, "skip"); skip {
				in.Model, in.Action = "", commitlog.Skip
				fmt.Sscanf(rest, "[%d,%d)", &in.From, &in.To)
				in.Missing = [2]int64{in.From, number("lost", in.To)}
			} else {
				fmt.Sscanf(claim, "[%d,%d)/%d", &in.From, &in.To, &in.ModelVersion)
			}
			o.Pending = in
		}
		ev = o
	case "found":
		ev = startFound{number("offset", 0), word("topic", "T1"), err}
	case "offer":
		var candidates []engine.Candidate
		for v := range strings.SplitSeq(args["versions"], ",") {
			if n, err := strconv.Atoi(v); err == nil {
				candidates = append(candidates, engine.Candidate{Model: scriptModel(n), RegisteredAtUS: int64(n)})
			}
		}
		ev = modelsOffered{candidates}
	case "loaded":
		ev = modelLoaded{scriptModel(int(number("version", 0))), err, s.m.slots.claim != nil}
	case "fetched":
		n := number("records", 0)
		ev = recordsFetched{epoch: epoch, records: int(n), bytes: number("bytes", 10*n), next: number("next", s.m.source.position+n), leaderEpoch: term, end: number("end", -1), err: err}
	case "scored":
		n := number("records", 0)
		to := s.m.slots.scoredTo() + n
		ev = batchScored{epoch: epoch, records: int(n), bytes: number("bytes", 10*n), to: number("to", to), leaderEpoch: term, dead: int(number("dead", 0)), gaps: int(number("gaps", 0)), needsRefetch: args["unasked"] != "", err: err}
	case "claimed":
		ev = slotClaimed{args["won"] != "no", err}
	case "published":
		ev = objectsPublished{adopted: int(number("adopted", 0)), cut: args["cut"] != "", err: err}
	case "delivered":
		ev = deadLettersDelivered{err}
	case "finished":
		f := slotFinished{err: err}
		f.entry.Intent.LeaderEpoch = term
		fmt.Sscanf(word("lost", ""), "[%d,%d)", &f.entry.Done.Lost[0], &f.entry.Done.Lost[1])
		ev = f
	case "offset-committed":
		ev = offsetCommitted{err}
	case "tick":
		ev = ticked{}
	case "pause":
		ev = asked{paused: true, skip: s.m.loss.authorized}
	case "unpause":
		ev = asked{skip: s.m.loss.authorized}
	case "resume":
		ev = asked{paused: s.m.paused, resumed: true, skip: s.m.loss.authorized}
	case "policy":
		s.m.cfg.OnLost = words[1]
		return nil
	case "outbox":
		s.m.cfg.Outbox = shutOutbox{}
		return nil
	case "until":
		s.m.until = number("offset", 0)
		s.m.cfg.Range = &Range{To: s.m.until, ScoredAtUS: number("at", 0)}
		return nil
	case "say":
		w := SkipAuthorization{TopicID: word("topic", "T1"), Accept: word("accept", "")}
		fmt.Sscanf(args["skip"], "%d-%d", &w.From, &w.To)
		ev = asked{paused: s.m.paused, skip: w}
	case "drain":
		ev = drainAsked{}
	default:
		t.Fatalf("%s: unknown event", command)
	}
	if o, answer := answers(ev); answer && !s.m.Busy(o) {
		return []string{"no " + o.String() + " is under way"}
	}
	var lines []string
	for _, e := range s.m.step(s.now, ev) {
		lines = append(lines, scriptEffect(e))
		if c, ok := e.(commit); ok && c.stage == opPublish && c.job.(*span).firstAvailable > c.job.(*span).from {
			lines[len(lines)-1] += fmt.Sprintf(", of which the topic has what is from %d on", c.job.(*span).firstAvailable)
		}
	}
	if message := s.m.message(); slices.Contains(words, "message") {
		lines = append(lines, "message: "+message)
	}
	if slices.Contains(words, "wake") {
		if at, ok := s.m.wake(); ok {
			lines = append(lines, "wake in "+(at-s.now.Mono).String())
		} else {
			lines = append(lines, "wake never")
		}
	}
	return lines
}

// answers returns the op that an event answers.
func answers(ev event) (op, bool) {
	switch ev.(type) {
	case logOpened:
		return opOpen, true
	case startFound:
		return opStart, true
	case modelLoaded:
		return opLoad, true
	case recordsFetched:
		return opFetch, true
	case batchScored:
		return opScore, true
	case slotClaimed:
		return opClaim, true
	case objectsPublished:
		return opPublish, true
	case deadLettersDelivered:
		return opDeliver, true
	case slotFinished:
		return opFinish, true
	case offsetCommitted:
		return opCommit, true
	}
	return 0, false
}

func scriptModel(version int) engine.Model {
	return engine.Model{Name: "m", Version: thalweg.ModelVersion(version)}
}

// scriptTerm says in whose term the last record before an offset was written.
func scriptTerm(leaderEpoch int32) string {
	if leaderEpoch == 0 {
		return ""
	}
	return fmt.Sprintf(" after term %d", leaderEpoch)
}

// scriptEffect prints an effect.
func scriptEffect(e effect) string {
	switch e := e.(type) {
	case openLog:
		return "open log"
	case findStart:
		if e.at >= 0 {
			return fmt.Sprintf("find topic of %d", e.at)
		}
		return "find start"
	case loadModel:
		return "load " + e.model.String()
	case fetch:
		if e.topicID != "T1" {
			return fmt.Sprintf("fetch from %d of topic %q", e.from, e.topicID)
		}
		return fmt.Sprintf("fetch from %d%s", e.from, scriptTerm(e.leaderEpoch))
	case cancelFetch:
		return "cancel fetch"
	case score:
		upTo := ""
		if e.cut.UpTo >= 0 {
			upTo = fmt.Sprintf(", up to %d", e.cut.UpTo)
		}
		return fmt.Sprintf("score from %d with %s into span %d: at most %d records, %d bytes, %d gaps%s, generation %d",
			e.cut.From, e.span.model, e.span.id, e.cut.Count, e.cut.Bytes, e.cut.Gaps, upTo, e.span.generation)
	case refetch:
		return fmt.Sprintf("refetch, epoch %d", e.epoch)
	case reset:
		return fmt.Sprintf("reset, epoch %d", e.epoch)
	case commit:
		s := e.job.(*span)
		switch {
		case e.stage == opPublish:
			return fmt.Sprintf("publish span %d", s.id)
		case e.stage == opDeliver:
			return fmt.Sprintf("deliver dead letters of span %d", s.id)
		case e.stage == opFinish:
			return fmt.Sprintf("finish span %d", s.id)
		case s.skip:
			return fmt.Sprintf("claim a skip of [%d, %d) to %d of topic %s at %d for span %d", s.missing[0], s.missing[1], s.to, s.topicID, s.scoredAt, s.id)
		}
		return fmt.Sprintf("claim [%d, %d)%s with %s at %d for span %d", s.from, s.to, scriptTerm(s.leaderEpoch), s.model, s.scoredAt, s.id)
	case release:
		return fmt.Sprintf("forget span %d", e.job.(*span).id)
	case commitOffset:
		return fmt.Sprintf("commit offset %d", e.next)
	case stop:
		var err *thalweg.Error
		if errors.As(e.err, &err) {
			return "stop: " + err.Error()
		}
		return "stop"
	}
	return fmt.Sprintf("%T", e)
}
