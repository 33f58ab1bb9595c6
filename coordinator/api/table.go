package api

import (
	"encoding/json"
	"strings"
)

// MaxOutputBytes bounds an output of a task, which the replicated state holds.
const MaxOutputBytes = 4 << 10

// Table returns as many of the rows, from the first on, as an output may have, as
// JSON: small findings that are kept in the run itself.
func Table[T any](rows []T) string {
	var out strings.Builder
	for _, r := range rows {
		text, err := json.Marshal(r)
		if err != nil || out.Len()+len(text)+2 > MaxOutputBytes {
			break
		}
		out.WriteByte("[,"[min(out.Len(), 1)])
		out.Write(text)
	}
	if out.Len() == 0 {
		return "[]"
	}
	return out.String() + "]"
}
