// Package budget shares the memory and the cores of one process between the
// partitions that it scores: who wants to fetch reserves room first, and where
// there is none, the largest open files are committed early. It knows bytes and
// turns, and nothing of what they are for.
package budget
