package thalweg_test

import (
	"path"
	"strings"
	"testing"
)

// ranks orders the packages: imports go from a higher rank to a lower one, never
// up and never across, so that each package can be read, tested and replaced
// knowing only what lies below it. A package below internal/ has the rank of the
// package it belongs to.
var ranks = map[string]int{
	".":                         0,
	"arrowtype":                 0,
	"coordinator/together":      0,
	"broadcast":                 0,
	"coordinator/api/stages":    0,
	"coordinator/api/v1":        0,
	"diagnose":                  0,
	"docs/reference":            0,
	"pipeline/credential":       0,
	"pipeline/document":         0,
	"pipeline/interval":         0,
	"pipeline/pattern":          0,
	"pipeline/spelling":         0,
	"pipeline/summary":          0,
	"retry":                     0,
	"integration/effort":        0,
	"coordinator/clock":         0,
	"coordinator/alert":         1,
	"coordinator/alert/webhook": 2,
	"coordinator/level":         0,
	"worker/stream/crash":       0,

	"coordinator/api/inference": 0,
	"integration/serve/bare":    0,

	"storage/parquet/intern":   0,
	"storage/parquet/metadata": 0,

	"tools/gojson": 0, // a module of its own

	"connectors":        1,
	"disk":              1,
	"coordinator/api":   1,
	"coordinator/audit": 1,
	"pipeline/crontab":  1,
	"pipeline/kernel":   1,
	"pipeline/table":    1,
	"pipeline/rollout":  1,
	"pipeline/text":     1,
	"reach":             1,
	"storage":           1,

	"storage/parquet/compress": 1,
	"storage/parquet/encoding": 1,
	"storage/parquet/guard":    1,

	"cmd/thalweg/terminal":           2,
	"connectors/devbroker":           2,
	"connectors/kafka":               2,
	"connectors/kafka/kafkatest":     2,
	"connectors/registry":            2,
	"coordinator/state":              2,
	"tracing":                        2,
	"integration/fault":              2,
	"pipeline/calibration":           2,
	"pipeline/compact":               2,
	"pipeline/conformal":             0,
	"pipeline/expression":            2,
	"pipeline/imported":              2,
	"pipeline/model/layer":           2,
	"pipeline/model/shapley":         2,
	"pipeline/imported/importedtest": 2,
	"pipeline/table/tabletest":       2,
	"storage/devserver":              2,
	"storage/file":                   2,
	"storage/memory":                 2,
	"storage/parquet/decode":         2,
	"storage/parquet/encode":         2,
	"storage/records":                2,
	"storage/s3":                     2,
	"storage/storagetest":            2,

	"coordinator/audit/archive": 3,
	"coordinator/auth":          4,
	"coordinator/auth/pki":      3,
	"coordinator/auth/authtest": 3,
	"coordinator/raftnode":      4,
	"coordinator/backup":        3,
	"coordinator/membership":    5,
	"coordinator/schedule":      3,
	"coordinator/throttle":      1,
	"coordinator/serving":       3,
	"coordinator/liveness":      4,
	"coordinator/view":          5,
	"pipeline":                  3,
	"storage/checkpoint":        3,
	"worker/stream/commitlog":   3,
	"storage/dataset":           3,
	"storage/table/delta":       3,
	"worker/stream/fsck":        3,

	"worker/stream/crash/crashtest": 3,
	"worker/stream/machine":         3,

	"pipeline/balance":       4,
	"pipeline/clean":         4,
	"pipeline/drift":         2,
	"pipeline/rollout/judge": 3,
	"pipeline/privacy":       2,
	"pipeline/event":         4,
	"pipeline/feature":       4,
	"pipeline/metric":        4,
	"pipeline/model":         4,
	"pipeline/schedule":      4,
	"pipeline/quality":       4,
	"pipeline/split":         4,
	"pipeline/uncertainty":   4,

	"worker/stream/budget":                  4,
	"worker/stream/commitlog/commitlogtest": 4,

	"pipeline/draft":    7,
	"pipeline/endpoint": 5,
	"pipeline/optim":    5,
	"pipeline/profile":  5,
	"pipeline/search":   5,

	"pipeline/optim/boosting": 6,
	"pipeline/monitor":        6,

	"coordinator":         7,
	"pipeline/artifact":   7,
	"pipeline/catalog":    7,
	"pipeline/evaluation": 7,

	"cmd/thalweg/connections": 7,

	"pipeline/artifact/artifacttest": 8,
	"pipeline/onnx":                  8,
	"pipeline/onnx/onnxtest":         9,
	"pipeline/counterfactual":        8,
	"pipeline/throughput":            8,
	"worker/average":                 8,
	"worker/stream/engine":           8,
	"worker/partition":               8,
	"worker/shuffle":                 8,
	"worker/train":                   8,

	"worker/stream/compact":     9,
	"worker/stream/deadletter":  9,
	"worker/product":            9,
	"worker/stream/purge":       9,
	"worker/stream/sketch":      9,
	"worker/stream/tablewriter": 9,

	"worker/stream/scorer": 10,
	"worker/serve":         10,

	"worker":                11,
	"worker/stream/lineage": 11,
	"worker/stream/replay":  11,
	"worker/stream/verify":  11,
	"worker/stream/labels":  11,
	"worker/cluster":        12,
	"worker/jobs":           13,

	"cmd/thalweg/localdata": 12,
	"cmd/thalweg/process":   12,
	"cmd/thalweg/embedded":  14,
	"cmd/thalweg/verb":      13,
	"integration/process":   13,

	"cmd/thalweg/jobs":   14,
	"cmd/thalweg/alerts": 15, "cmd/thalweg/quality": 15,
	"cmd/thalweg/audit":   14,
	"cmd/thalweg/token":   14,
	"cmd/thalweg/debug":   14,
	"cmd/thalweg/dlq":     15,
	"cmd/thalweg/init":    14,
	"cmd/thalweg/members": 14,
	"cmd/thalweg/models":  15,
	"cmd/thalweg/produce": 14,
	"cmd/thalweg/profile": 14,
	"cmd/thalweg/runs":    15,
	"cmd/thalweg/stream":  14,
	"cmd/thalweg/rollout": 14,
	"integration/kafka":   14,
	"integration/minio":   14,
	"integration/network": 14,

	"cmd/thalweg/demo": 15,

	"cmd/thalweg":       16,
	"integration":       16,
	"integration/bench": 16,
}

// apart lists what must not import what, though the ranks would allow it: from a
// package or anything below it to a package or anything below it.
var apart = []struct{ from, to, why string }{
	{"pipeline", "storage", "rows do not know where they are kept; worker brings the two together"},
	{"pipeline", "connectors", "rows do not know where they come from; worker brings the two together"},
	{"storage", "pipeline", "stores do not know what they keep; worker brings the two together"},
	{"storage", "connectors", "stores and streams know nothing of each other"},
	{"connectors", "pipeline", "streams do not know what events mean; worker brings the two together"},
	{"connectors", "storage", "stores and streams know nothing of each other"},
	{"worker", "coordinator", "workers and coordinators share only coordinator/api and coordinator/auth/pki"},
	{"coordinator", "worker", "workers and coordinators share only coordinator/api and coordinator/auth/pki"},
	{"worker/stream/fsck", "worker/stream/", "the judge must not share code with the writers that it judges"},
	{"worker/stream/fsck", "storage/dataset", "the judge must not share code with the writers that it judges"},
	{"storage/parquet/encode", "storage/parquet/metadata", "the judge of files finds their headers by what no writer uses"},
}

// shared is what apart does not forbid.
var shared = []string{"coordinator/api", "coordinator/auth/pki"}

// owners names the packages that may use a library; the rest of the system
// knows the library only by what its owner makes of it.
var owners = []struct {
	library  string
	packages []string
}{
	{"github.com/hashicorp/raft", []string{"coordinator/raftnode"}},
	{"go.etcd.io/bbolt", []string{"coordinator/raftnode"}},
	{"github.com/coreos/go-oidc", []string{"coordinator/auth", "coordinator/auth/authtest"}},
	{"go.opentelemetry.io/proto", []string{"tracing"}},
	{"github.com/twmb/avro", []string{"pipeline/event"}},
	{"github.com/segmentio/kafka-go", []string{"connectors/kafka", "integration/kafka"}},
	{"github.com/twmb/franz-go/pkg/kgo", []string{"connectors/kafka", "connectors/kafka/kafkatest"}},
	{"github.com/twmb/franz-go/pkg/kfake", []string{"connectors/devbroker"}},
	{"github.com/minio/minio-go", []string{"storage/s3"}},
	{"github.com/versity/versitygw", []string{"storage/devserver"}},
	{"github.com/parquet-go/parquet-go", []string{"storage/dataset", "storage/parquet/compress", "storage/parquet/decode", "storage/parquet/encode",
		"storage/parquet/encoding", "storage/parquet/guard", "storage/parquet/metadata", "storage/table/delta", "worker/stream/fsck"}},
	{"github.com/zeebo/xxh3", []string{"worker/average", "worker/shuffle"}},
	{"github.com/expr-lang/expr", []string{"pipeline/expression"}},
	{"github.com/spf13/cobra", []string{"cmd/thalweg", "cmd/thalweg/demo", "cmd/thalweg/debug", "cmd/thalweg/dlq", "cmd/thalweg/models", "cmd/thalweg/produce",
		"cmd/thalweg/profile", "cmd/thalweg/runs", "cmd/thalweg/init", "cmd/thalweg/members", "cmd/thalweg/audit", "cmd/thalweg/token", "cmd/thalweg/stream", "cmd/thalweg/rollout", "cmd/thalweg/jobs", "cmd/thalweg/alerts", "cmd/thalweg/quality", "cmd/thalweg/verb"}},
	{"github.com/vbauerster/mpb", []string{"cmd/thalweg/terminal"}},
}

func TestImportsGoDownTheRanks(t *testing.T) {
	for _, f := range sources(t) {
		from := house(f.dir)
		rank, known := ranks[from]
		if !known {
			t.Errorf("%s: package %s has no rank: give it one in ranks, above all that it imports", f.path, from)
			continue
		}
		for _, p := range f.imports() {
			to, ours := strings.CutPrefix(p, modulePath)
			if !ours {
				checkOwner(t, f, from, p)
				continue
			}
			to = house(strings.TrimPrefix(to, "/"))
			if to == from {
				continue
			}
			toRank, known := ranks[to]
			switch {
			case !known:
				t.Errorf("%s imports %s, which has no rank: give it one in ranks", f.path, to)
			case f.test && (toRank == rank || under(to, from)):
			case toRank >= rank:
				t.Errorf("%s imports %s: that is rank %d to rank %d, and imports go down only (a test's may stay level or go to its "+
					"package's own children). Move what is shared further down, or pass it in from above", f.path, to, rank, toRank)
			}
			checkApart(t, f, from, to)
		}
	}
}

func checkApart(t *testing.T, f *sourceFile, from, to string) {
	t.Helper()
	for _, s := range shared {
		if under(to, s) {
			return
		}
	}
	for _, a := range apart {
		if under(from, a.from) && under(to, a.to) {
			t.Errorf("%s imports %s: %s", f.path, to, a.why)
		}
	}
}

// checkOwner lets tests use any library: an independent client is often what
// shows that ours is right.
func checkOwner(t *testing.T, f *sourceFile, from, library string) {
	t.Helper()
	for _, o := range owners {
		if f.test || !strings.HasPrefix(library+"/", o.library+"/") {
			continue
		}
		allowed := false
		for _, p := range o.packages {
			allowed = allowed || p == from
		}
		if !allowed {
			t.Errorf("%s imports %s, which is for %s only", f.path, library, strings.Join(o.packages, " and "))
		}
	}
}

// isKit reports whether a package serves tests: it injects faults, fakes things,
// checks implementations of an interface, or says how much of that is done.
func isKit(pkg string) bool {
	base := path.Base(pkg)
	return base == "fault" || base == "effort" || strings.HasSuffix(base, "test")
}

// TestTheProductHoldsNoTestKit lets the kits be imported by tests, by each other
// and by the build with the tag chaos, which nobody ships.
func TestTheProductHoldsNoTestKit(t *testing.T) {
	for _, f := range sources(t) {
		if f.test || isKit(house(f.dir)) || under(f.dir, "integration") || f.tag("chaos") {
			continue
		}
		for _, p := range f.imports() {
			if to, ours := strings.CutPrefix(p, modulePath+"/"); ours && isKit(house(to)) {
				t.Errorf("%s imports %s, which is for tests and the build with the tag chaos", f.path, to)
			}
		}
	}
}

// house returns the package whose rank dir has.
func house(dir string) string {
	dir = path.Clean(dir)
	if before, _, found := strings.Cut(dir, "/internal"); found {
		return before
	}
	return dir
}

func under(pkg, tree string) bool {
	return pkg == tree || strings.HasPrefix(pkg, strings.TrimSuffix(tree, "/")+"/")
}

func TestRanksNameOnlyPackagesThatExist(t *testing.T) {
	there := map[string]bool{}
	for _, f := range sources(t) {
		there[house(f.dir)] = true
	}
	for p := range ranks {
		if !there[p] {
			t.Errorf("ranks names %s, which does not exist", p)
		}
	}
}
