package expression

import (
	"cmp"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser/lexer"
	"github.com/expr-lang/expr/parser/utils"

	"github.com/thalweg/thalweg/pipeline/table"
)

// Bounds of the search for what was meant: rewrites of one text, its bytes and
// words, and problems of it that are mended one after the other. A spec has up to
// a hundred texts that are wrong, so that each may take some milliseconds.
const (
	maxRewrites = 32
	maxMended   = 400
	maxWords    = 160
	maxRounds   = 4
)

// mend returns the hint for a text with a problem, "write …", or "". The text is
// rewritten from other languages into this one, and its types are mended: a change
// is for the better where the first problem comes later. What is offered has no
// problem left by check. Only where the text is none whatever the columns are, a
// name that is not known may be left, which is said.
func mend(source string, first *Problem, known columns, check func(string) *Problem) string {
	if len(source) > maxMended {
		return ""
	}
	text, p := known.quoteNames(source), first
	for range maxRewrites {
		s := read(text, known)
		text = string(s.text)
		from, to, with, ok := s.rewrite()
		if !ok {
			break
		}
		if text = s.replaced(from, to, with); len(text) > 2*maxMended {
			return ""
		}
	}
	rewritten := text
	if text != source {
		p = check(text)
	}
	for range maxRounds {
		if p == nil || p.Hint != "" || text == source && strings.HasPrefix(p.nearest, "did you mean") {
			break
		}
		if strings.HasPrefix(p.Message, "|| takes bools") { // which joins texts in SQL
			if other := read(text, known).joined(); other != text {
				text, p = other, check(other)
				continue
			}
		}
		better := ""
		for next := range read(text, known).candidates(p.Offset) {
			grown := utf8.RuneCountInString(next) - utf8.RuneCountInString(text)
			if q := check(next); q == nil || q.Offset > p.Offset+max(grown, 0) {
				better, p = next, q
				break
			}
		}
		if better == "" {
			break
		}
		text = better
	}
	left := ""
	if p != nil && first.syntax && strings.HasPrefix(p.Message, "there is no ") && !strings.Contains(unquoted(source), "//") {
		text, left = rewritten, "; then "+p.Message
		if why := cmp.Or(p.Hint, p.nearest); why != "" {
			left += ": " + why
		}
		_, p = parse(text)
	}
	if text = strings.TrimSpace(text); p != nil || text == source || len(text) > maxMended {
		return ""
	}
	return "write " + text + left
}

// columns are what an expression can read, by name; nil where they are not known.
type columns map[string]table.Type

func (known columns) has(name string) bool { return known[name] != "" }

// quoteNames puts names that are not identifiers in backticks, where they stand
// without.
func (known columns) quoteNames(source string) string {
	var odd []string
	for name := range known {
		if !utils.IsValidIdentifier(name) && strings.TrimSpace(name) != "" {
			odd = append(odd, name)
		}
	}
	slices.SortFunc(odd, func(a, b string) int { return len(b) - len(a) })
	bare := unquoted(source)
	for _, name := range odd {
		for at := 0; ; {
			i := strings.Index(bare[at:], name)
			if i < 0 {
				break
			}
			i += at
			at = i + len(name)
			if joins(bare[:i], name) || joins(name, bare[at:]) {
				continue
			}
			with := Reference(name)
			source, bare = source[:i]+with+source[at:], bare[:i]+strings.Repeat("\x00", len(with))+bare[at:]
			at = i + len(with)
		}
	}
	return source
}

// joins reports whether two texts would make one word.
func joins(a, b string) bool {
	x, y := []rune(a), []rune(b)
	return len(x) > 0 && len(y) > 0 && utils.IsAlphaNumeric(x[len(x)-1]) && utils.IsAlphaNumeric(y[0])
}

// unquoted returns the text with what is in quotes or backticks blanked out.
func unquoted(source string) string {
	out := []byte(source)
	var quote byte
	for i := 0; i < len(out); i++ {
		c := out[i]
		switch {
		case quote == 0 && (c == '"' || c == '\'' || c == '`'):
			quote = c
		case quote == 0:
			continue
		case c == '\\' && quote != '`' && i+1 < len(out):
			out[i] = 0
			i++
		case c == quote:
			quote = 0
		}
		out[i] = 0
	}
	return string(out)
}

// reserved are the words that look like a column's name and are none.
var reserved = []string{"and", "or", "not", "in", "matches", "contains", "startsWith", "endsWith", "let", "if", "else", "nil", "null", "true", "false"}

// Reference is how an expression names a column.
func Reference(name string) string {
	if utils.IsValidIdentifier(name) && !slices.Contains(reserved, name) {
		return name
	}
	return "`" + strings.ReplaceAll(name, "`", "``") + "`"
}

// reading is a text in words. An index beyond them finds an empty one.
type reading struct {
	text  []rune
	words []lexer.Token
	lower []string // of the words that may be one of another language
	known columns
}

// read takes a text apart. Marks of other languages are replaced, integer division
// (//) by a word; where a text cannot be taken apart, there are no words.
func read(text string, known columns) *reading {
	for range maxRewrites {
		i := strings.Index(unquoted(text), "//")
		if i < 0 {
			break
		}
		text = text[:i] + " div " + text[i+2:]
	}
	for range maxRewrites {
		s := &reading{text: []rune(text), known: known}
		l := lexer.New()
		l.DisableIfOperator = true
		l.Reset(file.NewSource(text))
		for {
			w, err := l.Next()
			if err == nil && w.Kind != lexer.EOF && len(s.words) < maxWords {
				word := ""
				if (w.Kind == lexer.Identifier || w.Kind == lexer.Operator) && !known.has(w.Value) {
					word = strings.ToLower(w.Value)
				}
				s.words, s.lower = append(s.words, w), append(s.lower, word)
				continue
			}
			if len(s.words) == maxWords {
				s.words = nil
			}
			var at *file.Error
			if !errors.As(err, &at) {
				return s
			}
			if text = s.mark(at); text == "" {
				s.words = nil
				return s
			}
			break
		}
	}
	return &reading{text: []rune(text), known: known}
}

// mark returns the text with the character at which it cannot be read replaced, ""
// where nothing is known to stand for it.
func (s *reading) mark(at *file.Error) string {
	i := min(at.From, len(s.text)-1)
	switch {
	case i < 0:
	case strings.HasPrefix(at.Message, "invalid char escape"): // \d of a pattern
		for ; i >= 0; i-- {
			if s.text[i] == '\\' {
				return string(s.text[:i]) + `\` + string(s.text[i:])
			}
		}
	case strings.ContainsRune("“”„‘’", s.text[i]):
		return strings.NewReplacer("“", `"`, "”", `"`, "„", `"`, "‘", "'", "’", "'").Replace(string(s.text))
	case marks[s.text[i]] != "":
		return string(s.text[:i]) + marks[s.text[i]] + string(s.text[i+1:])
	}
	return ""
}

// at returns word i, an empty one beyond the ends.
func (s *reading) at(i int) lexer.Token {
	if i < 0 || i >= len(s.words) {
		return lexer.Token{Location: file.Location{From: len(s.text), To: len(s.text)}}
	}
	return s.words[i]
}

// raw is the text of the words from one up to another.
func (s *reading) raw(from, to int) string {
	if from >= to {
		return ""
	}
	return string(s.text[s.at(from).From:s.at(to-1).To])
}

// replaced is the text with words replaced.
func (s *reading) replaced(from, to int, with string) string {
	begin, end := s.at(from).From, s.at(from).From
	if to > from {
		end = s.at(to - 1).To
	}
	before, after := string(s.text[:begin]), string(s.text[end:])
	if joins(before, with) {
		before += " "
	}
	if joins(with, after) {
		after = " " + after
	}
	return before + with + after
}

// is reports whether word i is a word of these, in upper or lower case; a column of
// the name comes first.
func (s *reading) is(i int, words ...string) bool {
	return i >= 0 && i < len(s.words) && s.lower[i] != "" && slices.Contains(words, s.lower[i])
}

// joined is the text with + for ||, which joins texts in SQL.
func (s *reading) joined() string {
	text := slices.Clone(s.text)
	for _, w := range s.words {
		if w.Value == "||" && w.Kind == lexer.Operator {
			text[w.From], text[w.From+1] = '+', ' '
		}
	}
	return strings.ReplaceAll(string(text), "+  ", "+ ")
}

// isName reports whether word i is an identifier.
func (s *reading) isName(i int) bool { return s.at(i).Kind == lexer.Identifier }

// sign reports whether word i is an operator or bracket, written so.
func (s *reading) sign(i int, text string) bool {
	w := s.at(i)
	return w.Value == text && (w.Kind == lexer.Operator || w.Kind == lexer.Bracket)
}

// match returns the place of the bracket that belongs to the one at i, -1 for none.
func (s *reading) match(i int) int {
	depth, step := 0, 1
	if closes(s.at(i).Value) {
		step = -1
	}
	for j := i; j >= 0 && j < len(s.words); j += step {
		switch {
		case s.words[j].Kind != lexer.Bracket:
			continue
		case closes(s.words[j].Value):
			depth -= step
		default:
			depth += step
		}
		if depth == 0 {
			return j
		}
	}
	return -1
}

func closes(bracket string) bool { return bracket == ")" || bracket == "]" || bracket == "}" }

// before returns where the operand begins that ends before word i.
func (s *reading) before(i int) int {
	j := i - 1
	for {
		if s.sign(j, ")") || s.sign(j, "]") {
			if j = s.match(j); j < 0 {
				return i
			}
			if prev := s.at(j - 1); prev.Kind == lexer.Identifier || s.sign(j-1, ")") || s.sign(j-1, "]") || s.sign(j, "[") && prev.Kind == lexer.String {
				j--
				continue
			}
		}
		if !s.sign(j-1, ".") {
			return max(j, 0)
		}
		j -= 2
	}
}

// reach is before, over operators of the kinds given.
func (s *reading) reach(i int, operators string) int {
	for i = s.before(i); i > 1 && s.at(i-1).Kind == lexer.Operator && slices.Contains(strings.Fields(operators), s.at(i-1).Value); {
		i = s.before(i - 1)
	}
	return i
}

// extent is after, over operators of the kinds given.
func (s *reading) extent(i int, operators string) int {
	for i = s.after(i); s.at(i).Kind == lexer.Operator && slices.Contains(strings.Fields(operators), s.at(i).Value); {
		i = s.after(i + 1)
	}
	return i
}

// after returns where the operand ends that begins with word i.
func (s *reading) after(i int) int {
	for s.sign(i, "-") || s.sign(i, "+") || s.is(i, "not", "!") {
		i++
	}
	for {
		if s.sign(i, "(") || s.sign(i, "[") {
			if i = s.match(i); i < 0 {
				return len(s.words)
			}
		}
		if next := i + 1; s.sign(next, "(") || s.sign(next, "[") {
			i = next
		} else if s.sign(next, ".") {
			i = next + 1
		} else {
			return min(next, len(s.words))
		}
	}
}

// enclosed returns how far the words reach from i to each side within one bracket
// and one place of a list.
func (s *reading) enclosed(i int) (from, to int) {
	for from = i; from > 0 && !s.sign(from-1, ",") && !s.sign(from-1, "(") && !s.sign(from-1, "["); from-- {
		if s.sign(from-1, ")") || s.sign(from-1, "]") {
			from = max(s.match(from-1), 0) + 1
		}
	}
	for to = i; to < len(s.words) && !s.sign(to, ",") && !s.sign(to, ")") && !s.sign(to, "]"); to++ {
		if s.sign(to, "(") || s.sign(to, "[") {
			if to = s.match(to); to < 0 {
				return from, len(s.words)
			}
		}
	}
	return from, to
}

// whole puts what is no operand by itself in brackets, unless it stands alone.
func (s *reading) whole(from, to int, text string) string {
	if l, r := s.enclosed(from); l == from && r == to {
		return text
	}
	return "(" + text + ")"
}

// args returns the arguments between the brackets at i.
func (s *reading) args(i int) (args []string, end int) {
	if end = s.match(i); end < 0 {
		return nil, -1
	}
	for j := i + 1; j < end; {
		_, to := s.enclosed(j)
		to = min(to, end)
		args = append(args, s.raw(j, to))
		j = to + 1
	}
	return args, end + 1
}

// parameter is an argument in a form; counted is arithmetic of places, which
// begin with 1 in SQL.
var (
	parameter = regexp.MustCompile(`\$([1-9*+']|\[\])`)
	counted   = regexp.MustCompile(`\b([0-9]+) - 1( \+ ([0-9]+))?`)
)

// expand puts arguments into a form; ok is false where there are too few or many.
func (s *reading) expand(form string, args []string) (text string, ok bool) {
	most := 0
	ok = true
	for _, m := range parameter.FindAllStringSubmatch(form, -1) {
		if n, err := strconv.Atoi(m[1]); err == nil {
			most = max(most, n)
		} else {
			most = len(args)
		}
	}
	if len(args) == 0 || len(args) != most || slices.Contains(args, "") {
		return "", false
	}
	var b strings.Builder
	for form != "" {
		before, rest, more := strings.Cut(form, "$")
		b.WriteString(before)
		if !more {
			break
		}
		which, length := rest[0], 1
		switch which {
		case '*':
			b.WriteString(strings.Join(args, ", "))
		case '+':
			parts := make([]string, len(args))
			for i, a := range args {
				parts[i] = operand(a)
			}
			b.WriteString(strings.Join(parts, " + "))
		case '\'':
			w := read(args[0], nil).words
			ok = ok && len(w) == 1 && w[0].Kind == lexer.String
			b.WriteString(args[0])
		case '[':
			length = 2
			if len(args) == 2 && strings.ContainsAny(args[1][:1], "[({") {
				b.WriteString("[" + args[1][1:len(args[1])-1] + "]")
			} else {
				b.WriteString("[" + strings.Join(args[1:], ", ") + "]")
			}
		default:
			a := args[which-'1']
			if !(strings.HasSuffix(before, "(") || strings.HasSuffix(before, ", ")) || !strings.HasPrefix(rest[1:], ")") && !strings.HasPrefix(rest[1:], ",") {
				a = operand(a)
			} else {
				a = bare(a)
			}
			b.WriteString(a)
		}
		form = rest[length:]
	}
	text = counted.ReplaceAllStringFunc(b.String(), func(sum string) string {
		m := counted.FindStringSubmatch(sum)
		from, _ := strconv.Atoi(m[1])
		length, _ := strconv.Atoi(m[3])
		ok = ok && from > 0
		return strconv.Itoa(from - 1 + length)
	})
	return text, ok
}

// bare is a text without brackets around all of it.
func bare(text string) string {
	if s := read(text, nil); s.sign(0, "(") && s.match(0) == len(s.words)-1 {
		return s.raw(1, len(s.words)-1)
	}
	return text
}

// operand is a text as one operand: in brackets, if it is none yet.
func operand(text string) string {
	s := read(text, nil)
	if len(s.words) > 0 && s.after(0) == len(s.words) && !s.is(0, "-", "+", "not", "!") {
		return text
	}
	return "(" + text + ")"
}
