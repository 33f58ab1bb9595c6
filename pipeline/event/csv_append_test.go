package event

import (
	"math"
	"strconv"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg/pipeline/table"
)

// FuzzRowsSurviveCSV writes rows as CSV and reads them back.
func FuzzRowsSurviveCSV(f *testing.F) {
	f.Add(int64(1), int64(2), 3.5, "SFO", true, uint8(0), byte(','), "")
	f.Add(int64(-62167219200000000), int64(-1<<63), 1e21, "a,\"b\"\r\n", false, uint8(0b10101), byte(';'), "NA")
	f.Add(int64(253402300799999999), int64(1<<63-1), 5e-324, "NA", false, uint8(0b01010), byte('\t'), "NA")
	f.Add(int64(0), int64(0), math.Copysign(0, -1), "", false, uint8(0), byte('1'), "0")
	f.Fuzz(func(t *testing.T, us, delay int64, distance float64, origin string, cancelled bool, nulls uint8, delimiter byte, null string) {
		if us < table.MinMicros || us > table.MaxMicros || distance-distance != 0 || !utf8.ValidString(origin) {
			return
		}
		cfg := CSVFormat{Delimiter: string(rune(delimiter)), NullText: &null, Columns: []string{"origin", "gate", "date", "cancelled", "delay", "distance"}}
		csv, err := NewDecoder(nullableFlights(), Config{Format: &cfg})
		if err != nil {
			return // a delimiter or a null that cannot be
		}
		event := []byte("{")
		for i, c := range flights.Columns {
			value := [][]byte{appendTime(nil, us), strconv.AppendInt(nil, delay, 10), appendFloat(nil, distance), appendString(nil, origin), strconv.AppendBool(nil, cancelled)}[i]
			if nulls>>i&1 == 1 {
				value = []byte("null")
			}
			event = append(append(append(appendString(event, c.Name), ':'), value...), ',')
		}
		event[len(event)-1] = '}'
		json, err := NewDecoder(nullableFlights(), Config{})
		if err != nil {
			t.Fatal(err)
		}
		rec, rejects, err := json.Decode(t.Context(), Events{Values: event, Ends: []int{len(event)}, Offsets: []int64{42}})
		if err != nil || rejects != nil {
			t.Fatalf("%s: %v %+v", event, err, rejects)
		}
		defer rec.Release()
		line := AppendCSV(nil, rec, 0, cfg)
		back, rejects, err := csv.Decode(t.Context(), Events{Values: line, Ends: []int{len(line)}, Offsets: []int64{42}})
		if err != nil || rejects != nil {
			t.Fatalf("%q: %v %+v", line, err, rejects)
		}
		defer back.Release()
		if diff := cmp.Diff(render(rec), render(back)); diff != "" {
			t.Errorf("%q by %+v (-row +read):\n%s", line, cfg, diff)
		}
	})
}
