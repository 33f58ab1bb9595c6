// Package tablewriter keeps the Delta table of a sink in step with the commit
// logs of its partitions: each finished slot lands in the table exactly once,
// whoever else writes to it.
//
// What to do next is decided by a state machine without clock or I/O (machine);
// the Writer around it does what the machine wants and tells it what came of
// it. Nothing here delays scoring: a table that cannot be written to is behind,
// and says so. DESIGN.md states what is promised.
package tablewriter
