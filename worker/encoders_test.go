package worker

import "testing"

// Numbers fitted to samples, categories fitted to labels of other folds, and strata give
// the same model by however many tasks, and once more from kept rows.
func TestEncodersAndStrataGiveTheSameModelForAnyTasks(t *testing.T) {
	const spec = `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: flights}
spec:
  sources: {train: {s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}}
  preprocessing: {split: {type: stratify, column: origin}}
  input_features:
    - {name: distance, type: number, normalization: power, missing_indicator: true}
    - {name: even, type: number, expression: "distance + 0", normalization: quantile}
    - {name: middle, type: number, expression: "distance * 2", normalization: robust}
    - {name: round, type: number, expression: "distance % 24", encoder: {type: periodic, period: 24}}
    - {name: origin, type: category, encoder: {type: target, folds: 3}}
    - {name: rank, type: category, expression: "origin", encoder: {type: ordinal}}
    - {name: often, type: category, expression: "origin", encoder: {type: frequency}}
  output_features: [{name: late, type: binary, expression: "delay > 15"}]
  trainer: {epochs: 2, batch_size: 64, distributed: {replicas: 2, sync_every: 4}}
`
	var want string
	for _, tasks := range []uint32{1, 2, flightShards} {
		b := newBatchHalf(t)
		b.spec = spec
		got, metrics, _ := b.all(tasks)
		if want == "" {
			want = got["model_sha256"]
		}
		again, _, _ := b.again().all(1)
		if got["model_sha256"] != want || again["model_sha256"] != want || metrics["test.rows"] == 0 {
			t.Errorf("%d tasks: model %s, once more %s, want %s; %v", tasks, got["model_sha256"], again["model_sha256"], want, metrics)
		}
	}
}
