package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"github.com/thalweg/thalweg"
)

// Bounds of a checkpoint. One beyond them is refused when it is saved and when
// it is loaded, before anything is allocated for it.
const (
	MaxParts         = 64       // a checkpoint is a handful of files
	MaxNameBytes     = 64       // of a part's name: lower-case letters, digits, ".", "_", "-", a letter or digit first
	MaxPartBytes     = 1 << 30  // 2^28 float32 parameters: models that fit a CPU
	MaxTotalBytes    = 4 << 30  // of all parts: parameters, optimizer state of three times their size
	MaxManifestBytes = 64 << 10 // MaxParts lines with room to spare
)

const manifestFormat = "thalweg.checkpoint/v1"

// Manifest lists the parts of a checkpoint.
type Manifest struct {
	Parts []Part `json:"parts"` // by name
}

// Part describes one object of a checkpoint.
type Part struct {
	Name      string `json:"name"`
	SizeBytes int64  `json:"size"`
	SHA256    string `json:"sha256"` // 64 hex digits
}

var (
	namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)
	sumPattern  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// manifestRecord is the form of a manifest in the bucket.
type manifestRecord struct {
	Format string `json:"format"`
	Manifest
}

// Encode returns the one encoding of a valid manifest.
func (m Manifest) Encode() ([]byte, error) {
	if err := m.validate(); err != nil {
		return nil, &thalweg.Error{Op: "check checkpoint", Kind: thalweg.Invalid, Err: err}
	}
	record, err := json.Marshal(manifestRecord{manifestFormat, m})
	if err != nil {
		return nil, &thalweg.Error{Op: "encode manifest", Err: err}
	}
	return append(record, '\n'), nil
}

// ParseManifest is the inverse of Manifest.Encode; it refuses every other
// encoding.
func ParseManifest(data []byte) (Manifest, error) {
	fail := func(err error) (Manifest, error) {
		return Manifest{}, &thalweg.Error{Op: "parse manifest", Kind: thalweg.Corrupt, Err: err}
	}
	if len(data) > MaxManifestBytes {
		return fail(fmt.Errorf("%d bytes, at most %d are a manifest", len(data), MaxManifestBytes))
	}
	var record manifestRecord
	if err := thalweg.DecodeStrict(data, &record); err != nil {
		return fail(err)
	}
	if record.Format != manifestFormat {
		return fail(fmt.Errorf("the format is %.40q, want %q", record.Format, manifestFormat))
	}
	again, err := record.Manifest.Encode()
	if err != nil {
		return fail(err)
	}
	if !bytes.Equal(again, data) {
		return fail(errors.New("not the canonical encoding of a manifest"))
	}
	return record.Manifest, nil
}

// TotalBytes returns the size of all parts.
func (m Manifest) TotalBytes() int64 {
	var total int64
	for _, p := range m.Parts {
		total += p.SizeBytes
	}
	return total
}

func (m Manifest) validate() error {
	if len(m.Parts) == 0 || len(m.Parts) > MaxParts {
		return fmt.Errorf("%d parts, want 1 to %d", len(m.Parts), MaxParts)
	}
	for i, p := range m.Parts {
		switch {
		case !namePattern.MatchString(p.Name) || len(p.Name) > MaxNameBytes:
			return fmt.Errorf("part %.80q: a name has at most %d lower-case letters, digits, dots, hyphens and underscores, a letter or digit first", p.Name, MaxNameBytes)
		case p.Name == manifestName:
			return fmt.Errorf("part %q: the name is the manifest's", p.Name)
		case i > 0 && p.Name <= m.Parts[i-1].Name:
			return fmt.Errorf("part %q is not after %q", p.Name, m.Parts[i-1].Name)
		case p.SizeBytes < 0 || p.SizeBytes > MaxPartBytes:
			return fmt.Errorf("part %q has %d bytes, at most %d fit", p.Name, p.SizeBytes, MaxPartBytes)
		case !sumPattern.MatchString(p.SHA256):
			return fmt.Errorf("part %q: %.80q is not a sha256", p.Name, p.SHA256)
		}
	}
	if total := m.TotalBytes(); total > MaxTotalBytes {
		return fmt.Errorf("the parts have %d bytes, at most %d fit", total, MaxTotalBytes)
	}
	return nil
}
