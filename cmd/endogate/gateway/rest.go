package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"endogate/configs"
	"endogate/dicomnode/intake"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
)

// atRest opens the ledger and spool of a gateway that does not run, and closes them behind do. command names who asks, for the
// error.
func atRest(ctx context.Context, cfg configs.Config, command string, do func(*ledger.Ledger, *spool.Spool) error) (err error) {
	if _, err := os.Stat(cfg.LedgerFile()); err != nil {
		return fmt.Errorf("%s: %w; give --config, or data_dir in it; a ledger that is lost is made by: endogate ledger rebuild", command, err)
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
	return do(l, store)
}

// keptAtRest is atRest with the ledger that goes on with the spool, as a start has it: it has caught up, and what is done
// is in the spool before it is in the ledger.
func keptAtRest(ctx context.Context, cfg configs.Config, command string, log *slog.Logger, do func(*ledger.Ledger, intake.Journal) error) error {
	return atRest(ctx, cfg, command, func(l *ledger.Ledger, store *spool.Spool) (err error) {
		var next func() error
		l, err = paired(ctx, cfg, l, store, log, func(f func() error) { next = f })
		if next != nil {
			defer func() { err = errors.Join(err, next()) }()
		}
		if err != nil {
			return err
		}
		j := intake.Journal{Spool: store, Now: time.Now, Log: log}
		if _, err := l.Keep(ctx, j); err != nil {
			return err
		}
		return do(l, j)
	})
}

// DismissRefused has the gateway look no more for spool entries that could not be taken in, and returns how many there were. It must not run.
func DismissRefused(ctx context.Context, cfg configs.Config, log *slog.Logger) (dismissed int, err error) {
	err = keptAtRest(ctx, cfg, "dismiss", log, func(l *ledger.Ledger, _ intake.Journal) error {
		refused, err := l.Refused(ctx)
		for _, entry := range refused {
			err = errors.Join(err, l.Dismiss(ctx, entry, time.Now()))
		}
		dismissed = len(refused)
		return err
	})
	return dismissed, err
}
