package serve

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
)

// serverVariable has the test binary be the server of a benchmark, so that its processor time
// is that of the server alone.
const serverVariable = "THALWEG_SERVE_BENCHMARK"

// TestServerOfABenchmark is that server: it tells its address and goes on until its input ends.
func TestServerOfABenchmark(t *testing.T) {
	document, is := os.LookupEnv(serverVariable)
	if !is {
		return
	}
	s := serving(t, artifacttest.TrainFlights(t, document, 1), Limits{MaxDelay: time.Millisecond})
	mux := http.NewServeMux()
	mux.Handle("/", s.Handler())
	mux.HandleFunc("/cpu", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, cpu().Nanoseconds()) })
	mux.HandleFunc("POST /bare", func(w http.ResponseWriter, r *http.Request) {
		var row struct {
			Date, Origin string
			Distance     float64
		}
		if err := json.NewDecoder(r.Body).Decode(&row); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"prediction": row.Distance > 50, "probability": row.Distance / 1000, "_model_version": 3})
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	fmt.Println("serves at", l.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	check(t, server.Close())
}

// cpu is the processor time of this process.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measured runs requests over 32 connections, and returns the server's processor time and the
// times of the requests.
func measured(b *testing.B, address, path, body string, requests int) (used time.Duration, took []time.Duration) {
	b.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 32}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	cpuOf := func() time.Duration {
		res, err := client.Get("http://" + address + "/cpu")
		check(b, err)
		defer res.Body.Close()
		var ns int64
		_, err = fmt.Fscan(res.Body, &ns)
		check(b, err)
		return time.Duration(ns)
	}
	before := cpuOf()
	var next atomic.Int64
	var group sync.WaitGroup
	var mu sync.Mutex
	for range 32 {
		group.Go(func() {
			var mine []time.Duration
			for next.Add(1) <= int64(requests) {
				began := time.Now()
				form := jsonType
				if body[0] == 0xff { // a message of Arrow IPC
					form = arrowType
				}
				res, err := client.Post("http://"+address+path, form, strings.NewReader(body))
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if res.StatusCode != http.StatusOK {
					b.Errorf("status %d", res.StatusCode)
					return
				}
				mine = append(mine, time.Since(began))
			}
			mu.Lock()
			took = append(took, mine...)
			mu.Unlock()
		})
	}
	group.Wait()
	slices.Sort(took)
	return cpuOf() - before, took
}

// BenchmarkAgainstABareHandler compares requests per processor second of the server with those
// of a handler that only decodes and encodes JSON, in the same process, and tells how many rows
// of batches it scores.
func BenchmarkAgainstABareHandler(b *testing.B) {
	network := strings.Replace(artifacttest.Flights, "  output_features:", "  model: {type: mlp, hidden: [32]}\n  output_features:", 1)
	for name, document := range map[string]string{"linear": artifacttest.Flights, "network": network} {
		b.Run(name, func(b *testing.B) {
			self, err := os.Executable()
			check(b, err)
			server := exec.Command(self, "-test.run", "^TestServerOfABenchmark$", "-test.v")
			server.Env = append(os.Environ(), serverVariable+"="+document)
			stdin, err := server.StdinPipe()
			check(b, err)
			stdout, err := server.StdoutPipe()
			check(b, err)
			check(b, server.Start())
			defer func() { _ = stdin.Close(); _ = server.Wait() }()
			address, lines := "", bufio.NewReader(stdout)
			for address == "" {
				line, err := lines.ReadString('\n')
				check(b, err)
				if _, at, ok := strings.Cut(line, "serves at "); ok {
					address = strings.TrimSpace(at)
				}
			}
			go func() { _, _ = io.Copy(io.Discard, lines) }()
			batch := []byte{'['}
			for i := range 256 {
				batch = fmt.Appendf(batch, `{"date":"2001-03-%02d 05:06:07","distance":%d,"origin":"A%d"},`, 1+i%28, i, i%5)
			}
			batch[len(batch)-1] = ']'
			cells := make([][]string, 3)
			for i := range 256 {
				cells[0] = append(cells[0], fmt.Sprintf("2001-03-%02d 05:06:07", 1+i%28))
				cells[1], cells[2] = append(cells[1], fmt.Sprint(i)), append(cells[2], fmt.Sprintf("A%d", i%5))
			}
			columns := stream(b, recordOf(b, []arrow.Field{{Name: "date", Type: arrow.BinaryTypes.String}, {Name: "distance", Type: arrow.PrimitiveTypes.Int64}, {Name: "origin", Type: arrow.BinaryTypes.String}}, cells...))
			for b.Loop() {
				const requests = 8000
				bare, _ := measured(b, address, "/bare", aFlight, requests)
				ours, took := measured(b, address, "/v1/score/flights", aFlight, requests)
				many, _ := measured(b, address, "/v1/score/flights", string(bytes.Clone(batch)), requests/40)
				records, _ := measured(b, address, "/v1/score/flights", columns, requests/40)
				b.ReportMetric(requests/40*256/records.Seconds(), "arrow-rows/cpu-s")
				b.ReportMetric(requests/bare.Seconds(), "bare-requests/cpu-s")
				b.ReportMetric(requests/ours.Seconds(), "requests/cpu-s")
				b.ReportMetric(bare.Seconds()/ours.Seconds(), "of-bare")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
				b.ReportMetric(requests/40*256/many.Seconds(), "rows/cpu-s")
			}
		})
	}
}
