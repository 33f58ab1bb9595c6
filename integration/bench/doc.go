// Package bench measures whole paths, each as a ratio to a peer or a limit
// measured in the same run: `make bench`. The data is the demo's sample, or the
// file that FLIGHTS names.
package bench
