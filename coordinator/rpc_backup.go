package coordinator

import (
	"context"
	"errors"
	"fmt"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/backup"
	"github.com/thalweg/thalweg/coordinator/state"
)

// maxBackupBytes bounds a backup, with room for the rest of the message.
const maxBackupBytes = api.MaxMessageBytes - 1<<10

// Backup answers with all that the cluster knows, as of now.
func (s *service) Backup(context.Context, *apiv1.BackupRequest) (*apiv1.BackupResponse, error) {
	resp := &apiv1.BackupResponse{}
	var failed error
	err := s.c.read(func(st *state.State) {
		resp.AppliedIndex = st.Index()
		resp.Backup, failed = backup.Write(st)
	})
	if err := errors.Join(err, failed); err != nil {
		return nil, err
	}
	if len(resp.Backup) > maxBackupBytes {
		return nil, &thalweg.Error{Op: "backup", Kind: thalweg.Exhausted, Subject: fmt.Sprintf("%d bytes", len(resp.Backup)),
			Hint: fmt.Sprintf("a backup may have %d MiB: copy the directory of a coordinator that is stopped", api.MaxMessageBytes>>20)}
	}
	return resp, nil
}
