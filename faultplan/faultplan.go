// Package faultplan draws from a seed which calls go wrong, for the packages
// that wrap stores and sources to let them.
package faultplan

import (
	"fmt"
	"hash/fnv"
	"strings"
)

// Draw reports whether the n-th call of an operation on what it is done to is
// hit by a rule that hits a share of them, rate, and returns random bits for the
// details. Both follow from the arguments alone.
func Draw(seed uint64, rate float64, rule int, op uint8, n int, what string) (hit bool, details uint64) {
	bits := mix(seed, uint64(rule), uint64(op), uint64(n), what)
	return float64(bits>>11)/(1<<53) < rate, mix(bits, 0, 0, 0, "")
}

// mix makes 64 bits of its arguments: FNV-1a with splitmix64's finalizer.
func mix(seed, rule, op, n uint64, what string) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%x/%x/%x/%x/%s", seed, rule, op, n, what)
	z := h.Sum64()
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Members names the members of a set whose bit i stands for names[i], as
// "get|put".
func Members(set uint8, names []string) string {
	var members []string
	for i, name := range names {
		if set&(1<<i) != 0 {
			members = append(members, name)
		}
	}
	return strings.Join(members, "|")
}
