package fsck

import (
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
)

// unknownDay is the directory of rows whose column is null, or none.
const unknownDay = "__HIVE_DEFAULT_PARTITION__"

// day checks that an object of a partitioned slot lies in the directory of the
// day of all its rows: <column>_date=<UTC day>/.
func (j *judge) day(f *parquetFile, key string, in intentRecord) {
	if in.PartitionBy == "" {
		return
	}
	parts := strings.Split(key, "/")
	if len(parts) < 2 {
		return
	}
	dir, name := parts[len(parts)-2], strings.TrimLeft(in.PartitionBy, "_")+"_date="
	want, ok := strings.CutPrefix(dir, name)
	if !ok || parts[len(parts)-1] != "rows.parquet" {
		j.verdict.violate(4, key, "is not in a directory %s of its slot, which is partitioned by %s", name, in.PartitionBy)
		return
	}
	leaf, why := f.column(in.PartitionBy)
	if why != "" {
		if want != unknownDay {
			j.verdict.violate(6, key, "%s to partition by, yet lies in %s", why, dir)
		}
		return
	}
	if !isTime(leaf) {
		j.verdict.violate(6, key, "column %s has the type %s, which has no days", in.PartitionBy, leaf.Type())
		return
	}
	_ = f.each(leaf, func(_ int64, v parquet.Value) bool {
		got := unknownDay
		if !v.IsNull() {
			if at := time.UnixMicro(v.Int64()).UTC(); at.Year() >= 0 && at.Year() <= 9999 {
				got = at.Format(time.DateOnly)
			}
		}
		if got != want {
			j.verdict.violate(6, key, "a row of %s lies in %s", got, dir)
		}
		return got == want
	})
}
