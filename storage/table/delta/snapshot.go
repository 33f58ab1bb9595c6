package delta

import (
	"fmt"
	"maps"

	"github.com/thalweg/thalweg"
)

// Snapshot is a table at one version: everything about it but the files of
// its checkpoint, of which there may be millions. It is plain data: to apply a
// commit needs no I/O.
type Snapshot struct {
	Version  int64 // -1: there is no table yet
	Protocol Protocol
	Metadata Metadata
	Schema   Schema           // of Metadata
	Txns     map[string]int64 // appId → version

	Checkpoint      int64 // version of the newest checkpoint, -1: none
	CheckpointFiles int64 // live files in it
	// Recent are the files added and removed since the checkpoint, by path: what
	// became of each last.
	Recent map[string]Action
}

// NewSnapshot returns the state before there is a table.
func NewSnapshot() *Snapshot {
	return &Snapshot{Version: -1, Checkpoint: -1, Txns: map[string]int64{}, Recent: map[string]Action{}}
}

// Exists reports whether there is a table.
func (s *Snapshot) Exists() bool { return s.Version >= 0 }

// Clone returns a copy that shares nothing that changes.
func (s *Snapshot) Clone() *Snapshot {
	c := *s
	c.Txns, c.Recent = maps.Clone(s.Txns), maps.Clone(s.Recent)
	return &c
}

// Apply moves the snapshot to the next version. On an error, Corrupt naming the
// version, it stays as it was.
func (s *Snapshot) Apply(c *Commit) error {
	subject := fmt.Sprintf("version %d", c.Version)
	if c.Version != s.Version+1 {
		return corrupt("read table", subject, fmt.Errorf("version %d follows", s.Version+1))
	}
	protocol, metadata, schema := s.Protocol, s.Metadata, s.Schema
	files, txns := map[string]Action{}, map[string]int64{}
	for _, a := range c.Actions {
		switch path := a.path(); {
		case a.Protocol != nil:
			protocol = *a.Protocol
		case a.Metadata != nil:
			parsed, err := ParseSchema(a.Metadata.SchemaString)
			if err != nil {
				return corrupt("read table", subject, err)
			}
			metadata, schema = a.Metadata.withDefaults(), parsed
		case a.Txn != nil:
			txns[a.Txn.AppID] = a.Txn.Version
		case a.Add != nil && files[path].Add != nil:
			return corrupt("read table", subject, fmt.Errorf("it adds %q twice", path))
		case a.Add != nil, a.Remove != nil && files[path].Add == nil: // an add of the same version is what stays
			files[path] = a
		}
	}
	if protocol.MinReaderVersion == 0 || metadata.ID == "" {
		return corrupt("read table", subject, fmt.Errorf("the table has no protocol or no metadata"))
	}
	maps.Copy(s.Txns, txns)
	maps.Copy(s.Recent, files)
	s.Version, s.Protocol, s.Metadata, s.Schema = c.Version, protocol, metadata, schema
	return nil
}

// Readable reports, as an Unsupported error that names it, what the table asks of a
// reader that this package cannot do.
func (s *Snapshot) Readable() error {
	if p := s.Protocol; p.MinReaderVersion > readerVersion {
		return &thalweg.Error{Op: "read table", Kind: thalweg.Unsupported, Subject: fmt.Sprintf("version %d", s.Version),
			Err:  fmt.Errorf("it wants reader version %d (features %v), this build has %d", p.MinReaderVersion, p.ReaderFeatures, readerVersion),
			Hint: "write it without deletion vectors and column mapping"}
	}
	return nil
}

// Writable reports, as an Unsupported error that names it, what the table asks
// of a writer that this package cannot do.
func (s *Snapshot) Writable() error {
	if !s.Exists() {
		return nil
	}
	fail := func(format string, args ...any) error {
		return &thalweg.Error{Op: "write to table", Kind: thalweg.Unsupported, Subject: fmt.Sprintf("version %d", s.Version), Err: fmt.Errorf(format, args...),
			Hint: "another writer raised what the table demands; restore it to an earlier version, or give the pipeline a new sink path"}
	}
	if p := s.Protocol; p.MinReaderVersion > readerVersion || p.MinWriterVersion > writerVersion {
		return fail("it wants reader version %d and writer version %d (features %v, %v), this build has %d and %d",
			p.MinReaderVersion, p.MinWriterVersion, p.ReaderFeatures, p.WriterFeatures, readerVersion, writerVersion)
	}
	if column := s.Schema.invariants(); column != "" {
		return fail("its column %s has an invariant to check", column)
	}
	return nil
}
