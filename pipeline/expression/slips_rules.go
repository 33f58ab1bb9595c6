package expression

import (
	"iter"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/parser/lexer"

	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/pipeline/table"
)

// rewrite returns the first words that another language has in the place of
// others here.
func (s *reading) rewrite() (from, to int, with string, ok bool) {
	for _, rule := range []func(i int) (from, to int, with string){
		s.signs, s.between, s.cases, s.sets, s.like, s.spelt, s.cast, s.extract, s.doubled, s.texts, s.names, s.modules, s.method, s.function, s.divided, s.choice,
	} {
		for i := range s.words {
			if from, to, with := rule(i); to > from && with != s.raw(from, to) {
				return from, to, with, true
			}
		}
	}
	return 0, 0, "", false
}

// signs are =, ===, !==, <>, =<, =>, & and |.
func (s *reading) signs(i int) (from, to int, with string) {
	w, next := s.at(i), s.at(i+1)
	pair := ""
	if w.Kind == lexer.Operator && next.Kind == lexer.Operator && next.From == w.To {
		pair = w.Value + next.Value
	}
	switch pair {
	case "<>":
		return i, i + 2, "!="
	case "=>":
		return i, i + 2, ">="
	case "=<":
		return i, i + 2, "<="
	case "===":
		return i, i + 2, "=="
	case "!==":
		return i, i + 2, "!="
	}
	switch {
	case s.sign(i, "="):
		return i, i + 1, "=="
	case s.at(i-1).Kind == lexer.Number || next.Kind == lexer.Number: // of bits
	case s.sign(i, "&"):
		return i, i + 1, "and"
	case s.sign(i, "|"):
		return i, i + 1, "or"
	}
	return 0, 0, ""
}

// between is x BETWEEN a AND b.
func (s *reading) between(i int) (from, to int, with string) {
	const sums = "+ - * / % ** ^"
	middle := s.extent(i+1, sums)
	if i == 0 || !s.is(i, "between") || !s.is(middle, "and") {
		return 0, 0, ""
	}
	end, negated := i, s.is(i-1, "not")
	if negated {
		end--
	}
	from, to = s.reach(end, sums), s.extent(middle+1, sums)
	with = s.raw(i+1, middle) + " <= " + s.raw(from, end) + " <= " + s.raw(middle+1, to)
	if negated {
		with = "not (" + with + ")"
	}
	return from, to, with
}

// cases is the innermost CASE … END.
func (s *reading) cases(i int) (from, to int, with string) {
	if !s.is(i, "case") {
		return 0, 0, ""
	}
	var b strings.Builder
	of, last, part := "", "", i+1
	for j := i + 1; j < len(s.words); j++ {
		if s.is(j, "case") {
			return 0, 0, ""
		}
		if !s.is(j, "when", "then", "else", "end") {
			continue
		}
		text, word := s.raw(part, j), strings.ToLower(s.at(j).Value)
		part = j + 1
		switch last {
		case "":
			of = text
		case "when":
			if of != "" {
				text = of + " == " + text
			}
			b.WriteString(text + " ? ")
		case "then":
			b.WriteString(text + " : ")
		case "else":
			b.WriteString(text)
		}
		if last = word; word == "end" {
			if strings.HasSuffix(b.String(), " : ") {
				b.WriteString("null")
			}
			return i, j + 1, s.whole(i, j+1, b.String())
		}
	}
	return 0, 0, ""
}

// sets is IN (a, b), in {a, b}, in [1..5] and in range(1, 6).
func (s *reading) sets(i int) (from, to int, with string) {
	open, ranged := i+1, s.is(i+1, "range") && s.sign(i+2, "(")
	if ranged {
		open++
	}
	if !s.is(i, "in") || s.at(open).Kind != lexer.Bracket {
		return 0, 0, ""
	}
	end := s.match(open)
	inner := s.raw(open+1, end)
	past, err := strconv.Atoi(s.at(open + 3).Value)
	switch {
	case end < 0:
	case ranged && s.sign(open+2, ",") && end == open+4 && err == nil:
		return i, end + 1, "in " + s.raw(open+1, open+2) + ".." + strconv.Itoa(past-1)
	case !ranged && s.sign(open+2, "..") && end == open+4:
		return i, end + 1, "in " + inner
	case !ranged && !s.sign(open, "["):
		return i, end + 1, "in [" + inner + "]"
	}
	return 0, 0, ""
}

// like is x LIKE 'a%'.
func (s *reading) like(i int) (from, to int, with string) {
	w := s.at(i + 1)
	if i == 0 || !s.is(i, "like", "ilike") || w.Kind != lexer.String || strings.Contains(w.Value, `\`) {
		return 0, 0, ""
	}
	from, not := i, ""
	if s.is(i-1, "not") {
		from, not = i-1, "not "
	}
	text, front, back := w.Value, strings.HasPrefix(w.Value, "%"), strings.HasSuffix(w.Value, "%") && len(w.Value) > 1
	inner := strings.TrimPrefix(text, "%")
	if back {
		inner = strings.TrimSuffix(inner, "%")
	}
	quoted := strconv.Quote(inner)
	switch {
	case s.is(i, "ilike") || strings.ContainsAny(inner, "%_") || inner == "":
		flags := "s"
		if s.is(i, "ilike") {
			flags += "i"
		}
		pattern := strings.NewReplacer("%", ".*", "_", ".").Replace(regexp.QuoteMeta(text))
		return from, i + 2, not + "matches " + strconv.Quote("(?"+flags+")^"+pattern+"$")
	case front && back:
		return from, i + 2, not + "contains " + quoted
	case front:
		return from, i + 2, not + "endsWith " + quoted
	case back:
		return from, i + 2, not + "startsWith " + quoted
	case not != "":
		return from, i + 2, "!= " + quoted
	}
	return from, i + 2, "== " + quoted
}

// spelt are words in another case or with another name.
func (s *reading) spelt(i int) (from, to int, with string) {
	w := s.at(i).Value
	if s.known.has(w) || !s.isName(i) && !s.is(i, "contains", "matches") || s.sign(i-1, ".") {
		return 0, 0, ""
	}
	call := s.sign(i+1, "(")
	switch op, infix := infixes[plain(w)]; {
	case s.is(i, "and", "or", "not", "in"):
		return i, i + 1, strings.ToLower(w)
	case i > 0 && !call && s.is(i, "isnull"):
		return i, i + 1, "== null"
	case i > 0 && !call && s.is(i, "notnull"):
		return i, i + 1, "!= null"
	case s.is(i, "is") && s.is(i+1, "not"):
		return i, i + 2, "!="
	case s.is(i, "is"):
		return i, i + 1, "=="
	case constants[strings.ToLower(w)] != "" && !call:
		return i, i + 1, constants[strings.ToLower(w)]
	case infix && i > 0 && !call && s.at(i-1).Kind != lexer.Operator && s.after(i+1) > i+1:
		return i, i + 1, op
	case s.is(i, "date", "timestamp") && s.at(i+1).Kind == lexer.String:
		return i, i + 2, s.raw(i+1, i+2)
	}
	return 0, 0, ""
}

// cast is CAST(x AS type) and x::type.
func (s *reading) cast(i int) (from, to int, with string) {
	var what, as string
	switch {
	case s.is(i, "cast", "try_cast", "safe_cast") && s.sign(i+1, "("):
		end := s.match(i + 1)
		for j := i + 2; j < end; j++ {
			if s.is(j, "as") {
				from, to, what, as = i, end+1, s.raw(i+2, j), s.at(j+1).Value
			}
		}
	case s.sign(i, "::") && i > 0:
		from, to, as = s.before(i), i+2, s.at(i+1).Value
		if s.sign(to, "(") {
			to = s.match(to) + 1
		}
		what = s.raw(from, i)
	}
	if fn := casts[plain(as)]; fn != "" {
		return from, to, fn + "(" + bare(what) + ")"
	}
	if w := read(what, nil).words; len(w) == 1 && w[0].Kind == lexer.String && slips[plain(as)] == "$'" {
		return from, to, what
	}
	return 0, 0, ""
}

// extract is EXTRACT(hour FROM t) and date_part('hour', t).
func (s *reading) extract(i int) (from, to int, with string) {
	part, separated := strings.ToLower(s.at(i+2).Value), s.is(i+3, "from") || s.sign(i+3, ",")
	if s.is(i, "extract", "date_part", "datepart") && s.sign(i+1, "(") && separated && clockParts[part] != nil {
		if end := s.match(i + 1); end > 0 {
			return i, end + 1, part + "(" + s.raw(i+4, end) + ")"
		}
	}
	return 0, 0, ""
}

// doubled is a quote within a text as SQL writes it: 'O”Hare'.
func (s *reading) doubled(i int) (from, to int, with string) {
	a, b := s.at(i), s.at(i+1)
	if a.Kind == lexer.String && b.Kind == lexer.String && a.To == b.From && s.text[b.From] != '`' {
		return i, i + 2, strconv.Quote(a.Value + string(s.text[b.From]) + b.Value)
	}
	return 0, 0, ""
}

// texts are strings in backticks.
func (s *reading) texts(i int) (from, to int, with string) {
	w := s.at(i)
	if w.Kind == lexer.String && s.text[w.From] == '`' && (s.is(i-1, "matches") || s.known != nil && !s.known.has(w.Value)) {
		return i, i + 1, strconv.Quote(w.Value)
	}
	return 0, 0, ""
}

// names are [x], df["x"], t.x and col("x"), and names with blanks, which are several
// words as long as nobody knows the columns.
func (s *reading) names(i int) (from, to int, with string) {
	if name := s.at(i + 1); s.sign(i, "[") && s.sign(i+2, "]") && !s.is(i-1, "in") && (i == 0 || s.at(i-1).Kind == lexer.Operator || s.sign(i-1, "(")) && s.known.has(name.Value) {
		return i, i + 3, Reference(name.Value)
	}
	if !s.isName(i) || s.known.has(s.at(i).Value) {
		return 0, 0, ""
	}
	w, inner := s.at(i).Value, s.at(i+2)
	switch {
	case s.sign(i+1, "[") && inner.Kind == lexer.String && s.sign(i+3, "]") && w != "$env" && (s.known == nil || s.known.has(inner.Value)):
		return i, i + 4, Reference(inner.Value)
	case s.sign(i+1, ".") && s.known.has(inner.Value) && !s.sign(i+3, "("):
		return i, i + 3, inner.Value
	case s.is(i, "col", "column") && s.sign(i+1, "(") && inner.Kind == lexer.String && s.sign(i+3, ")"):
		return i, i + 4, Reference(inner.Value)
	}
	for to = i; s.known == nil && to < i+4 && s.isName(to) && !s.sign(to+1, "(") && !s.is(to, "if", "else", "div", "as", "case", "when", "then", "end",
		"select", "from", "let", "over", "order", "by", "group", "where", "interval"); to++ {
	}
	if to > i+1 && to <= i+3 && !s.isName(to) {
		return i, to, Reference(s.raw(i, to))
	}
	return 0, 0, ""
}

// modules are what stands before functions and before methods of one kind.
func (s *reading) modules(i int) (from, to int, with string) {
	switch {
	case s.sign(i+1, ".") && s.is(i, modules...) && s.isName(i+2) && s.sign(i+3, "("):
		return i, i + 3, s.at(i + 2).Value
	case s.sign(i, ".") && (s.at(i+1).Value == "str" || s.at(i+1).Value == "dt") && s.sign(i+2, "."):
		return i, i + 3, "."
	}
	return 0, 0, ""
}

// method is x.f(a), and properties.
func (s *reading) method(i int) (from, to int, with string) {
	if !s.sign(i, ".") || i == 0 || !s.isName(i+1) && !s.is(i+1, "contains", "matches") {
		return 0, 0, ""
	}
	from = s.before(i)
	args := []string{s.raw(from, i)}
	name, end := s.at(i+1).Value, i+2
	if s.sign(end, "(") {
		more, past := s.args(end)
		if end = past; end < 0 {
			return 0, 0, ""
		}
		args = append(args, more...)
	} else if clockParts[name] == nil && name != "length" {
		return 0, 0, ""
	}
	to = end
	// when(c, a).otherwise(b), and when(c).then(a).otherwise(b).
	if when := read(args[0], nil); name == "otherwise" && len(args) == 2 && when.is(0, "when") && when.sign(1, "(") {
		if of, end := when.args(1); end > 0 {
			if when.sign(end, ".") && when.is(end+1, "then") {
				then, _ := when.args(end + 2)
				of = append(of, then...)
			}
			if len(of) == 2 {
				return from, to, s.whole(from, to, bare(of[0])+" ? "+of[1]+" : "+args[1])
			}
		}
	}
	// The type that astype and cast have in their brackets.
	if (name == "astype" || name == "cast") && len(args) == 2 {
		if fn := casts[plain(strings.Trim(args[1], `'"`))]; fn != "" {
			return from, end, fn + "(" + bare(args[0]) + ")"
		}
	}
	return s.called(from, end, name, args, ".")
}

// function is f(a) where f has another name here.
func (s *reading) function(i int) (from, to int, with string) {
	w := s.at(i)
	if w.Kind != lexer.Identifier && !s.is(i, "startswith", "endswith", "contains", "matches") || !s.sign(i+1, "(") || s.sign(i-1, ".") {
		return 0, 0, ""
	}
	args, end := s.args(i + 1)
	if end < 0 {
		return 0, 0, ""
	}
	return s.called(i, end, w.Value, args, "")
}

// called is a call of a function of another language in this one.
func (s *reading) called(from, to int, name string, args []string, kind string) (int, int, string) {
	key, n := plain(name), "/"+strconv.Itoa(len(args))
	forms := []string{key + n, key}
	if kind != "" {
		forms = slices.Concat([]string{"." + key + n, "." + key}, forms)
	}
	for _, k := range forms {
		form, ok := slips[k]
		if !ok {
			continue
		}
		if text, fits := s.expand(form, args); fits {
			if operand(text) != text {
				text = s.whole(from, to, text)
			}
			return from, to, text
		}
		return 0, 0, ""
	}
	if isFunction(name) && kind == "" {
		return 0, 0, ""
	}
	if near := spelling.Nearest(key, functionNames()); strings.EqualFold(near, key) {
		return from, to, near + "(" + bare(strings.Join(args, ", ")) + ")"
	}
	for _, prefix := range []string{"", "to", "parse", "as"} {
		if fn := casts[strings.TrimPrefix(key, prefix)]; fn != "" && len(args) == 1 {
			return from, to, fn + "(" + bare(args[0]) + ")"
		}
	}
	return 0, 0, ""
}

// divided is a // b, which read makes a div b.
func (s *reading) divided(i int) (from, to int, with string) {
	if i == 0 || !s.is(i, "div") || s.after(i+1) <= i+1 {
		return 0, 0, ""
	}
	from, to = s.reach(i, "* / %"), s.extent(i+1, "** ^")
	return from, to, "int(floor(" + s.raw(from, i) + " / " + s.raw(i+1, to) + "))"
}

// choice is the last a if c else b.
func (s *reading) choice(i int) (from, to int, with string) {
	if !s.is(i, "if") || slices.ContainsFunc(s.words[i+1:], func(w lexer.Token) bool { return w.Value == "if" }) {
		return 0, 0, ""
	}
	from, to = s.enclosed(i)
	middle := 0
	for j := from; j < to; j++ {
		switch {
		case !s.is(j, "else"):
		case j < i:
			from = j + 1
		case middle == 0:
			middle = j
		}
	}
	if middle == 0 {
		return 0, 0, ""
	}
	if from == i { // if (c) a else b
		then := s.after(i + 1)
		return from, to, s.whole(from, to, s.raw(i+1, then)+" ? "+s.raw(then, middle)+" : "+s.raw(middle+1, to))
	}
	return from, to, s.whole(from, to, s.raw(i+1, middle)+" ? "+s.raw(from, i)+" : "+s.raw(middle+1, to))
}

// candidates yields the text with the words at an offset changed in the ways in
// which types are mistaken: the likeliest first.
func (s *reading) candidates(offset int) iter.Seq[string] {
	i := slices.IndexFunc(s.words, func(w lexer.Token) bool { return w.From == offset })
	places := []int{i}
	if s.sign(i, "+") {
		places = []int{i + 1, s.before(i)}
		if next := s.after(i + 1); s.sign(next, "+") {
			places = append([]int{next + 1}, places...)
		}
	} else if s.at(i).Kind == lexer.Operator {
		places = []int{s.before(i), i + 1}
	} else if s.sign(i-1, "+") {
		places = []int{s.before(i - 1), i}
	} else if next := s.after(i); s.sign(next, "+") {
		places = []int{next + 1, i}
	}
	return func(yield func(string) bool) {
		if i < 0 {
			return
		}
		try := func(from, to int, with string) bool { return with == "" || yield(s.replaced(from, to, with)) }
		if s.is(i-1, "not") || s.is(i-1, "!") {
			to := i
			for _, end := s.enclosed(i); to < end && !s.is(to, "and", "or", "&&", "||", "?", ":"); to = max(s.after(to), to+1) {
			}
			if !try(i, to, "("+s.raw(i, to)+")") {
				return
			}
		}
		if !try(s.alternative(i)) {
			return
		}
		for _, p := range places {
			for _, w := range s.literally(p) {
				if !try(p, p+1, w) {
					return
				}
			}
		}
		if from, to := s.enclosed(i); s.at(i).Kind == lexer.Operator && s.sign(from-1, "(") && !try(from, to, s.raw(from, to)+" ? 1 : 0") {
			return
		}
		for _, p := range places {
			if k := s.at(p).Kind; k != lexer.Identifier && s.at(p).Value != "(" {
				continue
			}
			to := s.after(p)
			for _, wrap := range conversions[s.known[s.raw(p, to)]] {
				if wrap == "string(%)" && s.at(i).Kind == lexer.Operator && (s.at(i-1).Kind == lexer.String || s.at(i+1).Kind == lexer.String) && !s.sign(i, "+") && !s.sign(i, "??") {
					continue // no number has that text
				}
				if inner, ok := strings.CutPrefix(wrap, "("); ok && s.sign(p-1, "(") && s.sign(to, ")") {
					wrap = strings.TrimSuffix(inner, ")")
				}
				if !try(p, to, strings.Replace(wrap, "%", s.raw(p, to), 1)) {
					return
				}
			}
		}
	}
}

// conversions make a value of a type one of another; "" stands for what is no column.
var conversions = map[table.Type][]string{
	table.Int64:   {"string(%)", "(% != 0)"},
	table.Float64: {"int(%)", "string(%)", "(% != 0)"},
	table.String:  {"float(%)", "int(%)"},
	table.Bool:    {"(% ? 1 : 0)", "string(%)"},
	"":            {"float(%)", "string(%)", "int(%)", "(% != 0)"},
}

// alternative is x == a or b, where b is at i.
func (s *reading) alternative(i int) (from, to int, with string) {
	literal := func(i int) bool { return s.at(i).Kind == lexer.String || s.at(i).Kind == lexer.Number }
	switch {
	case !s.is(i-1, "or") || !literal(i):
		return 0, 0, ""
	case s.sign(i-2, "]"):
		return i - 2, i + 1, ", " + s.raw(i, i+1) + "]"
	case literal(i-2) && s.sign(i-3, "=="):
		return i - 3, i + 1, "in [" + s.raw(i-2, i-1) + ", " + s.raw(i, i+1) + "]"
	}
	return 0, 0, ""
}

// literally is word i as a literal of another type, or as a column.
func (s *reading) literally(i int) []string {
	w := s.at(i)
	switch {
	case w.Kind != lexer.Identifier && !s.known.has(w.Value) && (s.sign(i-1, "+") || s.sign(i+1, "+")):
		return nil
	case w.Kind == lexer.Number && (w.Value == "0" || w.Value == "1"):
		return []string{strconv.Quote(w.Value), strconv.FormatBool(w.Value == "1")}
	case w.Kind == lexer.Number:
		return []string{strconv.Quote(w.Value)}
	case w.Kind == lexer.Identifier && absent[plain(w.Value)] != "":
		return nil
	case w.Kind == lexer.Identifier && s.sign(i+1, "("):
		return []string{spelling.Nearest(w.Value, functionNames())}
	case w.Kind == lexer.Identifier && s.known != nil && !s.known.has(w.Value):
		near := spelling.Nearest(w.Value, slices.Values(slices.Sorted(maps.Keys(s.known))))
		if near != "" {
			near = Reference(near)
		}
		if s.is(i+2, "null") || s.is(i-2, "null") {
			return []string{near} // no text is null
		}
		return []string{near, strconv.Quote(w.Value)}
	case w.Kind == lexer.String && s.known.has(w.Value):
		return []string{Reference(w.Value)}
	case w.Kind == lexer.String && plainNumber.MatchString(w.Value):
		return []string{w.Value}
	case w.Kind == lexer.String && (strings.EqualFold(w.Value, "true") || strings.EqualFold(w.Value, "false")):
		return []string{strings.ToLower(w.Value)}
	}
	return nil
}

// plainNumber is a number as people write it.
var plainNumber = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)
