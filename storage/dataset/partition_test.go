package dataset

import (
	"fmt"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
)

// Folders whose names only look like columns, as base64 does, do not make columns without
// end.
func TestColumnsOfFoldersAreBounded(t *testing.T) {
	var m Manifest
	for i := range maxPartitions {
		m.Objects = append(m.Objects, Object{Key: fmt.Sprintf("k%d=/p", i)})
	}
	if err := m.partitioned(); err != nil || len(m.Partitions) != maxPartitions {
		t.Errorf("%d columns, %v", len(m.Partitions), err)
	}
	m.Objects, m.Partitions = append(m.Objects, Object{Key: "YWJj=/p"}), nil
	if err := m.partitioned(); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), "folder YWJj= ") {
		t.Errorf("%v", err)
	}
}
