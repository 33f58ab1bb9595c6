package thalweg

import "testing"

func TestStrictJSONIsExactlyOneValueWithoutUnknownFields(t *testing.T) {
	type record struct{ A int }
	for text, ok := range map[string]bool{
		`{"A":1}`: true, " {\"A\":1}\n": true,
		``: false, `{"A":1}{}`: false, `{"A":1}x`: false, `{"A":1,"B":2}`: false, `{"A":"1"}`: false, `{"A":1`: false,
	} {
		var r record
		if err := DecodeStrict([]byte(text), &r); (err == nil) != ok || ok && r.A != 1 {
			t.Errorf("%q: %+v, %v", text, r, err)
		}
	}
}
