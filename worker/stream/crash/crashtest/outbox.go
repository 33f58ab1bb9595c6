package crashtest

import (
	"context"
	"iter"

	"github.com/thalweg/thalweg/connectors"
)

// Outbox returns o as the process sees it; nil stays nil.
func (g *Gate) Outbox(o connectors.Outbox) connectors.Outbox {
	if g == nil || o == nil {
		return o
	}
	return &outbox{o, g}
}

type outbox struct {
	connectors.Outbox
	gate *Gate
}

// Deliver implements connectors.Outbox.
func (o *outbox) Deliver(ctx context.Context, g connectors.Group, messages iter.Seq2[connectors.Message, error]) error {
	return o.gate.call(ctx, Call{Op: "deliver"}, nil, step{seam: ofTopic,
		effect: func(ctx context.Context) error { return o.Outbox.Deliver(ctx, g, messages) },
		late: func() {
			_ = o.Outbox.Deliver(context.WithoutCancel(ctx), g, messages) // nobody is left to be told
			_ = o.Close()
		}})
}
