package table

import (
	"strings"
	"time"
)

// TimeForm is one of the forms in which text holds a time.
type TimeForm uint8

// The forms, which are all that text in data, casts, fills, expressions and, by
// default, events can have. Those without a zone are what a clock in the zone of
// the schema showed; digits below a microsecond are cut off. Letters may be small,
// T a blank, one blank may stand before the zone, and ±hhmm and ±hh are zones too.
const (
	NoTime     TimeForm = iota
	ZonedForm           // RFC 3339: YYYY-MM-DDThh:mm:ss[.fraction](Z|±hh:mm), and as ISO 8601 and databases write it
	BlankForm           // YYYY-MM-DD hh:mm:ss[.fraction]
	TForm               // YYYY-MM-DDThh:mm:ss[.fraction]
	MinuteForm          // YYYY-MM-DD hh:mm
	DateForm            // YYYY-MM-DD
)

// minutes is the layout of MinuteForm.
const minutes = "2006-01-02 15:04"

// TimeFormats names the forms, as timestamp_formats of a spec does: RFC 3339, and
// layouts of Go's time package.
func TimeFormats() []string {
	return []string{"rfc3339", time.DateTime, "2006-01-02T15:04:05", minutes, time.DateOnly}
}

// MinMicros and MaxMicros bound times, in microseconds since 1970 UTC: outside the
// years 0 to 9999 they have no form in RFC 3339.
const (
	MinMicros int64 = -62167219200 * 1e6
	MaxMicros int64 = 253402300800*1e6 - 1
)

// ParseTime returns the microseconds since 1970 UTC that a text of one of the
// forms means, read in zone where it names none.
func ParseTime(s string, zone *time.Location) (us int64, ok bool) {
	us, form := ScanTime(s, zone)
	return us, form != NoTime
}

// ScanTime is ParseTime that also tells the form. time.Parse takes ten times as
// long.
func ScanTime(s string, zone *time.Location) (us int64, form TimeForm) {
	if len(s) < len(time.DateOnly) || s[4] != '-' || s[7] != '-' {
		return 0, NoTime
	}
	switch {
	case len(s) == len(time.DateOnly):
		s, form = s+" 00:00:00", DateForm
	case len(s) == len(minutes) && s[10] == ' ':
		s, form = s+":00", MinuteForm
	}
	us, scanned := scanTime(s, zone)
	if form == NoTime || scanned == NoTime {
		form = scanned
	}
	return us, form
}

// scanTime scans the forms with seconds.
func scanTime(s string, zone *time.Location) (us int64, shape TimeForm) {
	if len(s) < len(time.DateTime) || s[13] != ':' || s[16] != ':' {
		return 0, NoTime
	}
	century, yy := two(s, 0), two(s, 2)
	month, day := two(s, 5), two(s, 8)
	hour, minute, second := two(s, 11), two(s, 14), two(s, 17)
	if century|yy|month|day|hour|minute|second < 0 ||
		month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59 {
		return 0, NoTime
	}
	year := century*100 + yy
	if day > 28 && day > daysIn(year, month) {
		return 0, NoTime
	}
	rest := s[len(time.DateTime):]
	micros := 0
	if len(rest) > 0 && rest[0] == '.' {
		n := 1
		for scale := 100_000; n < len(rest) && rest[n]-'0' <= 9; n++ {
			micros += int(rest[n]-'0') * scale
			scale /= 10 // what is below a microsecond counts nothing
		}
		if n == 1 {
			return 0, NoTime
		}
		rest = rest[n:]
	}
	seconds := int64(daysSinceEpoch(year, month, day))*86400 + int64(hour*3600+minute*60+second)
	switch s[10] {
	case 'T', 't':
		shape = TForm
	case ' ':
		shape = BlankForm
	default:
		return 0, NoTime
	}
	if len(rest) == 0 {
		if zone != time.UTC {
			seconds = time.Date(year, time.Month(month), day, hour, minute, second, 0, zone).Unix()
		}
	} else {
		offset, ok := zoneOffset(strings.TrimPrefix(rest, " "))
		if !ok {
			return 0, NoTime
		}
		seconds -= offset
		shape = ZonedForm
	}
	us = seconds*1e6 + int64(micros)
	if us < MinMicros || us > MaxMicros {
		return 0, NoTime
	}
	return us, shape
}

// zoneOffset returns the seconds east of UTC of Z, ±hh:mm, ±hhmm or ±hh.
func zoneOffset(s string) (seconds int64, ok bool) {
	if s == "Z" || s == "z" {
		return 0, true
	}
	if n := len(s); n != 3 && n != 5 && (n != 6 || s[3] != ':') || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	h, m := two(s, 1), 0
	if len(s) > 3 {
		m = two(s, len(s)-2)
	}
	if h|m < 0 || h > 23 || m > 59 {
		return 0, false
	}
	seconds = int64(h*3600 + m*60)
	if s[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}

// two returns the number of the two digits at s[i], negative if they are none.
func two(s string, i int) int {
	tens, ones := int(s[i])-'0', int(s[i+1])-'0'
	if uint(tens) > 9 || uint(ones) > 9 {
		return -1
	}
	return tens*10 + ones
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysSinceEpoch counts the days from 1970-01-01 in the proleptic Gregorian
// calendar, for years from 0. Years are taken to begin in March, so that the
// leap day is the last (H. Hinnant, chrono-Compatible Low-Level Date Algorithms,
// days_from_civil).
func daysSinceEpoch(year, month, day int) int {
	month -= 3
	if month < 0 {
		month += 12
		year--
	}
	era := (year + 400) / 400 // year may be -1
	yearOfEra := year + 400 - era*400
	dayOfYear := (153*month+2)/5 + day - 1
	return (era-1)*146097 + yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear - 719468
}
