package gateway

import (
	"context"
	"log/slog"
	"time"

	"endogate/cmd/endogate/admin"
	"endogate/configs"
	"endogate/dicomnode/intake"
	"endogate/dicomnode/ledger"
)

// ActOnParked does an action on parked work in the data folder of a gateway that does not run: what it puts back is worked
// on at the next start.
func ActOnParked(ctx context.Context, cfg configs.Config, choice admin.Choice, action admin.Action, dry bool, log *slog.Logger) (done admin.BulkResult, err error) {
	err = queueAtRest(ctx, cfg, log, func(q admin.Queue) error {
		done, err = admin.Bulk(ctx, q, choice, action, dry, nil)
		return err
	})
	return done, err
}

// ParkedAtRest returns a page of the parked work in the data folder of a gateway that does not run, and how much there is.
func ParkedAtRest(ctx context.Context, cfg configs.Config, f admin.ParkedFilter, log *slog.Logger) (page []admin.Parked, total int, err error) {
	err = queueAtRest(ctx, cfg, log, func(q admin.Queue) error {
		page, total, err = q.Parked(ctx, f)
		return err
	})
	return page, total, err
}

// ActOnOneParked does an action on one item, named as the API names it.
func ActOnOneParked(ctx context.Context, cfg configs.Config, id string, action admin.Action, log *slog.Logger) error {
	return queueAtRest(ctx, cfg, log, func(q admin.Queue) error { return admin.One(ctx, q, id, action) })
}

// queueAtRest has the work of a gateway that does not run.
func queueAtRest(ctx context.Context, cfg configs.Config, log *slog.Logger, do func(admin.Queue) error) error {
	return keptAtRest(ctx, cfg, "parked", log, func(l *ledger.Ledger, _ intake.Journal) error {
		return do(&views{ledger: l, now: time.Now, jobs: func() {}, try: func(string) {}})
	})
}
