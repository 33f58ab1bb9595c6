package view

import (
	"time"

	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/tracing"
)

// RequestSpan returns the span of a request that started a run.
func RequestSpan(r *state.Run, name string, from, to time.Time) tracing.Span {
	of := tracing.RunTrace(r.ID, r.StartedMS)
	return tracing.Span{Trace: of, ID: tracing.SpanOf(of, tracing.RequestSpan), Name: name, From: from, To: to, Attributes: attributes(r)}
}

// StageSpan returns the span of a stage that ended. Its times are the log's: another may
// have led when it began.
func StageSpan(r *state.Run, stage *state.Stage) tracing.Span {
	of := tracing.RunTrace(r.ID, r.StartedMS)
	s := tracing.Span{Trace: of, ID: tracing.SpanOf(of, stage.Name), Parent: tracing.SpanOf(of, tracing.RunSpan), Name: stage.Name,
		From: time.UnixMilli(stage.StartedMS), To: time.UnixMilli(stage.EndedMS),
		Attributes: append(attributes(r), tracing.Stage.String(stage.Name), tracing.Tasks.Int(int64(stage.Total)), tracing.Rows.Int(stage.Rows))}
	if stage.State == state.StageFailed {
		s.Err = r.Error
	}
	return s
}

// RunSpan returns the span of a run that ended.
func RunSpan(r *state.Run) tracing.Span {
	of := tracing.RunTrace(r.ID, r.StartedMS)
	s := tracing.Span{Trace: of, ID: tracing.SpanOf(of, tracing.RunSpan), Name: tracing.RunSpan, From: time.UnixMilli(r.StartedMS), To: time.UnixMilli(r.EndedMS), Err: r.Error,
		Attributes: append(attributes(r), tracing.Version.Int(int64(r.Version)))}
	if r.Trigger == "" && r.Verb != stages.PurgeVerb { // a request with a span started it
		s.Parent = tracing.SpanOf(of, tracing.RequestSpan)
	}
	return s
}

func attributes(r *state.Run) []tracing.Attribute {
	return []tracing.Attribute{tracing.Pipeline.String(string(r.Pipeline)), tracing.Run.String(string(r.ID))}
}
