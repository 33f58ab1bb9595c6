//go:build !unix

package devbroker

import "github.com/thalweg/thalweg"

type dirLock struct{}

// lockDir refuses: without a lock that ends with the process, two brokers
// could spoil one directory.
func lockDir(dir string) (*dirLock, error) {
	return nil, &thalweg.Error{Op: "lock broker directory", Kind: thalweg.Unsupported, Subject: dir,
		Hint: "a broker that keeps its topics needs a Unix system"}
}

func (l *dirLock) release() {}
