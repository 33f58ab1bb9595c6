//go:build !race

package deadletter

const raceEnabled = false
