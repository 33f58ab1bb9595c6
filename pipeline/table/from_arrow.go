package table

import (
	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/arrowtype"
)

// FromArrow returns the canonical schema of what a file holds:
//
//	int8 … int64, uint8 … uint32         Int64
//	uint64                               Int64; a value past 2^63-1 is an error when bound
//	float16, float32, float64            Float64
//	decimal128, decimal256               Float64, the nearest
//	date32, date64                       Timestamp at midnight
//	timestamp of any unit                Timestamp; without a zone, as dates, it is read as what a
//	                                     clock showed in the schema's Timezone, UTC by default;
//	                                     nanoseconds are cut to the microsecond before
//	time32, time64                       Int64, microseconds since midnight
//	utf8, large_utf8, dictionaries of them  String
//	bool                                 Bool
//	list of one of these that becomes    Int64List, Float64List, BoolList
//	Int64, Float64 or Bool
//
// Columns of other types, lists of strings and of lists among them, are listed in
// Unsupported, so that they matter only where a spec reads them, and so are those
// whose name occurs twice, is empty or is RowColumn.
func FromArrow(s *arrow.Schema) Schema {
	out := Schema{Columns: make([]Column, 0, s.NumFields())}
	for _, f := range s.Fields() {
		what := arrowtype.Name(f.Type)
		t, _ := canonical(f.Type)
		switch {
		case f.Name == "":
			t, what = "", what+" without a name"
		case f.Name == RowColumn:
			t, what = "", what+" whose name is taken by the row's position"
		case len(s.FieldIndices(f.Name)) > 1:
			t, what = "", what+" whose name occurs twice"
		}
		if t == "" {
			out.Unsupported = append(out.Unsupported, UnsupportedColumn{Name: f.Name, Type: what})
			continue
		}
		out.Columns = append(out.Columns, Column{Name: f.Name, Type: t, Nullable: f.Nullable})
	}
	return out
}
