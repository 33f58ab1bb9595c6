package event

import (
	"fmt"
	"strings"
	"time"
	"unsafe"
)

// The named timestamp formats; every other one is a layout of Go's time package.
const (
	RFC3339     = "rfc3339"
	EpochMillis = "epoch_ms"
)

// The naive layouts that are parsed by hand, as RFC 3339 is.
const (
	naiveSpace = "2006-01-02 15:04:05"
	naiveT     = "2006-01-02T15:04:05"
)

// Timestamps outside the years 0 to 9999 have no form in RFC 3339.
const (
	minMicros int64 = -62167219200 * 1e6
	maxMicros int64 = 253402300800*1e6 - 1
)

// DefaultTimestampFormats is RFC 3339 and its two forms without a zone.
func DefaultTimestampFormats() []string { return []string{RFC3339, naiveSpace, naiveT} }

// form is what a text looked like to scanTime.
type form uint8

const (
	noForm form = iota
	zonedForm
	spaceForm
	tForm
)

type timestampParser struct {
	zone    *time.Location
	epoch   bool // numbers are epoch_ms
	formats []timestampFormat
	named   []string
}

// timestampFormat is a form that scanTime knows, or a layout.
type timestampFormat struct {
	form   form
	layout string
}

func newTimestampParser(formats []string, zone *time.Location) (*timestampParser, error) {
	p := &timestampParser{zone: zone, named: formats}
	for _, f := range formats {
		switch f {
		case EpochMillis:
			p.epoch = true
		case RFC3339:
			p.formats = append(p.formats, timestampFormat{form: zonedForm})
		case naiveSpace:
			p.formats = append(p.formats, timestampFormat{form: spaceForm})
		case naiveT:
			p.formats = append(p.formats, timestampFormat{form: tForm})
		default:
			if !isLayout(f) {
				return nil, invalid("timestamp_formats", fmt.Sprintf("%q is neither %s, %s nor a layout such as %q", f, RFC3339, EpochMillis, naiveSpace))
			}
			p.formats = append(p.formats, timestampFormat{layout: f})
		}
	}
	return p, nil
}

// isLayout reports whether a layout tells days apart and reads what it writes.
func isLayout(layout string) bool {
	one := time.Date(2003, 4, 5, 0, 0, 0, 0, time.UTC)
	back, err := time.Parse(layout, one.Format(layout))
	return err == nil && back.Equal(one)
}

func (t *timestampParser) describe() string { return strings.Join(t.named, ", ") }

// parse returns the microseconds since 1970 UTC that s means in the first
// format that fits.
func (t *timestampParser) parse(s []byte) (us int64, ok bool) {
	us, shape := t.scanTime(s)
	for _, f := range t.formats {
		if f.form != noForm {
			if f.form == shape {
				return us, true
			}
			continue
		}
		at, err := time.ParseInLocation(f.layout, unsafe.String(unsafe.SliceData(s), len(s)), t.zone)
		if err != nil {
			continue
		}
		if year := at.UTC().Year(); year >= 0 && year <= 9999 {
			return at.UnixMicro(), true
		}
	}
	return 0, false
}

// scanTime parses YYYY-MM-DDThh:mm:ss[.fraction](Z|±hh:mm), the RFC 3339 form,
// and the same without a zone and with a T or a blank, which it reads in
// t.zone. time.Parse takes ten times as long.
func (t *timestampParser) scanTime(s []byte) (us int64, shape form) {
	if len(s) < len(naiveT) || s[4] != '-' || s[7] != '-' || s[13] != ':' || s[16] != ':' {
		return 0, noForm
	}
	century, yy := two(s, 0), two(s, 2)
	month, day := two(s, 5), two(s, 8)
	hour, minute, second := two(s, 11), two(s, 14), two(s, 17)
	if century|yy|month|day|hour|minute|second < 0 ||
		month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59 {
		return 0, noForm
	}
	year := century*100 + yy
	if day > 28 && day > daysIn(year, month) {
		return 0, noForm
	}
	rest := s[len(naiveT):]
	micros := 0
	if len(rest) > 0 && rest[0] == '.' {
		n := 1
		for scale := 100_000; n < len(rest) && isDigit(rest[n]); n++ {
			micros += int(rest[n]-'0') * scale
			scale /= 10 // what is below a microsecond counts nothing
		}
		if n == 1 {
			return 0, noForm
		}
		rest = rest[n:]
	}
	seconds := int64(daysSinceEpoch(year, month, day))*86400 + int64(hour*3600+minute*60+second)
	switch {
	case len(rest) == 0:
		switch s[10] {
		case 'T':
			shape = tForm
		case ' ':
			shape = spaceForm
		default:
			return 0, noForm
		}
		if t.zone != time.UTC {
			seconds = time.Date(year, time.Month(month), day, hour, minute, second, 0, t.zone).Unix()
		}
	case s[10] != 'T':
		return 0, noForm
	case len(rest) == 1 && rest[0] == 'Z':
		shape = zonedForm
	case len(rest) == 6 && (rest[0] == '+' || rest[0] == '-') && rest[3] == ':':
		h, m := two(rest, 1), two(rest, 4)
		if h|m < 0 || h > 23 || m > 59 {
			return 0, noForm
		}
		offset := int64(h*3600 + m*60)
		if rest[0] == '-' {
			offset = -offset
		}
		seconds -= offset
		shape = zonedForm
	default:
		return 0, noForm
	}
	us = seconds*1e6 + int64(micros)
	if us < minMicros || us > maxMicros {
		return 0, noForm
	}
	return us, shape
}

// two returns the number of the two digits at s[i], negative if they are none.
func two(s []byte, i int) int {
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
