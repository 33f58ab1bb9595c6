package dataset

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/thalweg/thalweg"
)

// Manifest is what a pattern named at one moment: the objects, in byte order
// of their keys, and the shards cut from them. It is plain data: marshalled to
// JSON, kept beside a run and handed to every task of it.
type Manifest struct {
	// Path is the pattern that was asked for, within the bucket.
	Path string `json:"path"`
	// Rows and SizeBytes are the sums over Objects.
	Rows      int64 `json:"rows"`
	SizeBytes int64 `json:"size_bytes"`
	// PassedOver counts the objects that the pattern names and Discover left out,
	// as hidden files and markers.
	PassedOver int64 `json:"passed_over,omitempty"`
	// Warnings say what is odd about objects that are read all the same, at most
	// maxWarnings of them.
	Warnings []string `json:"warnings,omitempty"`
	// Gaps are the columns that objects lack which others have: known to who
	// discovered them.
	Gaps []Gap `json:"-"`
	// Partitions are the columns that folders of keys fill: year of year=2001. Discover
	// lists all names that folders have; who knows the columns in the objects takes those
	// out.
	Partitions []string `json:"partitions,omitempty"`
	// Headers are the records that name the fields of objects of text.
	Headers []string `json:"headers,omitempty"`
	Objects []Object `json:"objects"`
	Shards  []Shard  `json:"shards"`
}

// Object is one object of a dataset.
type Object struct {
	Key       string `json:"key"`
	SizeBytes int64  `json:"size_bytes"`
	// ETag is the provider's, empty where it has none. OpenShard refuses an
	// object whose size or ETag is another one by then.
	ETag string `json:"etag,omitempty"`
	// Version is the provider's, where it keeps versions of objects: with it the
	// bytes that were read can be had even after the object was replaced.
	Version   string `json:"version,omitempty"`
	Rows      int64  `json:"rows"`
	RowGroups int    `json:"row_groups"`
	// Header is the position in Manifest.Headers of its own, from 1; 0: it has none.
	Header int `json:"header,omitempty"`
	// Skipped says why the object is left out whole: it has no shard then, and its rows are
	// not counted.
	Skipped string `json:"skipped,omitempty"`
}

// Gap is a column that some objects with rows lack, or have of type null.
type Gap struct {
	Column  string
	Objects int      // that lack it
	Rows    int64    // of these, in which it is null
	Named   []string // the first maxNamed of them
}

// Add counts an object that lacks the column.
func (g *Gap) Add(o Object) {
	g.Objects++
	g.Rows += o.Rows
	if len(g.Named) < maxNamed {
		g.Named = append(g.Named, o.Key)
	}
}

// Shard is the unit of work: the row groups [FirstRowGroup, EndRowGroup) of
// one object. In an object of text, each shard counts as a row group.
type Shard struct {
	Object        int   `json:"object"` // index into Manifest.Objects
	FirstRowGroup int   `json:"first_row_group"`
	EndRowGroup   int   `json:"end_row_group"`
	Rows          int64 `json:"rows"`
	// FirstRow is the ordinal of the shard's first row in the dataset, counting
	// through the objects in order.
	FirstRow int64 `json:"first_row"`
	// Offset and End are the bytes that a shard of text has, of the object or, where it
	// is not read from the middle on, of its text; Line is that of Offset.
	Offset int64 `json:"offset,omitempty"`
	End    int64 `json:"end,omitempty"`
	Line   int64 `json:"line,omitempty"`
	// Skipped says why the shard is left out: it is read as if it had no rows.
	Skipped string `json:"skipped,omitempty"`
}

// Skipped is a part of a dataset that is left out: a shard, or an object whose rows nobody can
// tell.
type Skipped struct {
	Place  string `json:"place"`
	Reason string `json:"reason"`
}

// Skipped returns the parts that are left out: whole objects first, then shards.
func (m *Manifest) Skipped() (all []Skipped) {
	for _, o := range m.Objects {
		if o.Skipped != "" {
			all = append(all, Skipped{objectSubject(o.Key), o.Skipped})
		}
	}
	for i, s := range m.Shards {
		if s.Skipped != "" {
			all = append(all, Skipped{m.Place(i), s.Skipped})
		}
	}
	return all
}

// Place names a shard for people.
func (m *Manifest) Place(shard int) string {
	s, of := m.Shards[shard], m.Origin(shard)
	return fmt.Sprintf("object %s, row groups [%d, %d), rows [%d, %d)", of.Object, s.FirstRowGroup, s.EndRowGroup, of.First, of.First+s.Rows)
}

// SkippedRows counts the rows of the shards that are left out.
func (m *Manifest) SkippedRows() (rows int64) {
	for _, s := range m.Shards {
		if s.Skipped != "" {
			rows += s.Rows
		}
	}
	return rows
}

// Origin is where the rows of a shard lie: those of an object from one on.
type Origin struct {
	Object string // its key
	First  int64
}

// Origin returns where the rows of a shard lie.
func (m *Manifest) Origin(shard int) Origin {
	first := shard
	for first > 0 && m.Shards[first-1].Object == m.Shards[shard].Object {
		first--
	}
	return Origin{m.Objects[m.Shards[shard].Object].Key, m.Shards[shard].FirstRow - m.Shards[first].FirstRow}
}

// JSON returns the manifest's one encoding.
func (m *Manifest) JSON() []byte {
	// Marshalling plain structs of strings and integers cannot fail, and fields
	// come in declaration order.
	data, _ := json.Marshal(m)
	return data
}

// Hash returns the sha256, in hex, of the manifest's JSON. Two manifests with
// the same hash name the same bytes, as far as the provider's ETags tell.
func (m *Manifest) Hash() string {
	sum := sha256.Sum256(m.JSON())
	return hex.EncodeToString(sum[:])
}

// Validate reports whether the manifest is consistent in itself, which one
// read back from storage need not be.
func (m *Manifest) Validate() error {
	bad := func(format string, args ...any) error {
		return &thalweg.Error{Op: "check manifest", Kind: thalweg.Corrupt, Subject: m.Path, Err: fmt.Errorf(format, args...)}
	}
	var rows, size int64
	for i, o := range m.Objects {
		if o.Key == "" || o.SizeBytes < 0 || o.Rows < 0 || o.RowGroups < 0 || o.Header < 0 || o.Header > len(m.Headers) {
			return bad("object %d (%s) has a negative or empty field", i, o.Key)
		}
		if i > 0 && m.Objects[i-1].Key >= o.Key {
			return bad("object %s is out of order", o.Key)
		}
		if o.Skipped != "" && (o.Rows > 0 || o.RowGroups > 0) {
			return bad("object %s is left out, and has %d rows", o.Key, o.Rows)
		}
		rows += o.Rows
		size += o.SizeBytes
	}
	if rows != m.Rows || size != m.SizeBytes {
		return bad("objects hold %d rows in %d bytes, the manifest says %d in %d", rows, size, m.Rows, m.SizeBytes)
	}
	// Shards tile the objects: together they hold each row group once, in order.
	object, group, first := 0, 0, int64(0)
	for i, s := range m.Shards {
		for object < len(m.Objects) && group == m.Objects[object].RowGroups {
			object, group = object+1, 0
		}
		switch {
		case object == len(m.Objects) || s.Object != object || s.FirstRowGroup != group:
			return bad("shard %d does not follow the one before it", i)
		case s.EndRowGroup <= s.FirstRowGroup || s.EndRowGroup > m.Objects[object].RowGroups:
			return bad("shard %d ends at row group %d of %d", i, s.EndRowGroup, m.Objects[object].RowGroups)
		case s.Rows < 0 || s.FirstRow != first:
			return bad("shard %d begins at row %d, not %d", i, s.FirstRow, first)
		case s.Offset < 0 || s.End < s.Offset:
			return bad("shard %d is of the bytes [%d, %d)", i, s.Offset, s.End)
		}
		group = s.EndRowGroup
		first += s.Rows
	}
	for object < len(m.Objects) && group == m.Objects[object].RowGroups {
		object, group = object+1, 0
	}
	if object != len(m.Objects) || first != m.Rows {
		return bad("shards hold %d of %d rows", first, m.Rows)
	}
	return nil
}
