//go:build race

package tablewriter

const raceEnabled = true
