package gateway

import (
	"context"
	"slices"

	"endogate/cmd/endogate/admin"
	"endogate/configs"
	"endogate/dicomnode/ledger"
	"endogate/reports/draft"
)

// Retractable implements admin.Retractions.
func (v *views) Retractable(ctx context.Context, r ledger.Retraction) ([]ledger.Retracted, error) {
	return v.ledger.Retractable(ctx, r)
}

// Standing implements admin.Retractions.
func (v *views) Standing(ctx context.Context) ([]ledger.ModelVersion, error) {
	return v.ledger.Standing(ctx)
}

// Retract implements admin.Retractions. The reports that say so are made at once.
func (v *views) Retract(ctx context.Context, r ledger.Retraction, by draft.Author) ([]ledger.Retracted, error) {
	done, err := v.ledger.Retract(ledger.By(ctx, person(by)), r, v.now())
	if len(done) > 0 { // where it ended on the way, too
		v.jobs()
	}
	return done, err
}

var _ admin.Retractions = (*views)(nil)

// rejects says whether a destination wants rejection notes.
func (g *generation) rejects(destination string) bool {
	return slices.ContainsFunc(g.cfg.Destinations, func(d configs.Destination) bool { return d.Name == destination && d.RejectionNotes })
}
