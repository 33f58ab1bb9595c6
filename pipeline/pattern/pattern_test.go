package pattern

import (
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestPatternsThatGrowAreRefusedForLittle(t *testing.T) {
	for what, text := range map[string]string{
		"long":          strings.Repeat("a", MaxBytes+1),
		"a million":     "(a{1000}){1000}",
		"many counts":   strings.Repeat("x{1000}", 100),
		"nested counts": "((((a{9}){9}){9}){9}){9}",
		"a class":       `(\pL{500}){2}x{400}\pN{900}`,
		"folded":        `(?i)(\pL{1000})[^\pN]{1000}\pZ{1000}`,
		"alternatives":  "(a{900}|b{900}|c{900}|d{900}|e{900})",
		"deep":          strings.Repeat("(", MaxBytes/2) + strings.Repeat(")", MaxBytes/2) + ")",
		"open":          "(",
		"not UTF-8":     "\xff",
		"empty counts":  "(((|){1000}){1000}){1000}",
		"upper bounds":  strings.Repeat("(a?b?){0,1000}", 60),
	} {
		var re *regexp.Regexp
		var err error
		if n := allocated(func() { re, _, err = Compile(text) }); n > 4<<20 {
			t.Errorf("%s: %d bytes", what, n)
		}
		if err == nil || re != nil || len(err.Error()) > 2*MaxBytes {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestUsualPatternsAreCompiled(t *testing.T) {
	for text, matching := range map[string]string{
		"^[A-Z]{3}$": "JFK", `(\d+)-.*`: "12-x", "^.{0,1000}$": "a", `(?i)\b(new|old)\s+york\b`: "New York", "": "x", `^\pL{1,500}$`: "é",
	} {
		re, size, err := Compile(text)
		if err != nil || !re.MatchString(matching) || size <= 0 {
			t.Errorf("%s: %v, size %d", text, err, size)
		}
	}
}

// What the bound lets through is compiled for a little memory.
func FuzzCompile(f *testing.F) {
	for _, text := range []string{"^[A-Z]{3}$", "(a{40}){40}", `(?i)\pL{10}[^\pN]*`, "((|a){9}|b){99}", `^(\pL|\pN){200}$`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n := allocated(func() { _, _, _ = Compile(text) }); n > 16<<20 {
			t.Errorf("%d bytes are allocated for %q", n, text)
		}
	})
}
