// Package checkpoint keeps immutable, checksummed objects in a bucket: sets of
// named parts under one manifest (Save, Load), and single objects (PutObject,
// GetObject). What is returned by a read has the sha256 that the reference
// tells, or the read fails; so a reference that travelled through the
// replicated log is all that is needed to trust the bytes. The package knows
// no model and looks into no part.
//
// A checkpoint with the manifest sha256 abcd… lies under prefix + the first 32
// digits: <prefix>abcd…/manifest.json and <prefix>abcd…/<part>. As keys follow
// from the content, saving the same parts again changes nothing, and two
// savers of different parts never meet.
package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

const (
	manifestName = "manifest.json"
	addressBytes = 32 // hex digits of the manifest's sha256 in a checkpoint's keys: enough that none collide

	// transfers is how many parts go up or come down at once: a checkpoint is
	// two or three large parts and some small ones.
	transfers = 4
	// tries bounds how often bytes that came back wrong are transferred anew: a
	// bit flipped on the way is right the second time.
	tries = 3
)

// Save stores the parts below prefix (empty, or ending in a slash), the
// manifest last, and returns the reference to the manifest after every part
// has been read back and has the sha256 it should have. Part names are lower-case
// file names (see MaxNameBytes). Errors: Invalid for names or sizes out of bounds,
// Corrupt if a part does not come back as written, and those of the bucket.
func Save(ctx context.Context, b storage.Bucket, prefix string, parts map[string][]byte) (thalweg.CheckpointRef, error) {
	manifest := Manifest{}
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		manifest.Parts = append(manifest.Parts, Part{Name: name, SizeBytes: int64(len(parts[name])), SHA256: storage.SHA256(parts[name])})
	}
	record, err := manifest.Encode()
	if err != nil {
		return thalweg.CheckpointRef{}, err
	}
	sum := storage.SHA256(record)
	dir := prefix + sum[:addressBytes] + "/"
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(transfers)
	for _, part := range manifest.Parts {
		g.Go(func() error { return ensure(gctx, b, dir+part.Name, parts[part.Name], part.SHA256) })
	}
	if err := g.Wait(); err != nil {
		return thalweg.CheckpointRef{}, err
	}
	if err := ensure(ctx, b, dir+manifestName, record, sum); err != nil {
		return thalweg.CheckpointRef{}, err
	}
	return thalweg.CheckpointRef{Key: dir + manifestName, SHA256: sum}, nil
}

// Load returns the parts of a checkpoint. Errors: NotFound if there is no such
// manifest, Lost if a part is gone, Corrupt if the manifest or a part is damaged,
// each naming the object.
func Load(ctx context.Context, b storage.Bucket, ref thalweg.CheckpointRef) (map[string][]byte, error) {
	manifest, err := ReadManifest(ctx, b, ref)
	if err != nil {
		return nil, err
	}
	dir := ref.Key[:len(ref.Key)-len(manifestName)]
	bodies := make([][]byte, len(manifest.Parts))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(transfers)
	for i, part := range manifest.Parts {
		g.Go(func() (err error) {
			bodies[i], err = fetch(gctx, b, dir+part.Name, part.SHA256, part.SizeBytes, part.SizeBytes)
			if thalweg.Is(err, thalweg.NotFound) {
				err = &thalweg.Error{Op: "load checkpoint", Kind: thalweg.Lost, Subject: fmt.Sprintf("part %q of %s", part.Name, ref.Key),
					Err: errors.New("the object is gone"), Hint: "fall back to another model version, or train again"}
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	parts := make(map[string][]byte, len(bodies))
	for i, part := range manifest.Parts {
		parts[part.Name] = bodies[i]
	}
	return parts, nil
}

// ReadManifest returns the verified manifest of a checkpoint without its parts.
func ReadManifest(ctx context.Context, b storage.Bucket, ref thalweg.CheckpointRef) (Manifest, error) {
	if err := checkRef(ref); err != nil {
		return Manifest{}, err
	}
	if len(ref.Key) <= len(manifestName) || ref.Key[len(ref.Key)-len(manifestName)-1:] != "/"+manifestName {
		return Manifest{}, &thalweg.Error{Op: "load checkpoint", Kind: thalweg.Invalid, Subject: ref.String(),
			Err: errors.New("the key does not end in /" + manifestName)}
	}
	record, err := fetch(ctx, b, ref.Key, ref.SHA256, 0, MaxManifestBytes)
	if err != nil {
		return Manifest{}, err
	}
	manifest, err := ParseManifest(record)
	if err != nil {
		return Manifest{}, &thalweg.Error{Op: "load checkpoint", Kind: thalweg.Corrupt, Subject: ref.Key, Err: err}
	}
	return manifest, nil
}

// ensure makes sure that the object at key has the bytes of body, whose sha256
// is sum: it writes unless they are there, and reads back what it wrote.
func ensure(ctx context.Context, b storage.Bucket, key string, body []byte, sum string) error {
	size := int64(len(body))
	_, err := fetch(ctx, b, key, sum, size, size)
	for range tries {
		switch thalweg.KindOf(err) {
		case thalweg.NotFound, thalweg.Corrupt:
		default:
			return err // nil, or an error of the store
		}
		if _, err := b.Put(ctx, key, body); err != nil {
			return err
		}
		_, err = fetch(ctx, b, key, sum, size, size)
	}
	return err
}

// fetch returns the object's bytes if they have the given sha256 and their
// number is within [least, most]; it allocates nothing before that is known.
// Errors: NotFound, Corrupt.
func fetch(ctx context.Context, b storage.Bucket, key, sum string, least, most int64) ([]byte, error) {
	info, err := b.Head(ctx, key)
	if err != nil {
		return nil, err
	}
	damaged := func(format string, args ...any) error {
		return &thalweg.Error{Op: "read checked object", Kind: thalweg.Corrupt, Subject: key, Err: fmt.Errorf(format, args...)}
	}
	if info.SizeBytes < least || info.SizeBytes > most {
		return nil, damaged("it has %d bytes, expected are %d to %d", info.SizeBytes, least, most)
	}
	var got string
	for range tries {
		body := make([]byte, info.SizeBytes)
		if err := b.GetRange(ctx, key, 0, body); err != nil {
			if thalweg.Is(err, thalweg.Invalid) {
				return nil, damaged("it became shorter than %d bytes while it was read", info.SizeBytes)
			}
			return nil, err
		}
		if got = storage.SHA256(body); got == sum {
			return body, nil
		}
	}
	return nil, damaged("its sha256 is %s, want %s", got, sum)
}
