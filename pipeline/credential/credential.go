// Package credential knows what looks like a credential in a text that is stored and
// shown to everybody, as specs are: addresses with a user or a password, keys, tokens.
// What it finds it tells by its kind and place, and never by its text.
package credential

import (
	"regexp"
	"slices"
	"strings"
)

// Hint says what belongs in place of a credential or an address.
const Hint = "an operator registers it in the file of --connections, and the spec names that: connection: NAME"

// Finding is a place in a text that holds a credential.
type Finding struct {
	What   string // "an address with a user or a password"
	Offset int    // in bytes
}

// userinfo follows :// in an address that has it.
var userinfo = regexp.MustCompile(`^[._~%!$&'()*+,;=:-]*[A-Za-z0-9][A-Za-z0-9._~%!$&'()*+,;=:-]*@`)

// maxUserinfo bounds what is looked at after ://.
const maxUserinfo = 1 << 10

// shapes are credentials that are told by how they begin.
var shapes = []struct {
	what    string
	mark    string // is in each; it is looked for first
	pattern *regexp.Regexp
}{
	{"a private key", "PRIVATE KEY-----", regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----`)},
	{"an access key of AWS", "AKIA", regexp.MustCompile(`\bAKIA[A-Z0-9]{16}\b`)},
	{"an access key of AWS", "ASIA", regexp.MustCompile(`\bASIA[A-Z0-9]{16}\b`)},
	{"a signed address", "X-Amz-Signature=", regexp.MustCompile(`X-Amz-Signature=[0-9a-fA-F]`)},
	{"a token of this cluster", "twt_", regexp.MustCompile(`\btwt_[A-Za-z0-9_-]{20,}`)},
}

// Find returns what looks like a credential in a text, in the order of the text. It
// takes time in proportion to the text.
func Find(text string) (found []Finding) {
	for at := 0; ; {
		next := strings.Index(text[at:], "://")
		if next < 0 {
			break
		}
		at += next + len("://")
		if userinfo.MatchString(text[at:min(at+maxUserinfo, len(text))]) {
			found = append(found, Finding{"an address with a user or a password", begin(text, at-len("://"))})
		}
	}
	for _, s := range shapes {
		if !strings.Contains(text, s.mark) {
			continue
		}
		for _, at := range s.pattern.FindAllStringIndex(text, -1) {
			found = append(found, Finding{s.what, at[0]})
		}
	}
	slices.SortStableFunc(found, func(a, b Finding) int { return a.Offset - b.Offset })
	return found
}

// begin returns where the scheme before an offset begins.
func begin(text string, at int) int {
	const longest = 16 // of the schemes in use
	from := at
	for from > 0 && at-from < longest && strings.IndexByte("abcdefghijklmnopqrstuvwxyz0123456789+.-", text[from-1]|0x20) >= 0 {
		from--
	}
	return from
}

// field is a name under which people write credentials or addresses of servers.
var field = regexp.MustCompile(`(?i)secret|passw|credential|api_?key|access_?key|private_?key|session_?token|^token$|^auth(entication|orization)?$|sasl|^user(name)?$|endpoint|broker|bootstrap|^ur[il]$|^host(name)?$|^servers?$|^tls$|^ssl$|^address`)

// IsField reports whether a field that a spec does not have is one for a credential or for
// the address of a server.
func IsField(name string) bool { return len(name) <= 64 && field.MatchString(name) }
