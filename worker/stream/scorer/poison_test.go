package scorer

import (
	"strings"
	"testing"
)

func TestEveryEventBecomesOneRowOrOneDeadLetter(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	s := w.start(func(c *Config) { c.MaxEventBytes = 1 << 16 })
	events := map[int64]struct{ event, stage, reason string }{
		0:  {goodEvent(0), "", ""},
		1:  {`{"date":"2001-03-01 10:00:00","distance":500}`, "", ""},                                            // missing and nullable
		2:  {`{"date":"2001-03-01 10:00:00","distance":null,"origin":null,"extra":{"a":[1,2]}}`, "", ""},         // null and extra
		3:  {`{"distance":500,"origin":"A1"}`, "decode", "date"},                                                 // missing and not nullable
		4:  {`{"date":null,"distance":500}`, "decode", "date"},                                                   // null and not nullable
		5:  {`{"date":"2001-03-01 10:00:00","distance":"far"}`, "decode", "distance"},                            // of the wrong type
		6:  {`{"date":"2001-03-01 10:00:00","distance":1.5}`, "decode", "distance"},                              // no integer
		7:  {`{"date":"yesterday","distance":5}`, "decode", "date"},                                              // no time
		8:  {`not json`, "decode", ""},                                                                           //
		9:  {"{\"date\":\"2001-03-01 10:00:00\",\"origin\":\"\xff\xfe\"}", "decode", "origin"},                   // no UTF-8
		10: {`{"date":"2001-03-01 10:00:00","distance":200000}`, "2 filter", "distance"},                         // removed by an operator
		11: {``, "decode", ""},                                                                                   // empty
		12: {`{"date":"2001-03-01 10:00:00","x":` + strings.Repeat("[", 20_000) + `}`, "decode", ""},             // deep
		13: {`{"date":"2001-03-01 10:00:00","origin":"` + strings.Repeat("x", 200_000) + `"}`, "decode", "2000"}, // large
		14: {`{"date":"2001-03-01 10:00:00","distance":1e400}`, "decode", "distance"},                            // overflow
		15: {`{"date":"2001-03-01 10:00:00","delay":"soon","distance":7,"origin":"a1"}`, "", ""},                 // ill-typed, but not there in scoring
		16: {goodEvent(16), "", ""},
	}
	for i := range int64(len(events)) {
		w.produce(events[i].event)
	}
	s.waitCommitted(int64(len(events)))
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	w.judge()
	rows, letters := w.read(0)
	for offset, e := range events {
		row, scored := rows[offset]
		letter, dead := letters[offset]
		if scored == dead {
			t.Errorf("offset %d: scored %v, dead %v", offset, scored, dead)
		}
		if scored != (e.stage == "") {
			t.Errorf("offset %d (%.60s): scored %v: %+v", offset, e.event, scored, letter.Reason)
			continue
		}
		if dead && (letter.Stage != e.stage || !strings.Contains(letter.Reason, e.reason) || letter.SizeBytes != len(e.event) ||
			!strings.HasPrefix(e.event, string(letter.Raw)) || letter.Truncated != (len(e.event) > 1<<16) || letter.SpecGeneration != 2 || letter.ModelVersion != 1) {
			t.Errorf("offset %d: stage %q, reason %q, size %d, raw %.40q", offset, letter.Stage, letter.Reason, letter.SizeBytes, letter.Raw)
		}
		if scored && (row.cells["_topic"] != topic || row.cells["_partition"] != "0" || row.cells["_spec_generation"] != "2" || row.cells["probability"] == "") {
			t.Errorf("offset %d: %v", offset, row.cells)
		}
	}
	if got := rows[16].cells["origin"]; got != "A2" {
		t.Errorf("origin %q is not cleaned", got)
	}
}
