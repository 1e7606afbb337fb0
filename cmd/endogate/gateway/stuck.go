package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"endogate/cmd/endogate/admin"
	"endogate/configs"
	"endogate/dicomnode/intake"
	"endogate/dicomnode/ledger"
)

// ActOnParked does an action on parked work in the data folder of a gateway that does not run: what it puts back is worked
// on at the next start.
func ActOnParked(ctx context.Context, cfg configs.Config, choice admin.Choice, action admin.Action, dry bool, log *slog.Logger) (done admin.BulkResult, err error) {
	err = atRest(ctx, cfg, log, func(q admin.Queue) error {
		done, err = admin.Bulk(ctx, q, choice, action, dry)
		return err
	})
	return done, err
}

// ParkedAtRest returns a page of the parked work in the data folder of a gateway that does not run, and how much there is.
func ParkedAtRest(ctx context.Context, cfg configs.Config, f admin.ParkedFilter, log *slog.Logger) (page []admin.Parked, total int, err error) {
	err = atRest(ctx, cfg, log, func(q admin.Queue) error {
		page, total, err = q.Parked(ctx, f)
		return err
	})
	return page, total, err
}

// ActOnOneParked does an action on one item, named as the API names it.
func ActOnOneParked(ctx context.Context, cfg configs.Config, id string, action admin.Action, log *slog.Logger) error {
	return atRest(ctx, cfg, log, func(q admin.Queue) error { return admin.One(ctx, q, id, action) })
}

// atRest opens spool and ledger of a gateway that does not run. What is done is in the spool before it is in the ledger, as
// while it runs.
func atRest(ctx context.Context, cfg configs.Config, log *slog.Logger, do func(admin.Queue) error) (err error) {
	if _, err := os.Stat(cfg.LedgerFile()); err != nil {
		return fmt.Errorf("parked: %w; give --config, or data_dir in it; a ledger that is lost is made by: endogate ledger rebuild", err)
	}
	defer func() { err = errors.Join(err, giveToOwner(cfg.DataDir)) }()
	var l *ledger.Ledger
	store, err := openSpool(cfg, func() (_ uint64, err error) {
		if l, err = ledger.Open(cfg.LedgerFile()); err != nil {
			return 0, err
		}
		return l.Newest(ctx)
	})
	if l != nil {
		defer func() { err = errors.Join(err, l.Close()) }()
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	var closers []func() error
	l, err = paired(ctx, cfg, l, store, log, func(f func() error) { closers = append(closers, f) })
	for _, f := range closers {
		defer func() { err = errors.Join(err, f()) }()
	}
	if err != nil {
		return err
	}
	if _, err := l.Keep(ctx, intake.Journal{Spool: store, Now: time.Now, Log: log}); err != nil {
		return err
	}
	return do(&views{ledger: l, now: time.Now, jobs: func() {}, try: func(string) {}})
}
