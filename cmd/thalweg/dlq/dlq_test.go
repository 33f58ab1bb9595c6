package dlq

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/worker/stream/deadletter"
)

func letterOf(offset int64, stage, reason, text string) *deadletter.Letter {
	l := &deadletter.Letter{}
	l.Partition, l.Offset, l.Stage, l.Reason, l.SizeBytes, l.Raw, l.ModelVersion = 1, offset, stage, reason, len(text), []byte(text), 3
	l.Text = &text
	return l
}

func TestADeadLetterPrintsInEveryFormat(t *testing.T) {
	l := letterOf(7, "decode", "bad\nnews", "\x1b[2Jevil\tevent")
	l.Replays, l.Last = 1, &deadletter.LastReplay{ModelVersion: 4, Reason: "still bad"}
	out := func(format string) string {
		var b bytes.Buffer
		p, err := newLetterPrinter(format, &b)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := p.print(l); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.flush(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if table := out("table"); strings.ContainsRune(table, 0x1b) || strings.Count(table, "\n") != 3 || !strings.Contains(table, "bad news") || !strings.Contains(table, "failed 1 times, last by version 4") {
		t.Errorf("%q", table)
	}
	lines := strings.Split(strings.TrimSpace(out("json")), "\n")
	var back deadletter.Letter
	if err := json.Unmarshal([]byte(lines[1]), &back); err != nil || len(lines) != 2 || string(back.Raw) != *l.Text || back.Last.Reason != "still bad" {
		t.Errorf("%v: %s", err, lines)
	}
	if yaml := out("yaml"); strings.Count(yaml, "---\n") != 2 || !strings.Contains(yaml, "offset: 7") {
		t.Errorf("%s", yaml)
	}
	if _, err := newLetterPrinter("xml", nil); err == nil {
		t.Error("xml is printed")
	}
}
