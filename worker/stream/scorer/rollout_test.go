package scorer

import (
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg/pipeline/rollout"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/compact"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// offerRollout makes a version the candidate of a rollout beside another.
func (w *world) offerRollout(champion, candidate int, pin commitlog.Rollout) engine.Model {
	w.t.Helper()
	both, to := w.versions[champion], w.versions[candidate]
	pin.Candidate, pin.Checkpoint = to.Version, to.Checkpoint
	both.Rollout, both.RegisteredAtUS = pin, max(both.RegisteredAtUS, to.RegisteredAtUS)
	w.registry.Offer([]engine.Candidate{both, w.versions[champion]})
	return both.Model
}

// TestACanaryScoresItsShareFromTheNextBatchOn: step by step, by whoever owns the partition, and
// not at all once it is rolled back.
func TestACanaryScoresItsShareFromTheNextBatchOn(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	w.register(2)
	var tallies engine.Tallies
	start := func() *active { return w.start(func(c *Config) { c.Tally = tallies.Of }) }
	s := start()
	scored := int64(0)
	score := func(n int) {
		w.produceGood(int(scored), n)
		scored += int64(n)
		s.waitCommitted(scored)
	}
	score(300)
	pins := make(map[int64]commitlog.Rollout) // by the first offset
	for _, percent := range []uint32{10, 60} {
		pin := commitlog.Rollout{Percent: percent, Salt: "a", By: "origin"}
		m := w.offerRollout(1, 2, pin)
		s.wait("the step", func(s Status) bool { return s.Model == m })
		pins[scored] = m.Rollout
		score(700)
		if err := s.stop(); err != nil { // somebody else goes on
			t.Fatal(err)
		}
		s = start()
		score(700)
		if arms, _ := tallies.Of(m).Counts(); arms[rollout.Champion].Events+arms[rollout.Candidate].Events != 1400 || arms[rollout.Candidate].Events == 0 {
			t.Errorf("at %d %%: %d and %d events are counted", percent, arms[rollout.Champion].Events, arms[rollout.Candidate].Events)
		}
	}
	back := w.versions[1]
	w.registry.Offer([]engine.Candidate{back})
	s.wait("the champion alone", func(s Status) bool { return s.Model == back.Model })
	pins[scored] = commitlog.Rollout{}
	score(100)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	v := w.judge()
	rows, _ := w.read(0)
	both := [3]int64{}
	for offset := range scored {
		pin := commitlog.Rollout{}
		for from, p := range pins {
			if from <= offset && (pin == commitlog.Rollout{} || p.Percent > pin.Percent || p.Percent == 0) {
				pin = p
			}
		}
		if offset >= scored-100 {
			pin = commitlog.Rollout{}
		}
		want := int64(1)
		if pin.Percent > 0 && rollout.NewHash("a").Text("a"+rows[offset].cells["origin"][1:]).Arm(pin.Percent) == rollout.Candidate {
			want = 2
		}
		if rows[offset].version != want {
			t.Fatalf("offset %d of %s is scored by version %d, at %d %% it is of %d", offset, rows[offset].cells["origin"], rows[offset].version, pin.Percent, want)
		}
		both[want]++
	}
	if both[1] == 0 || both[2] == 0 || v.RowsByModel["flight-delays 1"] != both[1] || v.RowsByModel["flight-delays 2"] != both[2] {
		t.Errorf("rows by model: %v, %v were read", v.RowsByModel, both)
	}
}

// TestACandidateThatCannotBeLoadedLeavesTheChampionAlone, and says why.
func TestACandidateThatCannotBeLoadedLeavesTheChampionAlone(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	bad := w.register(2)
	for info, err := range w.state.List(t.Context(), "checkpoints/2", "") {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.state.Put(t.Context(), info.Key, []byte("damaged")); err != nil {
			t.Fatal(err)
		}
	}
	m := w.offerRollout(1, int(bad.Version), commitlog.Rollout{Percent: 50, Salt: "a"})
	s := w.start()
	w.produceGood(0, 200)
	s.waitCommitted(200)
	status := s.wait("the refusal", func(s Status) bool { return len(s.Refusals) == 1 })
	if status.Refusals[0].Model != m || status.Model != w.versions[1].Model {
		t.Errorf("%v scores, %v is refused", status.Model, status.Refusals)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	delete(w.versions, 2)
	w.judge()
}

// TestAShadowScoresBesideTheChampion: its answers are columns of the champion's rows.
func TestAShadowScoresBesideTheChampion(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	w.register(2)
	w.offerRollout(1, 2, commitlog.Rollout{Percent: 100, Salt: "a", Shadow: true})
	s := w.start()
	w.produceGood(0, 300)
	s.waitCommitted(300)
	w.promote(2)
	s.wait("version 2", func(s Status) bool { return s.Model.Version == 2 })
	w.produceGood(0, 300) // the same events again
	s.waitCommitted(600)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	w.judge()
	rows, _ := w.read(0)
	for offset := range int64(300) {
		row, alone := rows[offset], rows[offset+300]
		if row.version != 1 || row.cells["_shadow_version"] != "2" || row.cells["_shadow_probability"] != alone.cells["probability"] || alone.cells["_shadow_version"] != "" {
			t.Fatalf("offset %d: %v, by version 2 alone %v", offset, row, alone)
		}
	}
}

// TestFilesOfARolloutAreMergedWithOthers: each row stays that of the version that scored it.
func TestFilesOfARolloutAreMergedWithOthers(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	w.register(2)
	s := w.start(func(c *Config) { c.Compaction = compact.Config{MinFiles: 4, Retention: time.Millisecond} })
	w.trickle(s, 0, 60, 10)
	m := w.offerRollout(1, 2, commitlog.Rollout{Percent: 50, Salt: "a", By: "origin"})
	s.wait("the rollout", func(s Status) bool { return s.Model == m })
	w.trickle(s, 60, 60, 10)
	w.untilFew(s, 6)
	w.registry.Offer([]engine.Candidate{w.versions[1]})
	s.wait("the champion alone", func(s Status) bool { return s.Model == w.versions[1].Model })
	w.trickle(s, 120, 60, 10)
	w.untilFew(s, 6)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	w.judge()
	rows, _ := w.read(0)
	for offset := range int64(180) {
		want := int64(1)
		if offset >= 60 && offset < 120 && rollout.NewHash("a").Text("a"+rows[offset].cells["origin"][1:]).Arm(50) == rollout.Candidate {
			want = 2
		}
		if rows[offset].version != want {
			t.Fatalf("offset %d is of version %d, and was scored by %d", offset, rows[offset].version, want)
		}
	}
}

// breakVersion has the code of a version fail on every row, for as long as the registry keeps it.
func (w *world) breakVersion(version int) {
	w.t.Helper()
	a, err := w.registry.Load(w.t.Context(), w.versions[version].Model)
	if err != nil {
		w.t.Fatal(err)
	}
	a.Params = a.Params[:1]
}

// TestACandidateThatCannotScoreLeavesTheStreamToTheChampion: in a canary and in a shadow, and
// says why.
func TestACandidateThatCannotScoreLeavesTheStreamToTheChampion(t *testing.T) {
	for _, shadow := range []bool{false, true} {
		w := newWorld(t, 1)
		w.promote(1)
		w.register(2)
		w.breakVersion(2)
		m := w.offerRollout(1, 2, commitlog.Rollout{Percent: 50, Salt: "a", Shadow: shadow})
		s := w.start()
		s.wait("the rollout", func(s Status) bool { return s.Model == m })
		w.produceGood(0, 300)
		s.waitCommitted(300)
		status := s.wait("the refusal", func(s Status) bool { return len(s.Refusals) == 1 })
		if r := status.Refusals[0]; r.Model != m || r.Champion || !strings.Contains(r.Reason, "panicked") || status.Model != w.versions[1].Model || status.DeadLetters > 1 {
			t.Errorf("shadow %v: %v scores, %+v, %d dead letters", shadow, status.Model, status.Refusals, status.DeadLetters)
		}
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDeadLettersOfACandidateDoNotStopTheStream: its rate is its own.
func TestDeadLettersOfACandidateDoNotStopTheStream(t *testing.T) {
	m := newPartition(Config{MaxDeadRate: 0.05}, nil)
	of := engine.Model{Name: "m", Version: 1, Rollout: commitlog.Rollout{Candidate: 2, Percent: 25, Salt: "a"}}
	for range 20 {
		m.slots.open = &span{model: of, limit: -1}
		m.Begin(opScore)
		m.onScored(batchScored{records: 100, dead: 20, candidate: [2]int{25, 20}})
		m.slots.open = nil
	}
	if r, bad := m.versions.refused[of]; m.rate.tripped != "" || !bad || !strings.Contains(r.why, "more than max_rate 5%") {
		t.Errorf("tripped %q, refused %+v", m.rate.tripped, r)
	}
}

// TestAChampionThatCannotBeLoadedIsNoFaultOfTheCandidate.
func TestAChampionThatCannotBeLoadedIsNoFaultOfTheCandidate(t *testing.T) {
	for arm, version := range []string{"1", "2"} {
		w := newWorld(t, 1)
		w.register(1)
		w.register(2)
		for info, err := range w.state.List(t.Context(), "checkpoints/"+version, "") {
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.state.Put(t.Context(), info.Key, []byte("damaged")); err != nil {
				t.Fatal(err)
			}
		}
		w.offerRollout(1, 2, commitlog.Rollout{Percent: 50, Salt: "a"})
		status := w.start().wait("the refusal", func(s Status) bool { return len(s.Refusals) > 0 })
		if r := status.Refusals[0]; !r.Model.InRollout() || r.Champion != (arm == rollout.Champion) {
			t.Errorf("version %s is damaged: %+v", version, r)
		}
	}
}
