// Package effort says how much work tests do that play many seeds: those of the
// stream's protocols and of training under kills. They share it, so that `make model`
// reaches all of them wherever they are:
//
//   - unit tests (`make test`, `make race`) take a sample of the seeds, of the
//     crash points and of the wrong variants;
//   - with EFFORT=full (`make model`) they take all of them;
//   - with EFFORT=quarter, as for each change that is merged, a quarter, at least the sample.
//
// It is for tests only.
package effort

import "os"

// Full reports whether everything is asked for.
func Full() bool { return os.Getenv("EFFORT") == "full" }

// Seeds returns how many seeds a test plays: a sample, a quarter or all.
func Seeds(sample, all uint64) uint64 {
	switch {
	case Full():
		return all
	case quarter():
		return max(sample, all/4)
	}
	return sample
}

// Takes reports whether the n-th case of a matrix is tried: each, or one of
// every stride, or of four.
func Takes(n, stride int) bool {
	return Full() || n%stride == 0 || quarter() && n%4 == 0
}

func quarter() bool { return os.Getenv("EFFORT") == "quarter" }
