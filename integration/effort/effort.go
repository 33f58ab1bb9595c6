// Package effort says how much work the tests of the stream's protocols do. They
// share it, so that `make model` reaches all of them wherever they are:
//
//   - unit tests (`make test`, `make race`) take a sample of the seeds, of the
//     crash points and of the wrong variants;
//   - with EFFORT=full (`make model`) they take all of them.
//
// It is for tests only.
package effort

import "os"

// Full reports whether everything is asked for.
func Full() bool { return os.Getenv("EFFORT") == "full" }

// Seeds returns how many seeds a test plays: a sample, or all.
func Seeds(sample, all uint64) uint64 {
	if Full() {
		return all
	}
	return sample
}

// Takes reports whether the n-th case of a matrix is tried: each, or one of
// every stride.
func Takes(n, stride int) bool { return Full() || n%stride == 0 }
