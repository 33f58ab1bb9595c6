package stages

import "fmt"

// What the worker of a job reports of its answer: an output, and a count.
const (
	AnswerSHA256 = "answer_sha256" // in hex
	AnswerBytes  = "answer_bytes"
)

// An answer lies in the state bucket in parts of AnswerPartBytes, the last of which may be
// shorter: what a coordinator passes on at once without being hurt. It has MaxAnswerBytes
// at most: rows that somebody looks at, not a dataset.
const (
	AnswerPartBytes = 1 << 20
	MaxAnswerBytes  = 1 << 30
)

// JobsDir is the folder of the state bucket with a folder for each job.
const JobsDir = "jobs/"

// AnswerPart returns the key of a part of what a job answered. Each attempt has a folder of
// its own, by its token, so that one that was taken for lost writes over nothing.
func AnswerPart(job string, token uint64, part int64) string {
	return fmt.Sprintf("%s%s/%d/%06d", JobsDir, job, token, part)
}
