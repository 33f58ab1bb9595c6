package dataset

import (
	"cmp"
	"context"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/records"
)

const (
	// maxHintObjects bounds the objects of a folder that a hint looks at, and
	// maxHintTails those of them whose last bytes it reads.
	maxHintObjects = 1000
	maxHintTails   = 8
)

// hint says what may be meant by a pattern that names nothing, or no Parquet: objects
// that end in ext if it is not empty, else Parquet. It looks at what there is in the
// folder of the pattern, and in those around it while there is nothing. Keys are written
// behind root.
func (g *glob) hint(ctx context.Context, b storage.Bucket, root, ext string) string {
	pattern := strings.Join(g.segments, "/")
	folder := g.prefix[:strings.LastIndexByte(g.prefix, '/')+1]
	above := folder[:strings.LastIndexByte(strings.TrimSuffix(folder, "/"), '/')+1]
	folders := slices.Compact([]string{folder, above, ""})
	if g.prefix == pattern { // it may be a folder itself
		folders = slices.Insert(folders, 0, pattern+"/")
	}
	for _, f := range folders {
		keys := visible(ctx, b, f)
		found := firstEnding(keys, ext)
		if found == "" {
			found = firstParquet(ctx, b, keys, pattern)
		}
		if found != "" {
			what := "there is " + root + found
			if f == pattern+"/" {
				what = "it is a folder"
			}
			return what + ": write " + root + naming(found, f, keys, f == pattern+"/" || f == folder)
		}
		if len(keys) > 0 && ext != "" {
			return "nothing there ends in " + ext + ": there is " + root + keys[0].Key
		}
		if len(keys) > 0 {
			return "there is no Parquet: " + root + keys[0].Key + " is none"
		}
	}
	return "there is nothing near that; * does not stand for slashes, **/ stands for folders, any number of them: **/*" + cmp.Or(ext, ".parquet")
}

// visible returns the first objects of a folder that no pattern passes over.
func visible(ctx context.Context, b storage.Bucket, folder string) (found []storage.Info) {
	all, err := parseGlob(folder + "**")
	if err != nil {
		return nil
	}
	seen := 0
	for info, err := range b.List(ctx, folder, "") {
		if seen++; err != nil || seen > maxHintObjects {
			break
		}
		if !all.hides(info) {
			found = append(found, info)
		}
	}
	return found
}

// firstEnding returns the key of the first object that ends in ext, before what says how
// it is compressed; empty: none does.
func firstEnding(objects []storage.Info, ext string) string {
	for _, o := range objects {
		if ext != "" && records.Extension(o.Key) == ext {
			return o.Key
		}
	}
	return ""
}

// firstParquet returns the key of an object that ends as Parquet does: by its name,
// then by how alike the pattern it is. Empty: none of those that were looked at.
func firstParquet(ctx context.Context, b storage.Bucket, objects []storage.Info, pattern string) string {
	rank := func(key string) int { // less is better
		alike := 0
		for alike < min(len(key), len(pattern)) && key[alike] == pattern[alike] {
			alike++
		}
		class := slices.Index([]string{".parquet", ""}, extension(key))
		if class < 0 {
			class = 2
		}
		return class*(len(pattern)+1) - alike
	}
	objects = slices.SortedStableFunc(slices.Values(objects), func(x, y storage.Info) int { return cmp.Compare(rank(x.Key), rank(y.Key)) })
	for _, o := range objects[:min(len(objects), maxHintTails)] {
		magic := make([]byte, 4)
		if o.SizeBytes >= 12 && b.GetRange(ctx, o.Key, o.SizeBytes-4, magic) == nil && string(magic) == "PAR1" {
			return o.Key
		}
	}
	return ""
}

// extension is what follows the last dot of a key if it is a word.
func extension(key string) string {
	if ext := path.Ext(key); ext != "" && len(ext) > 1 && unicode.IsLetter(rune(ext[1])) {
		return strings.ToLower(ext)
	}
	return ""
}

// naming returns a pattern of the keys in a folder that are named like key, and of no
// others: of all its folders if they have one name, else of the folder of key.
func naming(key, folder string, objects []storage.Info, whole bool) string {
	in, name := path.Split(key)
	ext := ""
	if extension(key) != "" {
		ext = path.Ext(key)
	}
	stem, _, _ := strings.Cut(name, ".")
	if digit := strings.IndexFunc(stem, unicode.IsDigit); digit >= 0 {
		stem = stem[:digit]
	}
	candidates := []string{in + "*" + ext, in + stem + "*" + ext}
	if whole && in != folder {
		candidates = slices.Insert(candidates, 0, folder+"**/*"+ext)
	}
	for _, c := range candidates {
		g, err := parseGlob(c)
		if err == nil && g.match(key) && !slices.ContainsFunc(objects, func(o storage.Info) bool { return g.match(o.Key) && extension(o.Key) != extension(key) }) {
			return c
		}
	}
	return key
}
