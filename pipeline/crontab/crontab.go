// Package crontab tells when the times of a cron expression come by the clock of a time
// zone.
package crontab

import (
	"errors"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Table is the times of an expression. It is immutable.
type Table struct {
	times cron.Schedule // by a clock without a time zone
	zone  *time.Location
}

// fields is what an expression may hold.
var fields = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// Parse reads minute, hour, day of the month, month and day of the week, or @hourly and
// the like. An expression that no time ever meets is an error.
func Parse(expression, zone string) (*Table, error) {
	t := new(Table)
	var err error
	if t.zone, err = time.LoadLocation(zone); err != nil {
		return nil, err
	}
	if strings.Contains(expression, "=") || strings.HasPrefix(expression, "@every") {
		return nil, errors.New("neither a time zone nor @every belongs here")
	}
	if t.times, err = fields.Parse(expression); err != nil {
		return nil, err
	}
	if t.times.Next(time.Unix(0, 0).UTC()).IsZero() {
		return nil, errors.New("no day is one of " + expression)
	}
	return t, nil
}

// Next returns the first time after the given one. A time that clocks leave out in spring
// comes as much later, one that they show twice in autumn comes once.
func (t *Table) Next(after time.Time) time.Time {
	at := after.In(t.zone)
	shown := time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), time.UTC)
	_, now := at.Zone()
	if _, before := at.Add(-24 * time.Hour).Zone(); before < now {
		// What clocks have left out since yesterday may be still to come.
		shown = shown.Add(time.Duration(before-now) * time.Second)
	}
	for {
		if shown = t.times.Next(shown); shown.IsZero() {
			return shown
		}
		next := time.Date(shown.Year(), shown.Month(), shown.Day(), shown.Hour(), shown.Minute(), 0, 0, t.zone)
		_, offset := next.Add(-24 * time.Hour).Zone()
		// By the clock of the day before: the first of two, and behind a gap.
		if by := shown.Add(-time.Duration(offset) * time.Second).In(t.zone); shows(by, shown) || !shows(next, shown) {
			next = by
		}
		if next.After(after) {
			return next
		}
	}
}

// shows reports whether a clock shows the hour and minute of another.
func shows(a, b time.Time) bool { return a.Hour() == b.Hour() && a.Minute() == b.Minute() }
