package search_test

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/endpoint"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
	"github.com/thalweg/thalweg/pipeline/schedule"
	"github.com/thalweg/thalweg/pipeline/search"
	"github.com/thalweg/thalweg/pipeline/split"
)

// choices are all that the specs here choose from.
func choices() pipeline.Catalog {
	return pipeline.Catalog{
		pipeline.Models: model.Catalog(), pipeline.Losses: model.Losses(), pipeline.Optimizers: optim.Catalog(), pipeline.Schedulers: schedule.Catalog(),
		pipeline.SearchAlgorithms: search.Catalog(), pipeline.Encoders: feature.Encoders(), pipeline.Normalizations: feature.Normalizations(),
		pipeline.MissingValues: feature.MissingValues(), pipeline.Metrics: metric.Catalog(), pipeline.DatasetFormats: endpoint.DatasetFormats(), pipeline.Splits: split.Catalog(),
	}
}

// problem returns the search of a spec.
func problem(t *testing.T, searched string) *search.Problem {
	t.Helper()
	p, err := search.New(spec(t, searched))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// spec returns one with a search, and with what that needs beside it.
func spec(t *testing.T, searched string) *pipeline.Spec {
	t.Helper()
	s, err := pipeline.Parse(choices(), "a.yaml", []byte(text(searched)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func text(searched string) string {
	return `apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: a}
spec:
  sources: {train: {s3: {path: "s3://lake/a.parquet"}, format: {type: parquet}}}
  input_features: [{name: x, type: number}]
  output_features: [{name: y, type: binary}]
  trainer: {seed: 7, epochs: 27, optimizer: {type: adam}}
  search: ` + searched + "\n"
}

// run carries a search out, of a function of a trial that says how good it is.
func run(t *testing.T, p *search.Problem, score func(search.Trial) float64) []search.Trial {
	t.Helper()
	var done []search.Trial
	for _, n := range p.Generations() {
		before := len(done)
		for i := range n {
			trial, err := p.Trial(before+i, done[:before])
			if err != nil {
				t.Fatal(err)
			}
			if v := score(trial); !math.IsNaN(v) {
				trial.Score = &v
			} else {
				trial.Failed = "it diverged"
			}
			done = append(done, trial)
		}
	}
	return done
}

func number(t *testing.T, v pipeline.Values, path string) float64 {
	t.Helper()
	x, err := strconv.ParseFloat(v[path], 64)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

const (
	rate = "trainer.optimizer.learning_rate"
	l2   = "trainer.regularization.l2"
	size = "trainer.batch_size"
)

func TestAGridHasEachCombinationOnce(t *testing.T) {
	p := problem(t, `{algorithm: {type: grid}, max_trials: 50, parameters: {`+rate+`: {space: loguniform, lower: 0.001, upper: 0.1, steps: 3},
    `+size+`: {space: choice, values: [16, 64, 256]}, trainer.early_stop: {space: int, lower: 2, upper: 4}}}`)
	all := make(map[string]bool)
	rates := make(map[string]int)
	for _, trial := range run(t, p, func(search.Trial) float64 { return 0 }) {
		all[trial.Values.Text()] = true
		rates[trial.Values[rate]]++
	}
	if len(all) != 27 || len(rates) != 3 || rates["0.001"] != 9 || rates["0.01"] != 9 || rates["0.1"] != 9 {
		t.Errorf("%d combinations, rates %v", len(all), rates)
	}
}

// Of a grid's steps, some may round to one value: it is tried once.
func TestAGridTriesNoValueTwice(t *testing.T) {
	p := problem(t, `{algorithm: {type: grid}, parameters: {`+size+`: {space: logint, lower: 1, upper: 20, steps: 12}}}`)
	met := make(map[string]bool)
	trials := run(t, p, func(search.Trial) float64 { return 0 })
	for _, trial := range trials {
		met[trial.Values[size]] = true
	}
	if len(met) != len(trials) || len(met) < 8 || !met["1"] || !met["20"] {
		t.Errorf("%d trials of %v", len(trials), met)
	}
}

func TestValuesAreInTheirSpaces(t *testing.T) {
	p := problem(t, `{max_trials: 200, parameters: {`+rate+`: {space: loguniform, lower: 0.0001, upper: 1.0}, `+l2+`: {space: uniform, lower: -0.0, upper: 3.0},
    `+size+`: {space: logint, lower: 1, upper: 1000}, trainer.early_stop: {space: int, lower: 3, upper: 9}, trainer.optimizer.type: {space: choice, values: [adam, adamw]}}}`)
	stops, kinds, small, low := map[float64]int{}, map[string]int{}, 0, 0
	for _, trial := range run(t, p, func(search.Trial) float64 { return 0 }) {
		r, n := number(t, trial.Values, rate), number(t, trial.Values, size)
		if l := number(t, trial.Values, l2); r < 0.0001 || r > 1 || l < 0 || l > 3 || n < 1 || n > 1000 || n != math.Trunc(n) {
			t.Fatalf("values %v", trial.Values)
		}
		if r < 0.01 {
			small++
		}
		if n < 32 {
			low++
		}
		stops[number(t, trial.Values, "trainer.early_stop")]++
		kinds[trial.Values["trainer.optimizer.type"]]++
	}
	if len(stops) != 7 || len(kinds) != 2 || small < 75 || small > 125 || low < 75 || low > 125 {
		t.Errorf("%d rates below 0.01, %d sizes below 32, %v, %v", small, low, stops, kinds)
	}
}

func TestRandomTrialsOfFewPointsAreAllOfThem(t *testing.T) {
	p := problem(t, `{max_trials: 100, parameters: {`+size+`: {space: choice, values: [16, 64, 256]}, trainer.early_stop: {space: int, lower: 1, upper: 5}}}`)
	met := make(map[string]bool)
	for _, trial := range run(t, p, func(search.Trial) float64 { return 0 }) {
		met[trial.Values.Text()] = true
	}
	if len(met) != 15 || p.Generations()[0] != 15 {
		t.Errorf("%d different points in %v trials", len(met), p.Generations())
	}
}

func TestASearchOfFewPointsEnds(t *testing.T) {
	for _, algorithm := range []string{"random", "simulated_annealing", "genetic", "halving"} {
		for name, parameters := range map[string]string{
			"a choice":           size + ": {space: choice, values: [16, 64, 256]}",
			"neighbours":         "trainer.optimizer.learning_rate: {space: uniform, lower: 0.9999, upper: 0.99999}",
			"neighbours and two": "trainer.optimizer.learning_rate: {space: uniform, lower: 0.99999, upper: 0.999999}, trainer.early_stop: {space: choice, values: [1, 2]}",
		} {
			p := problem(t, `{max_trials: 100, algorithm: {type: `+algorithm+`}, parameters: {`+parameters+`}}`)
			trials := run(t, p, func(search.Trial) float64 { return 0 })
			if len(trials) == 0 || len(trials) > 100 || name == "a choice" && algorithm != "halving" && len(trials) != 3 {
				t.Errorf("%s of %s: %d trials", algorithm, name, len(trials))
			}
		}
	}
}

// A trial follows from the seed and the generations before, so it makes no difference in
// which order those of its generation are asked for, or how often.
func TestATrialFollowsFromTheGenerationsBefore(t *testing.T) {
	for _, algorithm := range []string{"random", "simulated_annealing", "genetic", "halving"} {
		searched := `{algorithm: {type: ` + algorithm + `}, max_trials: 40, parameters: {` + rate + `: {space: loguniform, lower: 0.0001, upper: 1.0}, ` + l2 + `: {space: uniform, lower: 0.0, upper: 3.0}}}`
		p, again := problem(t, searched), problem(t, searched)
		want := run(t, p, bowl(t))
		for i := range slices.Backward(want) {
			_, before := again.Before(i)
			got, err := p.Trial(i, want[:before])
			if err != nil || !slices.Equal(got.At, want[i].At) || got.Number != want[i].Number || got.Generation != want[i].Generation || fmt.Sprint(got.Values) != fmt.Sprint(want[i].Values) {
				t.Fatalf("%s: trial %d is %+v, %v, and was %+v", algorithm, i+1, got, err, want[i])
			}
		}
		if _, err := p.Trial(len(want), want); err == nil {
			t.Errorf("%s: a trial after the last", algorithm)
		}
		other := problem(t, searched)
		other.Seed++
		if got := run(t, other, bowl(t)); slices.Equal(got[0].At, want[0].At) {
			t.Errorf("%s: another seed tries the same", algorithm)
		}
	}
}

// bowl is best, 0, at a rate of 0.01 and an l2 of 2; a rate above 0.5 diverges.
func bowl(t *testing.T) func(search.Trial) float64 {
	return func(trial search.Trial) float64 {
		r, l := number(t, trial.Values, rate), number(t, trial.Values, l2)
		if r > 0.5 {
			return math.NaN()
		}
		a, b := (math.Log10(r)+2)/4, (l-2)/3
		return a*a + b*b + 0.3*a*b
	}
}

// Annealing and genetic search come nearer to the best of a known function than as many
// trials at random, in the mean over seeds.
func TestWalksAndBreedingFindWhatChanceDoesNot(t *testing.T) {
	mean := func(algorithm string) (sum float64) {
		p := problem(t, `{algorithm: {type: `+algorithm+`}, metric: log_loss, max_trials: 60, parameters: {`+rate+`: {space: loguniform, lower: 0.0001, upper: 1.0}, `+l2+`: {space: uniform, lower: 0.0, upper: 3.0}}}`)
		const seeds = 40
		for seed := range uint64(seeds) {
			p.Seed = seed
			trials := run(t, p, bowl(t))
			if len(trials) != 60 {
				t.Fatalf("%s: %d trials", algorithm, len(trials))
			}
			sum += math.Sqrt(*p.Best(trials).Score) / seeds
		}
		return sum
	}
	chance := mean("random")
	for _, algorithm := range []string{"simulated_annealing", "genetic"} {
		found := mean(algorithm)
		t.Logf("%s is %.4f from the best, chance %.4f", algorithm, found, chance)
		if found > chance/2 {
			t.Errorf("%s is %.4f from the best in the mean, chance %.4f", algorithm, found, chance)
		}
	}
}

func TestHalvingGivesTheBestOfARoundMore(t *testing.T) {
	p := problem(t, `{algorithm: {type: halving}, metric: log_loss, max_trials: 20, parameters: {`+rate+`: {space: loguniform, lower: 0.0001, upper: 0.4}, `+l2+`: {space: uniform, lower: 0.0, upper: 3.0}}}`)
	if got := p.Generations(); !slices.Equal(got, []int{14, 4, 1}) {
		t.Fatalf("rounds of %v", got)
	}
	trials := run(t, p, bowl(t))
	for i, round := range [][]search.Trial{trials[:14], trials[14:18], trials[18:]} {
		for _, trial := range round {
			if trial.Values["trainer.epochs"] != fmt.Sprint([]int{3, 9, 27}[i]) || trial.Partial != (i < 2) {
				t.Errorf("round %d: %+v", i+1, trial)
			}
		}
	}
	scores := func(of []search.Trial) (all []float64) {
		for _, trial := range of {
			all = append(all, *trial.Score)
		}
		slices.Sort(all)
		return all
	}
	if first, second, last := scores(trials[:14]), scores(trials[14:18]), scores(trials[18:]); !slices.Equal(first[:4], second) || !slices.Equal(second[:1], last) {
		t.Errorf("rounds found %v, %v, %v", first, second, last)
	}
	if best := p.Best(trials); best == nil || best.Number != 19 {
		t.Errorf("the best is %+v, and only the last is whole", best)
	}
	for searched, want := range map[string][]int{
		`{type: halving, eta: 2, minimum: 4, maximum: 32}`:          {11, 5, 2, 1},
		`{type: halving, minimum: 27}`:                              {20},
		`{type: halving, resource: trainer.early_stop, maximum: 9}`: {14, 4, 1},
	} {
		p := problem(t, `{algorithm: `+searched+`, max_trials: 20, parameters: {`+rate+`: {space: loguniform, lower: 0.0001, upper: 0.4}}}`)
		if got := p.Generations(); !slices.Equal(got, want) {
			t.Errorf("%s: rounds of %v, want %v", searched, got, want)
		}
	}
}

func TestAFailedTrialIsWorstAndOfEqualOnesTheFirstIsBest(t *testing.T) {
	p := problem(t, `{max_trials: 5, metric: roc_auc, parameters: {`+rate+`: {space: uniform, lower: 0.1, upper: 0.9}}}`)
	scores := []float64{math.NaN(), 0.6, 0.7, 0.7, 0.5}
	trials := run(t, p, func(trial search.Trial) float64 { return scores[trial.Number-1] })
	if best := p.Best(trials); best.Number != 3 {
		t.Errorf("the best is %d", best.Number)
	}
	result := p.Result(trials, p.Best(trials))
	var order []int
	for _, trial := range result.Ranked() {
		order = append(order, trial.Number)
	}
	if !slices.Equal(order, []int{3, 4, 2, 5, 1}) {
		t.Errorf("in order %v", order)
	}
	if numbers, found := result.Found(); !slices.Equal(numbers, []int{2, 3, 4, 5}) || !slices.Equal(found, []float64{0.6, 0.7, 0.7, 0.7}) {
		t.Errorf("found %v at %v", found, numbers)
	}
	for i := range trials {
		trials[i].Score = nil
	}
	if best := p.Best(trials); best != nil {
		t.Errorf("of none the best is %+v", best)
	}
}

// What cannot be searched is told when the spec is read, with the place and what to do.
func TestWhatCannotBeSearchedIsTold(t *testing.T) {
	for searched, want := range map[string]string{
		`{parameters: {}}`: "there is nothing to search",
		`{parameters: {trainer.optimizer.learning_rat: {space: uniform, lower: 0.1, upper: 0.2}}}`:                                                             "trainer.optimizer.learning_rat: there is no such field (did you mean learning_rate?)",
		`{parameters: {model.dropout: {space: uniform, lower: 0.1, upper: 0.2}}}`:                                                                              "the field belongs to",
		`{parameters: {trainer.epochs: {space: uniform, lower: 1.5, upper: 2.5}}}`:                                                                             "a whole number from 1 on, or auto, belongs here",
		`{parameters: {` + rate + `: {space: uniform, lower: 0.1, upper: -0.2}}}`:                                                                              "it is above upper",
		`{parameters: {` + rate + `: {space: uniform, lower: -0.1, upper: 0.2}}}`:                                                                              "a trial with -0.1 is refused",
		`{parameters: {` + rate + `: {space: loguniform, lower: 0.0, upper: 0.2}}}`:                                                                            "a space loguniform is of numbers above 0 (write a number above 0, or space: uniform)",
		`{parameters: {` + rate + `: {space: uniform, lower: 0.1}}}`:                                                                                           "upper: the field is missing",
		`{parameters: {` + rate + `: {space: choice, lower: 0.1}}}`:                                                                                            "a choice has values alone",
		`{parameters: {` + rate + `: {space: choice, values: [0.1, 0.1]}}}`:                                                                                    "0.1 is there twice",
		`{parameters: {` + rate + `: {space: randint, lower: 1, upper: 2}}}`:                                                                                   "int",
		`{parameters: {` + rate + `: {lower: 0.1, upper: 0.2}}}`:                                                                                               "space: the field is missing",
		`{parameters: {trainer.seed: {space: int, lower: 1, upper: 2}}}`:                                                                                       "it decides which rows are for validation",
		`{parameters: {preprocessing.sample_ratio: {space: uniform, lower: 0.1, upper: 0.2}}}`:                                                                 "trials share the cleaned rows",
		`{parameters: {spec.trainer.epochs: {space: int, lower: 1, upper: 2}}}`:                                                                                "write trainer.epochs",
		`{parameters: {input_features.z.normalization: {space: choice, values: [zscore]}}}`:                                                                    `there is no feature "z"`,
		`{parameters: {input_features.x.type: {space: choice, values: [number]}}}`:                                                                             "it says what a feature is",
		`{metric: rmse, parameters: {` + rate + `: {space: uniform, lower: 0.1, upper: 0.2}}}`:                                                                 "a binary output has no \"rmse\"",
		`{metric: log_loss, goal: maximize, parameters: {` + rate + `: {space: uniform, lower: 0.1, upper: 0.2}}}`:                                             "of log_loss less is better",
		`{split: test, parameters: {` + rate + `: {space: uniform, lower: 0.1, upper: 0.2}}}`:                                                                  "validation",
		`{algorithm: {type: grid}, parameters: {` + rate + `: {space: uniform, lower: 0.1, upper: 0.2}}}`:                                                      "write steps: 5",
		`{algorithm: {type: grid}, max_trials: 4, parameters: {` + rate + `: {space: uniform, lower: 0.1, upper: 0.2, steps: 5}}}`:                             "the grid has 5 points, and max_trials is 4",
		`{algorithm: {type: halving, maximum: 9}, max_trials: 2, parameters: {` + rate + `: {space: uniform, lower: 0.1, upper: 0.2}}}`:                        "there are 3 rounds",
		`{algorithm: {type: halving}, parameters: {trainer.epochs: {space: int, lower: 1, upper: 2}}}`:                                                         "halving sets trainer.epochs itself",
		`{algorithm: {type: halving, resource: trainer.batch_size}, parameters: {` + rate + `: {space: uniform, lower: 0.1, upper: 0.2}}}`:                     "halving needs to know how much",
		`{algorithm: {type: halving, resource: preprocessing.sample_ratio, maximum: 9}, parameters: {` + rate + `: {space: uniform, lower: 0.1, upper: 0.2}}}`: `spec.search.algorithm.resource: "preprocessing.sample_ratio" is no field of trainer or model`,
		`{algorithm: {type: halving, resource: trainer.seed, maximum: 9}, parameters: {` + rate + `: {space: uniform, lower: 0.1, upper: 0.2}}}`:               "spec.search.algorithm.resource: the field cannot be searched: it decides which rows are for validation",
		`{algorithm: {type: halving, resource: trainer.epoch, maximum: 9}, parameters: {` + rate + `: {space: uniform, lower: 0.1, upper: 0.2}}}`:              "spec.search.algorithm.resource: a trial with 1 is refused: trainer.epoch: there is no such field",
		`{parameters: {trainer.optimizer.type: {space: choice, values: [adam, "` + strings.Repeat("<", 800) + `"]}}}`:                                          "the values of a trial may have 48",
		`{algorithm: {type: genetic}, max_trials: 3, parameters: {` + rate + `: {space: uniform, lower: 0.1, upper: 0.2}}}`:                                    "a population of 8 has no trial each",
		`{algorithm: {type: simulated_annealing, chains: 9}, max_trials: 3, parameters: {` + rate + `: {space: uniform, lower: 0.1, upper: 0.2}}}`:             "9 chains have no trial each",
		`{algorithm: {type: bayes}, parameters: {` + rate + `: {space: uniform, lower: 0.1, upper: 0.2}}}`:                                                     "simulated_annealing",
	} {
		_, err := pipeline.Parse(choices(), "a.yaml", []byte(text(searched)))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n%v\nwant %s", searched, err, want)
		} else {
			t.Logf("%v", err)
		}
	}
}
