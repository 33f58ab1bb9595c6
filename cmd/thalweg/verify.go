package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/jobs"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/pipeline/onnx"
	"github.com/thalweg/thalweg/worker/cluster"
	work "github.com/thalweg/thalweg/worker/jobs"
	"github.com/thalweg/thalweg/worker/stream/verify"
)

// offAtMost is how far an output of the exported model may be from scoring's, in parts of
// the value where that is above 1.
const offAtMost = 1e-6

type verifyFlags struct {
	rows         int
	python, into string
}

func newVerify(g *verb.Globals) *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify PIPELINE",
		Short: "Compare what a stream wrote with the same events scored as a batch, and by the version's ONNX model",
		Long: "verify takes the newest rows that a stream has written with its newest version, fetches their\n" +
			"events again, scores these at once as a batch is scored, and compares the scores to the bit.\n" +
			"That is a job on a worker (thalweg jobs).\n" +
			"With --python it has onnxruntime run the version's ONNX model on the cleaned rows, and\n" +
			"compares that too: PYTHON is one that can import onnxruntime. With --into DIR it leaves the\n" +
			"model, the rows and the script there, to run elsewhere: python check.py.\n" +
			"\n" +
			"Exit code 0: stream and batch have the same bits, and ONNX is within 1e-6 of them. Exit code\n" +
			"1: they differ.",
		Example: "  thalweg verify flight-delays\n" +
			"  thalweg verify flight-delays --rows 5000 --into ./verify --python python3",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			return f.run(cmd, c, args[0])
		}),
	}
	flags := cmd.Flags()
	flags.IntVar(&f.rows, "rows", 1000, "how many rows to compare, at most")
	flags.StringVar(&f.python, "python", "", "a Python that has onnxruntime; default: ONNX is not run")
	flags.StringVar(&f.into, "into", "", "a directory to leave the ONNX model, the rows and the script in")
	return cmd
}

// verified is what the verb prints.
type verified struct {
	*verify.Report
	// ONNX is what the script says.
	ONNX map[string]json.RawMessage `json:"onnx,omitempty"`
	Into string                     `json:"into,omitempty"`
}

func (f *verifyFlags) run(cmd *cobra.Command, c *cluster.Client, pipeline string) (verb.Answer, error) {
	if f.rows < 1 || f.rows > work.MaxVerifiedRows {
		return verb.Answer{}, terminal.UsageError("--rows", strconv.Itoa(f.rows), fmt.Sprintf("a number from 1 to %d", work.MaxVerifiedRows))
	}
	var found work.Verified
	if err := jobs.Ask(cmd, c, pipeline, "verify", work.Verify{Rows: f.rows, Export: f.into != "" || f.python != ""}, &found); err != nil {
		return verb.Answer{}, err
	}
	out := &verified{Report: found.Report}
	if err := f.export(cmd.Context(), &found, out); err != nil {
		return verb.Answer{}, err
	}
	return verb.Answer{Value: out, Table: out.table, Failed: out.failed()}, nil
}

// export leaves the files of the ONNX model, and runs it.
func (f *verifyFlags) export(ctx context.Context, found *work.Verified, out *verified) error {
	if f.into == "" && f.python == "" {
		return nil
	}
	if found.Sample == nil {
		why := out.Unexported
		if why == "" {
			why = "no row was scored"
		}
		return &thalweg.Error{Op: "verify", Kind: thalweg.Unsupported, Subject: "ONNX", Err: errors.New(why), Hint: "leave --python and --into out"}
	}
	dir := f.into
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "thalweg-verify-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir) // nobody knows of it
	} else {
		out.Into = dir
	}
	if _, err := terminal.WriteFiles(dir, map[string][]byte{"model.onnx": found.ONNX, "sample.json": found.Sample, "check.py": []byte(onnx.CheckScript)}); err != nil {
		return err
	}
	if f.python == "" {
		return nil
	}
	cmd := exec.CommandContext(ctx, f.python, filepath.Join(dir, "check.py"), dir)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	said, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(said, &out.ONNX)
	}
	if err != nil {
		lines := strings.Split(strings.TrimSpace(complaint.String()), "\n")
		return &thalweg.Error{Op: "verify", Kind: thalweg.Invalid, Subject: f.python, Err: fmt.Errorf("%w: %s", err, lines[len(lines)-1]),
			Hint: "--python wants a Python with onnxruntime: pip install onnxruntime"}
	}
	return nil
}

// outputCompared is what the script says of an output.
type outputCompared struct {
	Largest   float64 `json:"largest_difference"`
	OtherBits int     `json:"other_bits"`
}

// outputs returns what the script says of each output, by name.
func (v *verified) outputs() map[string]outputCompared {
	all := map[string]outputCompared{}
	for name, raw := range v.ONNX {
		var of outputCompared
		if len(raw) > 0 && raw[0] == '{' && json.Unmarshal(raw, &of) == nil {
			all[name] = of
		}
	}
	return all
}

// failed says what differs.
func (v *verified) failed() error {
	fail := func(format string, args ...any) error {
		return &thalweg.Error{Op: "verify", Kind: thalweg.Corrupt, Subject: fmt.Sprintf("%s version %d", v.Model, v.Version), Err: fmt.Errorf(format, args...)}
	}
	if v.OtherBits > 0 {
		return fail("%d of %d rows of the stream have other scores as a batch: %s", v.OtherBits, v.Rows, v.First)
	}
	for name, of := range v.outputs() {
		if !(of.Largest <= offAtMost) {
			return fail("%s of ONNX is off by %g", name, of.Largest)
		}
	}
	if n, ok := v.ONNX["other_answers"]; ok && string(n) != "0" {
		return fail("%s answers of ONNX are others", n)
	}
	return nil
}

func (v *verified) table(w io.Writer) {
	fmt.Fprintf(w, "%s rows of %s, scored with version %d\n", humanize.Comma(int64(v.Rows)), v.Model, v.Version)
	if v.Gone > 0 {
		fmt.Fprintf(w, "%s more are not compared: the topic does not have their events any more\n", humanize.Comma(int64(v.Gone)))
	}
	fmt.Fprintln(w)
	terminal.Row(w, "COMPARED", "LARGEST DIFFERENCE", "OTHER BITS")
	terminal.Row(w, "stream and batch", fmt.Sprintf("%.3g", v.Largest), v.OtherBits)
	for _, name := range []string{"raw_score", "probability", "probabilities", "score", "quantiles"} {
		if of, ok := v.outputs()[name]; ok {
			terminal.Row(w, "batch and ONNX, "+name, fmt.Sprintf("%.3g", of.Largest), of.OtherBits)
		}
	}
	switch {
	case v.Unexported != "":
		fmt.Fprintln(w, "\nONNX is not compared: "+v.Unexported)
	case v.ONNX == nil && v.Into != "":
		fmt.Fprintf(w, "\nrun python %s where onnxruntime is\n", filepath.Join(v.Into, "check.py"))
	case v.ONNX == nil:
		fmt.Fprintln(w, "\nONNX is not compared: name a Python that has onnxruntime by --python, or a directory by --into")
	}
}
