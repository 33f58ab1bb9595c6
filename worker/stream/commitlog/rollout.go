package commitlog

import (
	"unicode/utf8"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// Rollout is all that decides, besides an event, which of two versions scores it: that of the
// intent, the champion, or the candidate. The zero Rollout says that there is no candidate.
type Rollout struct {
	Candidate  thalweg.ModelVersion  `json:"candidate"`       // version of the same model
	Checkpoint thalweg.CheckpointRef `json:"checkpoint"`      // what it is, byte for byte
	Percent    uint32                `json:"percent"`         // its share, 1 to 100
	Salt       string                `json:"salt"`            // of the hash
	By         string                `json:"by,omitzero"`     // column of events that is hashed; empty: the record's key
	Shadow     bool                  `json:"shadow,omitzero"` // the candidate scores its share beside the champion, whose rows they are
}

// validate checks the rollout of an intent of a version.
func (r Rollout) validate(champion thalweg.ModelVersion, fail func(field, format string, args ...any) error) error {
	switch {
	case r == Rollout{}:
	case r.Candidate == 0 || r.Candidate == champion:
		return fail("rollout.candidate", "%d beside version %d", r.Candidate, champion)
	case r.Percent < 1 || r.Percent > 100:
		return fail("rollout.percent", "%d is not in 1..100", r.Percent)
	case !validName(r.Salt):
		return fail("rollout.salt", "must have 1 to %d bytes of UTF-8", MaxNameBytes)
	case len(r.By) > MaxNameBytes || !utf8.ValidString(r.By):
		return fail("rollout.by", "must have at most %d bytes of UTF-8", MaxNameBytes)
	case storage.ValidateKey(r.Checkpoint.Key) != nil || !hashPattern.MatchString(r.Checkpoint.SHA256):
		return fail("rollout.checkpoint", "%.60q is no reference", r.Checkpoint.String())
	}
	return nil
}
