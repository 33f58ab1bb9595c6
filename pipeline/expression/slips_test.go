package expression_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/table"
)

// odd are the columns of flights and some whose names are no identifiers.
var odd = table.Schema{Columns: append(append([]table.Column{}, flights.Columns...),
	table.Column{Name: "unit-price", Type: table.Float64}, table.Column{Name: "a.b", Type: table.Int64}, table.Column{Name: "2nd stop", Type: table.String},
	table.Column{Name: "größe (m²)", Type: table.Float64}, table.Column{Name: "back`tick", Type: table.Int64}), Unsupported: flights.Unsupported}

// TestSlipsAreAnsweredWithTheRightForm: what people write who know SQL, pandas,
// Spark, DuckDB, Python or JavaScript gets the form that it has here, and that form
// compiles.
func TestSlipsAreAnsweredWithTheRightForm(t *testing.T) {
	for _, c := range slips {
		_, err := expression.Compile(c.source, odd, nil)
		var p *expression.Problem
		if !errors.As(err, &p) {
			t.Errorf("%s: error %v", c.source, err)
			continue
		}
		if p.Hint != c.hint {
			t.Errorf("%s: %s (%s), want (%s)", c.source, p, p.Hint, c.hint)
		}
		if form, ok := strings.CutPrefix(c.hint, "write "); ok && !strings.HasPrefix(form, "weekday(t)") {
			if form, _, unknown := strings.Cut(form, "; then there is no "); unknown {
				err = expression.CheckSyntax(form)
			} else {
				_, err = expression.Compile(form, odd, nil)
			}
			if err != nil {
				t.Errorf("the form for %s does not compile: %v", c.source, err)
			}
		}
	}
}

// TestSlipsOfSyntaxAreAnsweredWhereNobodyKnowsTheColumns, as in a spec that has
// other faults.
func TestSlipsOfSyntaxAreAnsweredWhereNobodyKnowsTheColumns(t *testing.T) {
	for source, want := range map[string]string{
		"x IS NULL AND y = 1":              "write x == null and y == 1",
		"tail number == 'N1'":              "write `tail number` == 'N1'",
		"1 if x > 0 else 0":                "write x > 0 ? 1 : 0",
		"x BETWEEN 1 AND 2":                "write 1 <= x <= 2",
		"select x from t":                  "",
		"x ? 1":                            "",
		"CASE WHEN x > 1 THEN 1 END":       "write x > 1 ? 1 : null",
		"COALESCE(x, 1) <> CAST(y AS INT)": "write coalesce(x, 1) != int(y)",
	} {
		err := expression.CheckSyntax(source)
		var p *expression.Problem
		if !errors.As(err, &p) || p.Hint != want {
			t.Errorf("%s: %v, want %s", source, err, want)
			continue
		}
		if form, ok := strings.CutPrefix(want, "write "); ok && expression.CheckSyntax(form) != nil {
			t.Errorf("the form for %s: %v", source, expression.CheckSyntax(form))
		}
	}
}

// TestFormsOfFunctionsCompile: those that a call with too few or many arguments is
// answered with.
func TestFormsOfFunctionsCompile(t *testing.T) {
	schema := table.Schema{Columns: []table.Column{{Name: "x", Type: table.Int64}, {Name: "a", Type: table.Int64}, {Name: "b", Type: table.Int64}, {Name: "t", Type: table.Timestamp}, {Name: "u", Type: table.Timestamp}}}
	for _, name := range []string{"s", "cut", "prefix", "suffix", "old", "new", "by"} {
		schema.Columns = append(schema.Columns, table.Column{Name: name, Type: table.String})
	}
	for _, f := range expression.Explain().Functions {
		for _, form := range f.Forms {
			if strings.Contains(f.Yields, "list") {
				form += "[0]"
			}
			if _, err := expression.Compile(form, schema, nil); err != nil {
				t.Error(err)
			}
		}
		_, err := expression.Compile(f.Names[0]+"(a, b, a, b)", schema, nil)
		if f.Names[0] != "min" && f.Names[0] != "max" && f.Names[0] != "coalesce" && (err == nil || !strings.Contains(err.Error(), "write "+strings.Join(f.Forms, " or "))) {
			t.Errorf("%s of four arguments: %v", f.Names[0], err)
		}
	}
}

// slips are texts of other languages, and what they are answered with.
var slips = []struct{ source, hint string }{
	{`delay = 5`, `write delay == 5`},
	{`delay = 5 AND origin = 'JFK'`, `write delay == 5 and origin == 'JFK'`},
	{`delay == 5 OR late`, `write delay == 5 or late`},
	{`NOT late`, `write not late`},
	{`NOT delay > 5`, `write not (delay > 5)`},
	{`not delay > 5 and late`, `write not (delay > 5) and late`},
	{`delay <> 5`, `write delay != 5`},
	{`delay === 5`, `write delay == 5`},
	{`delay !== 5`, `write delay != 5`},
	{`delay => 5`, `write delay >= 5`},
	{`delay =< 5`, `write delay <= 5`},
	{`delay IS NULL`, `write delay == null`},
	{`delay is not null and late IS NOT NULL`, `write delay != null and late != null`},
	{`delay is None`, `write delay == null`},
	{`delay is not None`, `write delay != null`},
	{`delay == None`, `write delay == null`},
	{`delay == NULL`, `write delay == null`},
	{`delay == NaN`, `write delay == null`},
	{`delay == nan`, `write delay == null`},
	{`late == True`, `write late == true`},
	{`late is True`, `write late == true`},
	{`late = TRUE`, `write late == true`},
	{`late == 'true'`, `write late == true`},
	{`late == 1`, `write late == true`},
	{`origin == 5`, `write origin == "5"`},
	{`delay == '5'`, `write delay == 5`},
	{`delay > '15.5'`, `write delay > 15.5`},
	{`origin IN ('JFK', 'LAX')`, `write origin in ['JFK', 'LAX']`},
	{`origin not in ('JFK', 'LAX')`, `write origin not in ['JFK', 'LAX']`},
	{`origin NOT IN ('JFK')`, `write origin not in ['JFK']`},
	{`delay in {1, 2}`, `write delay in [1, 2]`},
	{`delay in (1, 2) or late`, `write delay in [1, 2] or late`},
	{`delay BETWEEN 1 AND 10`, `write 1 <= delay <= 10`},
	{`delay not between 1 and 10 and late`, `write not (1 <= delay <= 10) and late`},
	{`distance + 1 BETWEEN 1 AND 10 OR late`, `write 1 <= distance + 1 <= 10 or late`},
	{`date BETWEEN '2020-01-01' AND '2020-02-01'`, `write '2020-01-01' <= date <= '2020-02-01'`},
	{`origin LIKE 'J%'`, `write origin startsWith "J"`},
	{`origin LIKE '%F%'`, `write origin contains "F"`},
	{`origin NOT LIKE '%K'`, `write origin not endsWith "K"`},
	{`origin LIKE 'J_K'`, `write origin matches "(?s)^J.K$"`},
	{`origin ILIKE 'jf%'`, `write origin matches "(?si)^jf.*$"`},
	{`origin LIKE 'JFK'`, `write origin == "JFK"`},
	{`CASE WHEN delay > 15 THEN 1 ELSE 0 END`, `write delay > 15 ? 1 : 0`},
	{`CASE WHEN delay > 60 THEN 'long' WHEN delay > 15 THEN 'short' ELSE 'none' END`, `write delay > 60 ? 'long' : delay > 15 ? 'short' : 'none'`},
	{`CASE WHEN delay > 60 THEN 'long' END`, `write delay > 60 ? 'long' : null`},
	{`CASE origin WHEN 'JFK' THEN 1 WHEN 'LAX' THEN 2 ELSE 0 END`, `write origin == 'JFK' ? 1 : origin == 'LAX' ? 2 : 0`},
	{`CASE WHEN late THEN CASE WHEN delay > 9 THEN 2 ELSE 1 END ELSE 0 END + 1`, `write (late ? (delay > 9 ? 2 : 1) : 0) + 1`},
	{`COALESCE(delay, 0)`, `write coalesce(delay, 0)`},
	{`CAST(delay AS VARCHAR)`, `write string(delay)`},
	{`CAST(origin AS DOUBLE PRECISION)`, `write float(origin)`},
	{`delay::float`, `write float(delay)`},
	{`origin::decimal(10,2) > 3`, `write float(origin) > 3`},
	{`TRY_CAST(origin AS INT)`, `write int(origin)`},
	{`TIMESTAMP '2020-01-01' < date`, `write '2020-01-01' < date`},
	{`date >= DATE '2020-01-01'`, `write date >= '2020-01-01'`},
	{`date >= DATE('2020-01-01')`, `write date >= '2020-01-01'`},
	{`date >= to_date('2020-01-01')`, `write date >= '2020-01-01'`},
	{`date >= pd.Timestamp('2020-01-01')`, `write date >= '2020-01-01'`},
	{`date > CAST('2020-01-01' AS DATE)`, `write date > '2020-01-01'`},
	{`EXTRACT(HOUR FROM date)`, `write hour(date)`},
	{`date_part('hour', date)`, `write hour(date)`},
	{`origin.lower()`, `write lower(origin)`},
	{`origin.upper().strip()`, `write trim(upper(origin))`},
	{`origin.str.lower()`, `write lower(origin)`},
	{`date.dt.hour`, `write hour(date)`},
	{`date.hour`, `write hour(date)`},
	{`origin.str.len()`, `write len(origin)`},
	{`origin.length`, `write len(origin)`},
	{`origin.startswith('J')`, `write origin startsWith 'J'`},
	{`origin.toLowerCase()`, `write lower(origin)`},
	{`origin.includes("J")`, `write origin contains "J"`},
	{`origin.isnull()`, `write origin == null`},
	{`delay.fillna(0)`, `write coalesce(delay, 0)`},
	{`delay.isin([1, 2])`, `write delay in [1, 2]`},
	{`delay.isin(1, 2)`, `write delay in [1, 2]`},
	{`origin.astype(int)`, `write int(origin)`},
	{`origin.astype('float')`, `write float(origin)`},
	{`delay.between(1, 2)`, `write 1 <= delay <= 2`},
	{`1 if late else 0`, `write late ? 1 : 0`},
	{`'a' if delay > 5 else 'b' if delay > 3 else 'c'`, `write delay > 5 ? 'a' : (delay > 3 ? 'b' : 'c')`},
	{`(1 if late else 0) + 1`, `write (late ? 1 : 0) + 1`},
	{`max(1 if late else 0, delay)`, `write max(late ? 1 : 0, delay)`},
	{`if (late) 1 else 0`, `write (late) ? 1 : 0`},
	{`if(late, 1, 0)`, `write late ? 1 : 0`},
	{`IF(delay > 15, 'a', 'b')`, `write (delay > 15) ? 'a' : 'b'`},
	{`iff(late, 1, 0)`, `write late ? 1 : 0`},
	{`np.where(delay > 5, 1, 0)`, `write (delay > 5) ? 1 : 0`},
	{`np.log(delay)`, `write log(delay)`},
	{`Math.abs(delay)`, `write abs(delay)`},
	{`math.floor(distance)`, `write floor(distance)`},
	{`F.lower(origin)`, `write lower(origin)`},
	{`F.col("delay") > 5`, `write delay > 5`},
	{`col("tail number") == 'N1'`, "write `tail number` == 'N1'"},
	{`pd.isna(delay)`, `write delay == null`},
	{`ISNULL(delay)`, `write delay == null`},
	{`ISNULL(delay, 0)`, `write coalesce(delay, 0)`},
	{`IFNULL(delay, 0) > 3`, `write coalesce(delay, 0) > 3`},
	{`NVL(delay, 0)`, `write coalesce(delay, 0)`},
	{`nullif(delay, 0)`, `write delay == 0 ? null : delay`},
	{`concat(origin, '-', origin)`, `write origin + '-' + origin`},
	{`origin || '-' || origin`, `write origin + '-' + origin`},
	{`CONCAT(origin, delay)`, `write origin + string(delay)`},
	{`substr(origin, 1, 2)`, `write origin[0:2]`},
	{`substring(origin, 2)`, `write origin[1:]`},
	{`origin.substring(0, 2)`, `write origin[0:2]`},
	{`left(origin, 2)`, `write origin[:2]`},
	{`right(origin, 2)`, `write origin[-2:]`},
	{`origin[0]`, `a part of a string is s[from:to]`},
	{`LENGTH(origin)`, `write len(origin)`},
	{`UPPER(origin)`, `write upper(origin)`},
	{`power(delay, 2)`, `write delay ** 2`},
	{`pow(delay, 2) + 1`, `write (delay ** 2) + 1`},
	{`mod(delay, 2)`, `write delay % 2`},
	{`round(distance, 2)`, `write round(distance * 10 ** 2) / 10 ** 2`},
	{`ceiling(distance)`, `write ceil(distance)`},
	{`trunc(distance)`, `write int(distance)`},
	{`ln(distance)`, `write log(distance)`},
	{`log10(distance)`, `write log(distance) / log(10)`},
	{`least(delay, 3)`, `write min(delay, 3)`},
	{`greatest(delay, 3)`, `write max(delay, 3)`},
	{`np.maximum(delay, 0)`, `write max(delay, 0)`},
	{`clip(delay, 0, 10)`, `write min(max(delay, 0), 10)`},
	{`sign(delay)`, `write delay > 0 ? 1 : delay < 0 ? -1 : 0`},
	{`starts_with(origin, 'J')`, `write origin startsWith 'J'`},
	{`contains(origin, 'J')`, `write origin contains 'J'`},
	{`regexp_matches(origin, '^J')`, `write origin matches '^J'`},
	{`origin RLIKE '^J'`, `write origin matches '^J'`},
	{`int(late)`, `write int(late ? 1 : 0)`},
	{`str(delay)`, `write string(delay)`},
	{`bool(delay)`, `write delay != 0`},
	{`to_number(origin)`, `write float(origin)`},
	{`parseInt(origin)`, `write int(origin)`},
	{`(delay > 5) & (late)`, `write (delay > 5) and (late)`},
	{`(delay > 5) | late`, `write (delay > 5) or late`},
	{`~late`, `write not late`},
	{`delay // 2`, `write int(floor(delay / 2))`},
	{`delay // 2 + 1`, `write int(floor(delay / 2)) + 1`},
	{`distance % 2`, `write int(distance) % 2`},
	{`delay and late`, `write (delay != 0) and late`},
	{`late + 1`, `write (late ? 1 : 0) + 1`},
	{`late * delay`, `write (late ? 1 : 0) * delay`},
	{`origin + delay`, `write origin + string(delay)`},
	{`delay + origin`, `write string(delay) + origin`},
	{`origin * 2`, `write float(origin) * 2`},
	{`hour(origin)`, `a text becomes a timestamp by a cast step in spec.preprocessing.clean`},
	{`lower(delay)`, `write lower(string(delay))`},
	{`abs(origin)`, `write abs(float(origin))`},
	{`date - date`, `a timestamp has year(t) to second(t) and secondsBetween(t, u), and can be compared with a date in quotes`},
	{`date > 20200101`, `a date stands in quotes, "2020-01-31"`},
	{`origin == JFK`, `write origin == "JFK"`},
	{`origin == "JFK" or "LAX"`, `write origin in ["JFK", "LAX"]`},
	{`delay == 5 or 6 or 7`, `write delay in [5, 6, 7]`},
	{`"origin" == 'JFK'`, `write origin == 'JFK'`},
	{`"delay" > 15`, `write delay > 15`},
	{`hour("date")`, `write hour(date)`},
	{`lower("origin") == "jfk"`, `write lower(origin) == "jfk"`},
	{`'origin'`, `write origin`},
	{`tail number == 'N1'`, "write `tail number` == 'N1'"},
	{`unit-price > 3`, "write `unit-price` > 3"},
	{`a.b > 3`, "write `a.b` > 3"},
	{`a.b IS NULL`, "write `a.b` == null"},
	{`2nd stop == 'x'`, "write `2nd stop` == 'x'"},
	{`größe (m²) > 2`, "write `größe (m²)` > 2"},
	{`df["delay"] > 5`, `write delay > 5`},
	{`df['tail number'] == 'x'`, "write `tail number` == 'x'"},
	{`df.delay > 5`, `write delay > 5`},
	{`row.origin == 'JFK'`, `write origin == 'JFK'`},
	{`flights.delay > 5`, `write delay > 5`},
	{`origin matches '\d+'`, `write origin matches '\\d+'`},
	{"origin matches `^\\d+$`", `write origin matches "^\\d+$"`},
	{"origin == `JFK`", `write origin == "JFK"`},
	{`delay ≥ 5`, `write delay >= 5`},
	{`delay − 5`, `write delay - 5`},
	{`'O''Hare' == origin`, `write "O'Hare" == origin`},
	{`now() - date`, `an expression has no clock; an age counts from a column`},
	{`sum(delay)`, `an expression sees one row, so there are no sums over rows`},
	{`avg(delay)`, `an expression sees one row, so there are no sums over rows`},
	{`count(delay)`, `an expression sees one row, so there are no sums over rows`},
	{`delay.sum()`, `an expression sees one row, so there are no sums over rows`},
	{`dayofweek(date)`, `write weekday(t), which counts from Monday 0 to Sunday 6`},
	{`datediff(date, date)`, `a timestamp has year(t) to second(t) and secondsBetween(t, u), and can be compared with a date in quotes`},
	{`strptime(origin, '%Y')`, `a text becomes a timestamp by a cast step in spec.preprocessing.clean`},
	{`random()`, `an expression is the same for the same row, so nothing is random`},
	{`delay ?? 'none'`, `write string(delay) ?? 'none'`},
	{`split(origin, '-')[0].lower()`, `write lower(split(origin, '-')[0])`},
	{`quarter(date)`, `write int((month(date) + 2) / 3)`},
	{`origin.replace('a', 'b')`, `write replace(origin, 'a', 'b')`},
	{`origin.split('-')[0]`, `write split(origin, '-')[0]`},
	{`origin contains JFK`, `write origin contains "JFK"`},
	{`origin.contains('J')`, `write origin contains 'J'`},
	{`delay mod 2`, `write delay % 2`},
	{`delay DIV 2`, `write int(floor(delay / 2))`},
	{`isnan(distance)`, `write distance == null`},
	{`delay == -1 or delay == None`, `write delay == -1 or delay == null`},
	{`“JFK” == origin`, `write "JFK" == origin`},
	{`lag(delay)`, `an expression sees one row, so there are no sums over rows`},
	{`DELAY IS NULL and orign = JFK`, `write delay == null and origin == "JFK"`},
	{`delay // 2 * 3 + delay * 2 // 3`, `write int(floor(delay / 2)) * 3 + int(floor(delay * 2 / 3))`},
	{`NOT (delay > 5 AND late)`, `write not (delay > 5 and late)`},
	{`NOT origin LIKE 'J%'`, `write not (origin startsWith "J")`},
	{`~origin.isna() & (delay > 3)`, `write not (origin == null) and (delay > 3)`},
	{`HOUR(date) BETWEEN 6 AND 9`, `write 6 <= hour(date) <= 9`},
	{`delay::int::text`, `write string(int(delay))`},
	{`(delay + 1)::float`, `write float(delay + 1)`},
	{`(delay + 1).abs()`, `write abs(delay + 1)`},
	{`delay notnull`, `write delay != null`},
	{`len(origin) > 3 if origin is not None else False`, `write origin != null ? len(origin) > 3 : false`},
	{`origin.trim().toUpperCase() === 'JFK'`, `write upper(trim(origin)) == 'JFK'`},
	{`origin + '1' + delay`, `write origin + '1' + string(delay)`},
	{`origin + 1`, `write float(origin) + 1`},
	{`[tail number] = 'x'`, "write `tail number` == 'x'"},
	{`"tail number" = 'x'`, "write `tail number` == 'x'"},
	{`late > 0`, `write (late ? 1 : 0) > 0`},
	{`late = 'yes'`, ``},
	{`delay & 1`, ``},
	{`delay > 5 // comment`, `a whole quotient is int(floor(a / b)); there are no comments`},
	{`SUBSTRING(origin, 0, 2)`, `a part of a text is s[from:to], counted from 0`},
	{`ltrim(origin)`, `trim(s) cuts blanks at both ends, trimPrefix and trimSuffix cut a given text`},
	{`to_timestamp(origin)`, `a text becomes a timestamp by a cast step in spec.preprocessing.clean`},
	{`any(delay > 5)`, `an expression sees one row, so there are no sums over rows`},
	{`nosuch IS NULL OR late`, `write nosuch == null or late; then there is no column nosuch`},
	{`CASE WHEN dayofweek(date) = 1 THEN 1 END`, `write dayofweek(date) == 1 ? 1 : null; then there is no function dayofweek: write weekday(t), which counts from Monday 0 to Sunday 6`},
	{`F.when(F.col("delay") > 15, 1).otherwise(0)`, `write delay > 15 ? 1 : 0`},
	{`pl.when(pl.col("delay") > 15).then(1).otherwise(0)`, `write delay > 15 ? 1 : 0`},
	{`(df["delay"] > 15) & (df["origin"] == "JFK")`, `write (delay > 15) and (origin == "JFK")`},
	{`'x' || delay`, `write 'x' + string(delay)`},
	{`origin LIKE '50\%'`, ``},
	{`hour(date) in [6..9]`, `write hour(date) in 6..9`},
	{`hour(date) in range(6, 10)`, `write hour(date) in 6..9`},
	{`(delay > 15).astype(int)`, `write int(delay > 15 ? 1 : 0)`},
	{`CAST(delay > 15 AS INT)`, `write int(delay > 15 ? 1 : 0)`},
	{`origin.equals('JFK')`, `write origin == 'JFK'`},
	{`date BETWEEN DATE '2020-01-01' AND DATE '2020-12-31'`, `write '2020-01-01' <= date <= '2020-12-31'`},
	{`COALESCE(NULLIF(origin, ''), 'none')`, `write coalesce(origin == '' ? null : origin, 'none')`},
	{`origin == 'JFK' | origin == 'LAX'`, `write origin == 'JFK' or origin == 'LAX'`},
}

// TestHintsCostLittle whatever the text: a spec may have a hundred of them, and the
// leader looks for hints for all.
func TestHintsCostLittle(t *testing.T) {
	const bound = 5 * time.Second // in all: a busy machine takes a fiftieth
	begun := time.Now()
	for _, part := range []string{"(", "f(", "nullif(a,", "sign(", "a.", "[", "a if b else ", "not ", "case when ", "x like 'a' ", ", ", "//", "=", "a between 1 and ",
		"a+", "a.lower().", "delay == 1 or 2 ", "a b ", "a::int", "''", "``", "~", `"\d"`, "in (a,", "delay<", "late+"} {
		for _, length := range []int{100, 390, 1000, 4000} {
			text := strings.Repeat(part, length/len(part))
			for _, text := range []string{text, text + strings.Repeat(")", strings.Count(text, "("))} {
				_ = expression.CheckSyntax(text)
				_, _ = expression.Compile(text, odd, nil)
			}
		}
	}
	if took := time.Since(begun); took > bound {
		t.Errorf("it took %v, more than %v", took, bound)
	}
}
