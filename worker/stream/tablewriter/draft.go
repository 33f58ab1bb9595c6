package tablewriter

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/storage/table/delta"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// draft is the columns of the table as the next version will have them.
type draft struct {
	snapshot   *delta.Snapshot
	schema     delta.Schema
	partitions []string
	changed    bool
	begun      bool // it has columns
}

func newDraft(s *delta.Snapshot) *draft {
	return &draft{snapshot: s, schema: s.Schema, partitions: s.Metadata.PartitionColumns, begun: s.Exists()}
}

// admit takes in the columns of a file, and returns the values of the partition
// columns for its rows. An error says why the file cannot be in the table.
func (d *draft) admit(partitionBy, key string, file delta.Schema) (map[string]*string, error) {
	var partitions []string
	if partitionBy != "" {
		partitions = []string{commitlog.PartitionColumn(partitionBy)}
	}
	if !d.begun {
		d.begun, d.changed, d.partitions = true, true, partitions
		for _, name := range partitions {
			d.schema = append(d.schema, delta.Field{Name: name, Type: delta.Date, Nullable: true})
		}
	}
	if !slices.Equal(d.partitions, partitions) {
		return nil, &thalweg.Error{Op: "add to table", Kind: thalweg.Conflict, Subject: key,
			Err:  fmt.Errorf("its rows are partitioned by %v, the table by %v", partitions, d.partitions),
			Hint: "a table keeps its partitioning: give the pipeline a new sink path, or take partition_by back"}
	}
	schema, changed, err := d.schema.With(file, len(d.partitions))
	if err != nil {
		return nil, err
	}
	d.schema, d.changed = schema, d.changed || changed
	values := map[string]*string{}
	for _, name := range d.partitions {
		values[name] = dayOfKey(key, name)
	}
	return values, nil
}

// actions returns the actions that make the table, or change its columns.
func (d *draft) actions(nowMS int64, newID func() string) []delta.Action {
	if !d.changed {
		return nil
	}
	if d.snapshot.Exists() {
		metadata := d.snapshot.Metadata
		metadata.SchemaString = d.schema.String()
		return []delta.Action{{Metadata: &metadata}}
	}
	return delta.Create(newID(), d.schema, d.partitions, nowMS)
}

// fileOf returns what a table says of a file with the given footer. Of its
// statistics that is the rows alone: a reader may take a column that lacks bounds
// where others have them for one that no filter matches, and floats, in whose
// bounds NaNs have no place, cannot have any.
func fileOf(s *dataset.Summary) (*file, error) {
	schema, err := delta.SchemaOf(s.Schema)
	if err != nil {
		return nil, err
	}
	return &file{schema: schema, stats: fmt.Sprintf(`{"numRecords":%d}`, s.Rows)}, nil
}

// rowsOf returns the number of rows that statistics tell, 0 if they do not.
func rowsOf(stats string) int64 {
	var s struct {
		NumRecords int64 `json:"numRecords"`
	}
	if err := json.Unmarshal([]byte(stats), &s); err != nil {
		return 0
	}
	return s.NumRecords
}

// noSlot is what slotOfPath returns for a path that no slot has.
const noSlot = ^uint64(0)

// slotOfPath returns the slot that a file of a log is of:
// data/<topic>/<partition>/<slot, 12 digits>-….
func slotOfPath(path string) uint64 {
	parts := strings.SplitN(path, "/", 5)
	if len(parts) < 4 || parts[0] != "data" || len(parts[3]) < 13 || parts[3][12] != '-' {
		return noSlot
	}
	seq, err := strconv.ParseUint(parts[3][:12], 10, 64)
	if err != nil {
		return noSlot
	}
	return seq
}
