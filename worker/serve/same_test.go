package serve

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
)

func asRecords(r arrow.Record) []arrow.Record { return []arrow.Record{r} }

// anyEvent draws an event of flights, often one that is none.
func anyEvent(rt *rapid.T) string {
	date := rapid.SampledFrom([]string{`"2001-03-04 05:06:07"`, `"2001-03-04T05:06:07.5Z"`, `983682000000`, `"yesterday"`, `null`, `"\u0032001-03-04 00:00:00"`}).Draw(rt, "date")
	distance := rapid.SampledFrom([]string{"0", "7.0", "7e2", "123456", "999999", "1.5", `"7"`, "null", "-9223372036854775808", "9223372036854775808"}).Draw(rt, "distance")
	origin := rapid.SampledFrom([]string{`"a1"`, `"A4"`, `"ü\"\\"`, `""`, "null", "3", `"\ud800"`}).Draw(rt, "origin")
	switch rapid.IntRange(0, 9).Draw(rt, "form") {
	case 0:
		return fmt.Sprintf(`{"origin": %s, "date":%s}`, origin, date)
	case 1:
		return fmt.Sprintf(`{"date":%s,"distance":%s,"origin":%s,"delay":17,"more":{"a":[1,"]"]}}`, date, distance, origin)
	case 2:
		return rapid.SampledFrom([]string{`{}`, `[]`, `"text"`, `17`, `{"date":}`, `{"elsewhere":1}`, `{"date":"2001-03-04 05:06:07","date":1}`}).Draw(rt, "odd")
	}
	return fmt.Sprintf(`{"date":%s,"distance":%s,"origin":%s}`, date, distance, origin)
}

// TestAServiceAnswersWhatTheStreamWrites: whatever the events, in whatever form they are
// asked about, beside whatever others, the answers are those of the stream to the bit, and so
// are the reasons of those that it does not score.
func TestAServiceAnswersWhatTheStreamWrites(t *testing.T) {
	t.Parallel()
	for name, document := range map[string]string{"binary": artifacttest.Flights, "explained": explained,
		"classes": strings.Replace(artifacttest.Flights, `{name: delayed, type: binary, expression: "delay > 15"}`, `{name: delay, type: category}`, 1)} {
		a := artifacttest.TrainFlights(t, document, 1)
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				s := serving(t, a, Limits{MaxBatch: rapid.IntRange(1, 9).Draw(rt, "batch"), MaxDelay: time.Millisecond, Scorers: 2})
				events := rapid.SliceOfN(rapid.Custom(anyEvent), 1, 20).Draw(rt, "events")
				want := streamed(t, a, events)
				var together sync.WaitGroup
				for i, event := range events {
					if i%3 == 0 { // with the others below
						together.Go(func() {
							if _, got, _ := ask(t, s, "POST", "/v1/score/flights", event); event[0] != '[' && got != want[i]+"\n" {
								t.Errorf("%s alone: %s, the stream %s", event, got, want[i])
							}
						})
					}
				}
				status, got, _ := ask(t, s, "POST", "/v1/score/flights/versions/blue", "[ "+strings.Join(events, ", ")+"\n]")
				if all := "[" + strings.Join(want, ",") + "]\n"; status != 200 || got != all {
					if !strings.Contains(strings.Join(events, ""), `{"date":}`) || status != 400 {
						t.Errorf("%v:\n%d %s, the stream\n%s", events, status, got, all)
					}
				}
				status, got, _ = ask(t, s, "POST", "/v1/score/flights/versions/3", strings.Join(events, "\n")+"\n\n", "Content-Type", ndjsonType)
				if all := strings.Join(want, "\n") + "\n"; status != 200 || got != all {
					t.Errorf("lines %v:\n%d %s, the stream\n%s", events, status, got, all)
				}
				together.Wait()
			})
		})
	}
}

// flight is a row as tensors have it.
type flight struct {
	date     string
	distance float64
	origin   string
}

func (f flight) event() string {
	date, _ := json.Marshal(f.date)
	distance := "null"
	if !math.IsNaN(f.distance) {
		distance = fmt.Sprint(int64(f.distance))
	}
	return fmt.Sprintf(`{"date":%s,"distance":%s,"origin":%s}`, date, distance, appendText(nil, []byte(f.origin)))
}

func anyFlight(rt *rapid.T) flight {
	return flight{
		date:     rapid.SampledFrom([]string{"2001-03-04 05:06:07", "2001-03-04T05:06:07Z", "never", ""}).Draw(rt, "date"),
		distance: rapid.SampledFrom([]float64{0, 17, -3, 99_999, 100_001, math.NaN()}).Draw(rt, "distance"),
		origin:   rapid.SampledFrom([]string{"a1", "A2", "\"\\\n", "ü", ""}).Draw(rt, "origin"),
	}
}

// inferred is an answer of the protocol.
type inferred struct {
	ID           string `json:"id"`
	ModelVersion string `json:"model_version"`
	Outputs      []struct {
		Name       string
		Datatype   string
		Shape      []int
		Data       []any
		Parameters struct {
			BinaryDataSize int `json:"binary_data_size"`
		}
	}
}

// TestTensorsAnswerWhatTheStreamWrites, as JSON and as binary data.
func TestTensorsAnswerWhatTheStreamWrites(t *testing.T) {
	t.Parallel()
	a := artifacttest.TrainFlights(t, explained, 2)
	s := serving(t, a, Limits{MaxBatch: 4})
	rapid.Check(t, func(rt *rapid.T) {
		flights := rapid.SliceOfN(rapid.Custom(anyFlight), 1, 9).Draw(rt, "flights")
		var events, dates, origins, distances []string
		var rawDates, rawDistances, rawOrigins []byte
		for _, f := range flights {
			events = append(events, f.event())
			date, _ := json.Marshal(f.date)
			dates, origins = append(dates, string(date)), append(origins, string(appendText(nil, []byte(f.origin))))
			distances = append(distances, string(appendFloat(nil, f.distance)))
			rawDates = append(binary.LittleEndian.AppendUint32(rawDates, uint32(len(f.date))), f.date...)
			rawOrigins = append(binary.LittleEndian.AppendUint32(rawOrigins, uint32(len(f.origin))), f.origin...)
			rawDistances = binary.LittleEndian.AppendUint32(rawDistances, math.Float32bits(float32(f.distance)))
		}
		want := streamed(t, a, events)
		n := len(flights)
		outputs := `"outputs":[{"name":"prediction"},{"name":"probability"},{"name":"_feature_1"},{"name":"_contribution_1"},{"name":"error"}]`
		text := fmt.Sprintf(`{"id":"q\"","inputs":[{"name":"date","datatype":"BYTES","shape":[%d],"data":[%s]},{"name":"origin","datatype":"BYTES","shape":[%d,1],"data":[%s]},{"name":"distance","datatype":"FP64","shape":[%d],"data":[%s]}],%s}`,
			n, strings.Join(dates, ","), n, "["+strings.Join(origins, "],[")+"]", n, strings.Join(distances, ","), outputs)
		raw := fmt.Sprintf(`{"parameters":{"binary_data_output":true},"inputs":[{"name":"date","datatype":"BYTES","shape":[%d],"parameters":{"binary_data_size":%d}},{"name":"origin","datatype":"BYTES","shape":[%d],"parameters":{"binary_data_size":%d}},{"name":"distance","datatype":"FP32","shape":[%d],"parameters":{"binary_data_size":%d}}],%s}`,
			n, len(rawDates), n, len(rawOrigins), n, len(rawDistances), outputs)
		status, body, _ := ask(t, s, "POST", "/v2/models/flights/infer", text)
		var got inferred
		if failed := !slices.ContainsFunc(want, func(w string) bool { return !strings.HasPrefix(w, `{"error"`) }); failed {
			if status != 400 {
				t.Fatalf("%d of rows that cannot be scored", status)
			}
			return
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 || got.ID != `q"` || got.ModelVersion != "3" {
			t.Fatalf("%d %v %s", status, err, body)
		}
		status, body, header := ask(t, s, "POST", "/v2/models/flights/versions/3/infer", raw+string(rawDates)+string(rawOrigins)+string(rawDistances), binaryHeader, fmt.Sprint(len(raw)))
		var size int
		fmt.Sscan(header.Get(binaryHeader), &size)
		var binaries inferred
		if err := json.Unmarshal([]byte(body[:size]), &binaries); err != nil || status != 200 {
			t.Fatalf("%d %v %s", status, err, body)
		}
		data := []byte(body[size:])
		for k, o := range binaries.Outputs {
			part := data[:o.Parameters.BinaryDataSize]
			data = data[o.Parameters.BinaryDataSize:]
			binaries.Outputs[k].Data = decoded(o.Datatype, part)
		}
		if len(data) > 0 {
			t.Fatalf("%d bytes are of no output", len(data))
		}
		for i, w := range want {
			var scored map[string]any
			check(t, json.Unmarshal([]byte(w), &scored))
			reason := ""
			if of, failed := scored["error"].(map[string]any); failed {
				reason, scored = fmt.Sprint(of["stage"], ": ", of["reason"]), map[string]any{}
			}
			scored["error"] = reason
			for k, o := range got.Outputs {
				if o.Data[i] != scored[o.Name] {
					t.Errorf("row %d, %s: %v, the stream %v", i, o.Name, o.Data[i], scored[o.Name])
				}
				if b := binaries.Outputs[k]; (reason == "" || o.Name == "error") && b.Data[i] != scored[o.Name] {
					t.Errorf("row %d, %s, binary: %v, the stream %v", i, o.Name, b.Data[i], scored[o.Name])
				}
			}
		}
	})
}

// decoded reads binary data as a client does.
func decoded(datatype string, data []byte) (all []any) {
	for len(data) > 0 {
		switch datatype {
		case boolType:
			all, data = append(all, data[0] == 1), data[1:]
		case fp64Type:
			all, data = append(all, math.Float64frombits(binary.LittleEndian.Uint64(data))), data[8:]
		default:
			n := binary.LittleEndian.Uint32(data)
			all, data = append(all, string(data[4:4+n])), data[4+n:]
		}
	}
	return all
}
