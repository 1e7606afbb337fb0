package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"endogate/configs"
	"endogate/dicomnode/durable"
	"endogate/dicomnode/intake"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
)

// storeFile has the identity of a spool, which its ledger has too.
func storeFile(cfg configs.Config) string { return filepath.Join(cfg.SpoolDir(), "ID") }

func storeID(cfg configs.Config) (string, error) {
	text, err := os.ReadFile(storeFile(cfg))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(text)), err
}

// belong has the ledger belong to the spool. Where only one of them has an identity, the other one gets it.
func belong(ctx context.Context, cfg configs.Config, l *ledger.Ledger) error {
	has, err := storeID(cfg)
	if err != nil {
		return err
	}
	knows, err := l.Store(ctx)
	if err != nil || has != "" && has == knows {
		return err
	}
	if has == "" {
		if has = knows; has == "" {
			has = strings.ToLower(rand.Text())
		}
		if err := durable.WriteFile(storeFile(cfg), []byte(has+"\n")); err != nil {
			return err
		}
	}
	return l.SetStore(ctx, has)
}

// paired returns the ledger that goes on with the spool: l, as long as they belong together and the spool has all that l knows
// of. A ledger that is older than its spool catches up by what the spool says was done; one so old that the spool says it
// no longer begins with the spool's last checkpoint. closes is told how another ledger than l is closed.
func paired(ctx context.Context, cfg configs.Config, l *ledger.Ledger, store *spool.Spool, log *slog.Logger, closes func(func() error)) (*ledger.Ledger, error) {
	has, err := storeID(cfg)
	if err != nil {
		return l, fmt.Errorf("spool: %w", err)
	}
	knows, err := l.Store(ctx)
	if err != nil {
		return l, err
	}
	newest, err := l.Newest(ctx)
	if err != nil {
		return l, err
	}
	is := store.Recovered()
	switch {
	case is.Newest == 0: // a spool that is lost: what the ledger misses is parked, and comes back when it is sent again
		if newest > 0 {
			log.Error("the spool is empty and the ledger is not: what is missing is parked; restore the spool or send its instances again")
			if has != "" && has != knows {
				has, err = "", os.Remove(storeFile(cfg))
			}
		}
	case has != "" && knows != "" && has != knows:
		return l, fmt.Errorf("spool %s and ledger %s are of different gateways: put those together that belong together; "+
			"or make a ledger of what this spool says was done, with: endogate ledger rebuild", cfg.SpoolDir(), cfg.LedgerFile())
	case newest <= is.Newest:
	case is.TornBytes > 0 || len(is.Damaged) > 0:
		log.Error("the spool has lost entries to damage that the ledger knows of: what is missing is parked; restore the spool or send its instances again",
			"entries", newest-is.Newest)
	default:
		return l, older(ctx, cfg, l, is.Newest)
	}
	if err == nil {
		err = belong(ctx, cfg, l)
	}
	if err != nil {
		return l, err
	}
	return recent(ctx, cfg, l, intake.Journal{Spool: store, Now: time.Now, Log: log}, closes)
}

// older is the error of a spool that ends before its ledger does.
func older(ctx context.Context, cfg configs.Config, l *ledger.Ledger, last uint64) error {
	lacks, err := l.Beyond(ctx, last)
	if err != nil {
		return err
	}
	missing := fmt.Sprintf("%d records of what was done", lacks.Newest-last)
	if lacks.Instances > 0 {
		missing = fmt.Sprintf("%d instances, received from %s to %s, and what was done since", lacks.Instances,
			lacks.First.Format(time.RFC3339), lacks.Last.Format(time.RFC3339))
	}
	return fmt.Errorf("spool %s is older than its ledger: missing are %s. Put the newer spool into its place; where it is lost, "+
		"endogate ledger rejoin goes on with this ledger, and parks the work on what is missing until it is sent again; "+
		"endogate ledger rebuild goes back to what this spool knows, and may send again what was sent since", cfg.SpoolDir(), missing)
}

// recent returns l, or the ledger of the last checkpoint where l is so old that the actions are gone that would follow.
func recent(ctx context.Context, cfg configs.Config, l *ledger.Ledger, j intake.Journal, closes func(func() error)) (*ledger.Ledger, error) {
	acted, err := l.Acted(ctx)
	if err != nil {
		return l, err
	}
	if there, err := j.Checkpointed(acted); err != nil || !there {
		return l, err
	}
	temp := cfg.LedgerFile() + ".of-checkpoint"
	if err := restore(temp, j); err != nil {
		return l, err
	}
	knows, err := ledger.ActedIn(ctx, temp)
	if err = errors.Join(err, removeLedger(temp)); err != nil || acted >= knows {
		return l, err
	}
	if err := l.Close(); err != nil {
		return l, err
	}
	aside, err := putAside(cfg.LedgerFile())
	if err == nil {
		err = restore(cfg.LedgerFile(), j)
	}
	if err != nil {
		return l, err
	}
	j.Log.Warn("the ledger is older than what the spool still says of every step: it begins with the spool's last checkpoint", "put_aside", aside)
	next, err := ledger.Open(cfg.LedgerFile())
	if err != nil {
		return l, err
	}
	closes(next.Close)
	return next, belong(ctx, cfg, next)
}

// RejoinLedger has the gateway go on with its ledger and a spool that is older: what the spool lacks is parked at the next
// start. The gateway must not run. It returns how many entries are missing.
func RejoinLedger(ctx context.Context, cfg configs.Config, log *slog.Logger) (missing uint64, err error) {
	err = atRest(ctx, cfg, "rejoin", func(l *ledger.Ledger, store *spool.Spool) error {
		has, err := storeID(cfg)
		if err != nil {
			return err
		}
		knows, err := l.Store(ctx)
		if err != nil {
			return err
		}
		newest, err := l.Newest(ctx)
		switch {
		case err != nil:
			return err
		case has != "" && knows != "" && has != knows:
			return errors.New("rejoin: spool and ledger are of different gateways: a ledger of what this spool says was done is made by: endogate ledger rebuild")
		case newest <= store.Recovered().Newest:
			return errors.New("rejoin: the spool is not older than the ledger: start the gateway")
		}
		// A record behind all that the ledger knows of: from there on both go on.
		if _, err := (intake.Journal{Spool: store, Now: time.Now, Log: log}).Append(nil); err != nil {
			return err
		}
		missing = newest - store.Recovered().Newest
		return belong(ctx, cfg, l)
	})
	return missing, err
}
