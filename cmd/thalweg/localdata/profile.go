package localdata

import (
	"context"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline/profile"
)

// Profile says what the rows hold.
func (d *Dataset) Profile(ctx context.Context) (*profile.Profile, error) {
	b := profile.New(d.Schema)
	if err := d.Each(ctx, func(batch arrow.Record) error {
		b.Observe(batch)
		return nil
	}); err != nil {
		return nil, err
	}
	return b.Profile(), nil
}
