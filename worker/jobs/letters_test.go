package jobs

import (
	"fmt"
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

func TestDeadLettersAreCountedByReasonWhateverTheNumbersInThem(t *testing.T) {
	c := newLetterCounts("p")
	for i := range int64(100) {
		c.add(letterOf(i, "decode", fmt.Sprintf("field \"d\": found text at byte %d", i), "abc"))
	}
	replayed := letterOf(100, "2 filter", "far", "abcdef")
	replayed.Replayed = &deadletter.ReplayedBy{ModelVersion: 4}
	again := letterOf(101, "2 filter", "far", "")
	again.Replays, again.Last = 2, &deadletter.LastReplay{ModelVersion: 4, Reason: "still far"}
	c.add(replayed)
	c.add(again)
	c.finish(1)
	if c.Events != 102 || c.Again != 1 || c.Replayed != 1 || c.Bytes != 306 || c.Others != 2 || len(c.Reasons) != 1 {
		t.Fatalf("%+v", c)
	}
	if r := c.Reasons[0]; r.Events != 100 || r.Reason != `field "d": found text at byte #` || r.First != "1:0" || r.Last != "1:99" {
		t.Errorf("%+v", r)
	}
}

func TestReasonsOfDeadLettersKeepWhatIsNoPlace(t *testing.T) {
	for _, c := range [][3]string{
		{"decode", `field "distance": want int64, found string at byte 12`, `field "distance": want int64, found string at byte #`},
		{"decode", `field "pixel 12": want timestamp (rfc3339, 2006-01-02 15:04:05), found string at byte 12`,
			`field "pixel 12": want timestamp (rfc3339, 2006-01-02 15:04:05), found string at byte #`},
		{"decode", "UTF-16 (RFC 2781) is not read, byte 7; write 2006-01-02, 15 of 20", "UTF-16 (RFC 2781) is not read, byte #; write 2006-01-02, # of #"},
		{"1 filter", "1 filter: distance < 1000", "1 filter: distance < 1000"},
	} {
		if got := reasonClass(letterOf(1, c[0], c[1], "")); got != c[2] {
			t.Errorf("%s: %s", c[0], got)
		}
	}
}

func TestReasonsThatAreNoiseDoNotGrowWithoutBound(t *testing.T) {
	c := newLetterCounts("p")
	for i := range int64(2 * maxReasons) {
		c.add(letterOf(i, "decode", strings.Map(func(r rune) rune { return r + 'a' - '0' }, fmt.Sprint(i)), ""))
	}
	c.finish(10)
	if len(c.byReason) != maxReasons || c.Events != 2*maxReasons || c.Others != 2*maxReasons-10 {
		t.Errorf("%d reasons, %d events, %d others", len(c.byReason), c.Events, c.Others)
	}
}
