package state

import (
	"fmt"

	"github.com/thalweg/thalweg"
)

// NoteRestore notes in the audit log that the state before it came of a backup.
type NoteRestore struct {
	SHA256 string `json:"sha256"` // of the backup
}

func (*NoteRestore) name() string { return "restore" }

func (c *NoteRestore) concerns(Answer) (thalweg.PipelineName, string) {
	return "", fmt.Sprintf("backup with sha256 %.64s", c.SHA256)
}

func (*NoteRestore) apply(*State) Answer { return Answer{Changed: true} }
