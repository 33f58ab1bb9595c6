package jobs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/storage/memory"
)

// TestAnAnswerLiesInPartsOfOneSize, however it was written.
func TestAnAnswerLiesInPartsOfOneSize(t *testing.T) {
	for _, size := range []int{0, 1, stages.AnswerPartBytes, 2*stages.AnswerPartBytes + 17} {
		b := memory.New()
		a := answer{ctx: t.Context(), bucket: b, job: "p-j7", token: 9, sum: sha256.New()}
		want := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 700_001)
			if _, err := a.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := a.flush(); err != nil {
			t.Fatal(err)
		}
		var got []byte
		for part := int64(0); int(part)*stages.AnswerPartBytes < size; part++ {
			body, _, err := b.Get(t.Context(), stages.AnswerPart("p-j7", 9, part))
			if err != nil {
				t.Fatal(err)
			}
			if len(body) != min(stages.AnswerPartBytes, size-len(got)) {
				t.Errorf("part %d of %d bytes has %d", part, size, len(body))
			}
			got = append(got, body...)
		}
		if !bytes.Equal(got, want) || a.size != int64(size) || fmt.Sprintf("%x", a.sum.Sum(nil)) != fmt.Sprintf("%x", sha256.Sum256(want)) {
			t.Errorf("an answer of %d bytes is %d bytes", size, len(got))
		}
	}
}

// TestAnAnswerIsBounded: a job that answers for ever fails, on any worker.
func TestAnAnswerIsBounded(t *testing.T) {
	a := answer{ctx: t.Context(), bucket: memory.New(), job: "p-j7", sum: sha256.New(), size: stages.MaxAnswerBytes}
	if _, err := a.Write([]byte("x")); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("a byte too many: %v", err)
	}
}

// FuzzParametersAreReadOrRefused by each kind with parameters of its own.
func FuzzParametersAreReadOrRefused(f *testing.F) {
	for _, text := range []string{``, `{}`, `{"head":5}`, `{"head":"five"}`, `{"at":"s3://lake/x/"}`, `{"partition":1,"offset":-3,"event":"aGk="}`, `{"other":1}`, `[`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for name, read := range map[string]func(context.Context, *Job) error{
			"fsck":    with(func(context.Context, *Job, Fsck) error { return nil }),
			"results": with(func(context.Context, *Job, Results) error { return nil }),
			"lineage": with(func(context.Context, *Job, Lineage) error { return nil }),
			"diff":    with(func(context.Context, *Job, Diff) error { return nil }),
			"replay":  with(func(context.Context, *Job, Replay) error { return nil }),
			"letters": with(func(context.Context, *Job, Letters) error { return nil }),
		} {
			if err := read(t.Context(), &Job{parameters: text}); err != nil && !thalweg.Is(err, thalweg.Invalid) {
				t.Errorf("%s of %q: %v", name, text, err)
			}
		}
	})
}
