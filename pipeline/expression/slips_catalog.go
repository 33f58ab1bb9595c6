package expression

import "strings"

// slips are the functions of SQL, pandas, Spark, DuckDB and JavaScript that have
// another name or form here, by plain name; behind a slash is the number of
// arguments where several have the name, and a dot stands before what is a method
// or property alone. $1, $2 … are the arguments, $* all of them, $+ all of them
// with plus signs between, $[] those from the second on as a list, and $' the
// first, which must be a literal string. What means something else in two of these
// languages (dayofweek, slice, substr as a method) is in absent, or nowhere.
var slips = map[string]string{
	"length": "len($1)", "charlength": "len($1)", "characterlength": "len($1)", "strlen": "len($1)", "nchar": "len($1)", ".size": "len($1)",
	"lcase": "lower($1)", "tolower": "lower($1)", "tolowercase": "lower($1)", "casefold": "lower($1)",
	"ucase": "upper($1)", "toupper": "upper($1)", "touppercase": "upper($1)",
	"strip": "trim($*)", "btrim": "trim($*)",
	"removeprefix": "trimPrefix($1, $2)", "removesuffix": "trimSuffix($1, $2)",
	"replaceall": "replace($1, $2, $3)", "stringsplit": "split($1, $2)", "strsplit": "split($1, $2)", "splitpart": "split($1, $2)[$3 - 1]",
	"concat": "$+", "strcat": "$+",
	"substr/2": "$1[$2 - 1:]", "substr/3": "$1[$2 - 1:$2 - 1 + $3]", "substring/2": "$1[$2 - 1:]", "substring/3": "$1[$2 - 1:$2 - 1 + $3]", "mid": "$1[$2 - 1:$2 - 1 + $3]",
	".substr/2": "", ".substr/3": "", ".substring/2": "$1[$2:]", ".substring/3": "$1[$2:$3]", ".charat": "$1[$2:$2 + 1]", "left": "$1[:$2]", "right": "$1[-$2:]",
	"startswith": "$1 startsWith $2", "hasprefix": "$1 startsWith $2", "endswith": "$1 endsWith $2", "hassuffix": "$1 endsWith $2",
	"equals": "$1 == $2", "contains": "$1 contains $2", "includes": "$1 contains $2", "strcontains": "$1 contains $2",
	"matches": "$1 matches $2", "rlike": "$1 matches $2", "regexplike": "$1 matches $2", "regexpmatches": "$1 matches $2", "regexpcontains": "$1 matches $2",

	"isnull/1": "$1 == null", "isna": "$1 == null", "isnan": "$1 == null", "isnone": "$1 == null",
	"isnotnull": "$1 != null", "notnull": "$1 != null", "notna": "$1 != null",
	"isnull/2": "coalesce($1, $2)", "ifnull": "coalesce($1, $2)", "nvl": "coalesce($1, $2)", "ifna": "coalesce($1, $2)", "fillna": "coalesce($1, $2)", "fillnull": "coalesce($1, $2)",
	"nvl2": "$1 != null ? $2 : $3", "nullif": "$1 == $2 ? null : $1",
	"if": "$1 ? $2 : $3", "iff": "$1 ? $2 : $3", "iif": "$1 ? $2 : $3", "ifelse": "$1 ? $2 : $3", "where": "$1 ? $2 : $3",
	"isin": "$1 in $[]", "between": "$2 <= $1 <= $3", "bool": "$1 != 0",

	"ln": "log($1)", "log2": "log($1) / log(2)", "log10": "log($1) / log(10)", "expm1": "exp($1) - 1",
	"pow": "$1 ** $2", "power": "$1 ** $2", "square": "$1 ** 2", "mod": "$1 % $2",
	"ceiling": "ceil($1)", "trunc/1": "int($1)", "fabs": "abs($1)", "absolute": "abs($1)", "round/2": "round($1 * 10 ** $2) / 10 ** $2",
	"sign": "$1 > 0 ? 1 : $1 < 0 ? -1 : 0", "least": "min($*)", "greatest": "max($*)", "minimum": "min($*)", "maximum": "max($*)",
	"clip": "min(max($1, $2), $3)", "clamp": "min(max($1, $2), $3)",

	"dayofmonth": "day($1)", ".getfullyear": "year($1)", ".getmonth": "month($1) - 1", ".getdate": "day($1)", ".gethours": "hour($1)",
	".getminutes": "minute($1)", ".getseconds": "second($1)", "quarter": "int((month($1) + 2) / 3)",
	"date": "$'", "timestamp": "$'", "datetime": "$'", "todate": "$'", "totimestamp": "$'", "todatetime": "$'",
}

// casts are the types of other languages by plain name: the function that
// converts to them.
var casts = map[string]string{
	"int": "int", "integer": "int", "bigint": "int", "smallint": "int", "tinyint": "int", "long": "int", "int32": "int", "int64": "int",
	"float": "float", "double": "float", "real": "float", "decimal": "float", "numeric": "float", "number": "float", "float32": "float", "float64": "float",
	"string": "string", "str": "string", "text": "string", "varchar": "string", "char": "string", "utf8": "string",
}

// infixes are operators that are words elsewhere.
var infixes = map[string]string{
	"contains": "contains", "startswith": "startsWith", "endswith": "endsWith", "matches": "matches", "rlike": "matches", "regexp": "matches",
	"mod": "%", "equals": "==", "eq": "==", "ne": "!=", "gt": ">", "ge": ">=", "lt": "<", "le": "<=",
}

// constants are values that are written otherwise elsewhere.
var constants = map[string]string{"true": "true", "false": "false", "null": "null", "none": "null", "nan": "null", "na": "null", "undefined": "null"}

// modules are what functions of other languages hang on.
var modules = []string{"math", "np", "numpy", "pd", "pandas", "pl", "polars", "f", "functions"}

// marks are characters that have another form here.
var marks = map[rune]string{'~': " not ", '≤': "<=", '≥': ">=", '≠': "!=", '−': "-", '×': "*", '÷': "/"}

// absent says of functions why there is none.
var absent = absences(map[string]string{
	"an expression has no clock; an age counts from a column": "now today currentdate currenttimestamp currenttime sysdate getdate unixtimestamp",
	"an expression sees one row, so there are no sums over rows": "sum avg mean median mode count std stddev var variance lag lead shift diff rank rownumber " +
		"cumsum rolling over first last all any none one map filter reduce find",
	"an expression is the same for the same row, so nothing is random":                                         "rand random randint uuid",
	"write weekday(t), which counts from Monday 0 to Sunday 6":                                                 "dayofweek isodow isoweekday dow getday dayname",
	"a timestamp has year(t) to second(t) and secondsBetween(t, u), and can be compared with a date in quotes": "datediff timestampdiff dateadd datesub datetrunc strftime dateformat age epoch",
	"a text becomes a timestamp by a cast step in spec.preprocessing.clean":                                    "strptime parsedate parsetimestamp fromisoformat date timestamp datetime todate totimestamp todatetime",
	"a part of a text is s[from:to], counted from 0":                                                           "substr substring mid slice charat left right",
	"trim(s) cuts blanks at both ends, trimPrefix and trimSuffix cut a given text":                             "ltrim rtrim lstrip rstrip trimstart trimend trimleft trimright",
})

// absences turns a reason of several names into the reason of each.
func absences(reasons map[string]string) map[string]string {
	out := make(map[string]string)
	for why, names := range reasons {
		for name := range strings.FieldsSeq(names) {
			out[name] = why
		}
	}
	return out
}

// plain is a name in lower case and without underscores.
func plain(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }
