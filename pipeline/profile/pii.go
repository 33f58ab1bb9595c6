package profile

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// Confidence is how sure a Suspect is.
type Confidence string

// The confidences, from the least.
const (
	Low    Confidence = "low"
	Medium Confidence = "medium"
	High   Confidence = "high"
)

// personal is a kind of personal data that a text, as a whole, may be.
type personal struct {
	name  string
	match func(s string) bool
	// shape, if any, is the form alone, without the checksum: where texts that have it
	// pass the checksum no more often than numbers by chance, they are nothing.
	shape func(s string) bool
	// distinct: the form is hardly that of anything else. checked: it has a checksum.
	distinct, checked bool
	// named matches names of columns that have such.
	named *regexp.Regexp
}

// personals are the kinds of personal data. To add one is a line here.
var personals = []personal{
	{"e-mail addresses", isEmail, nil, true, false, regexp.MustCompile(`(?i)mail`)},
	{"card numbers", isCard, isCardShape, true, true, regexp.MustCompile(`(?i)card|(^|_)(cc|pan)($|_)`)},
	{"IBANs", isIBAN, nil, true, true, regexp.MustCompile(`(?i)iban|account|konto`)},
	{"phone numbers", isPhone, nil, false, false, regexp.MustCompile(`(?i)phone|mobile|(^|_)(tel|fax|cell)`)},
	{"IP addresses", isIP, nil, false, false, regexp.MustCompile(`(?i)(^|_)ip($|_|v[46])|address|host|client`)},
	{"social security numbers", isSSN, nil, false, false, regexp.MustCompile(`(?i)ssn|social`)},
}

// From which shares on texts, but for empty ones, are suspected.
const (
	mostly  = 0.5
	some    = 0.01
	passing = 0.5 // of those with the shape, where 0.1 pass a checksum of a digit by chance
)

// suspects returns which personal data the column may hold: counts has how many of
// n texts match, and how many have the shape, of each of personals.
func personalSuspects(name string, counts [][2]int64, n int64) (out []Suspect) {
	for i, p := range personals {
		matched, shaped := counts[i][0], counts[i][1]
		share := float64(matched) / float64(n)
		if matched == 0 || p.shape != nil && float64(matched) < passing*float64(shaped) {
			continue
		}
		level := 0 // low, medium, high
		switch {
		case p.distinct && share >= mostly:
			level = 2
		case p.distinct && share >= some, share >= mostly:
			level = 1
		case !p.distinct && share < some:
			continue
		}
		why := fmt.Sprintf("may hold %s: %s of its values have the form", p.name, percent(share))
		if p.checked {
			why += " and the checksum"
		}
		if p.named.MatchString(name) {
			level = min(level+1, 2)
			why += ", and its name says so"
		}
		out = append(out, Suspect{Kind: p.name, Confidence: []Confidence{Low, Medium, High}[level], Share: share, Why: why})
	}
	return out
}

var email = regexp.MustCompile(`^[\p{L}\p{N}._%+'-]{1,64}@([\p{L}\p{N}-]{1,63}\.)+\p{L}{2,24}$`)

func isEmail(s string) bool { return strings.IndexByte(s, '@') > 0 && email.MatchString(s) }

// digits returns the digits of a text of digits with single separators of one kind
// between; "" for another.
func digits(s string, separators string) string {
	var out strings.Builder
	separator, last := byte(0), byte(0)
	for i := range len(s) {
		switch b := s[i]; {
		case b-'0' <= 9:
			out.WriteByte(b)
		case strings.IndexByte(separators, b) < 0 || last-'0' > 9 || i == len(s)-1 || separator != 0 && separator != b:
			return ""
		default:
			separator = b
		}
		last = s[i]
	}
	return out.String()
}

// leastCard is the least whole number that has the digits of one.
const leastCard = 2e12

// isCardShape: 13 to 19 digits, as issuers give them out.
func isCardShape(s string) bool {
	if len(s) < 13 || len(s) > 23 || s[0] < '2' || s[0] > '6' {
		return false
	}
	d := digits(s, " -")
	return len(d) >= 13 && len(d) <= 19
}

// isCard checks the last digit (Luhn, ISO/IEC 7812).
func isCard(s string) bool {
	if !isCardShape(s) {
		return false
	}
	d, sum := digits(s, " -"), 0
	for i := range len(d) {
		n := int(d[len(d)-1-i] - '0')
		if i%2 == 1 {
			n *= 2
		}
		sum += n/10 + n%10
	}
	return sum%10 == 0 && strings.Trim(d, d[:1]) != ""
}

// isIBAN checks the remainder by 97 (ISO 13616).
func isIBAN(s string) bool {
	s = strings.ToUpper(strings.ReplaceAll(s, " ", ""))
	if len(s) < 15 || len(s) > 34 {
		return false
	}
	rest := 0
	for i := range len(s) {
		b := s[(i+4)%len(s)]
		letter := b >= 'A' && b <= 'Z'
		if at := (i + 4) % len(s); at < 2 && !letter || (at == 2 || at == 3) && letter {
			return false
		}
		switch {
		case b-'0' <= 9:
			rest = (rest*10 + int(b-'0')) % 97
		case letter:
			rest = (rest*100 + int(b-'A') + 10) % 97
		default:
			return false
		}
	}
	return rest == 1
}

var phone = regexp.MustCompile(`^(\+|00)[1-9]\d{0,2}[ .-]?(\(\d{1,4}\)|\d)[\d .-]{4,16}\d$|^\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}$`)

// isPhone wants a country's code, or the form of North America.
func isPhone(s string) bool {
	if len(s) < 8 || len(s) > 24 || !phone.MatchString(s) {
		return false
	}
	n := len(strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s))
	return n >= 8 && n <= 15
}

func isIP(s string) bool {
	if len(s) < 3 || len(s) > 45 || strings.Count(s, ".") != 3 && strings.Count(s, ":") < 2 {
		return false
	}
	_, err := netip.ParseAddr(s)
	return err == nil
}

// isSSN is the form of the United States, without numbers that are never given out.
func isSSN(s string) bool {
	return len(s) == 11 && s[3] == '-' && s[6] == '-' && len(digits(s, "-")) == 9 && s[0] != '9' &&
		s[:3] != "000" && s[:3] != "666" && s[4:6] != "00" && s[7:] != "0000"
}
