package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"endogate/configs"
	"endogate/dicomnode/durable"
	"endogate/dicomnode/intake"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
)

// Rebuilt is what RebuildLedger has done.
type Rebuilt struct {
	Actions int
	Damaged []string // places of the spool that cannot be read
	Before  string   // where the ledger that was there is now; empty: there was none
}

// RebuildLedger makes the ledger anew from the spool's record of what was done. The gateway must not run. A ledger that
// is there is put aside, and stays there until somebody removes it. What the spool has and no action speaks of, the
// next start takes in as if it had just been received.
func RebuildLedger(ctx context.Context, cfg configs.Config, log *slog.Logger) (done Rebuilt, err error) {
	if err := CheckDataFolder(cfg.DataDir); err != nil {
		return Rebuilt{}, fmt.Errorf("rebuild: %w", err)
	}
	if _, err := os.Stat(cfg.SpoolDir()); err != nil {
		return Rebuilt{}, fmt.Errorf("rebuild: %w; give --config, or data_dir in it", err)
	}
	defer func() { err = errors.Join(err, giveToOwner(cfg.DataDir)) }()
	store, err := openSpool(cfg, nil)
	if err != nil {
		return Rebuilt{}, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	done.Damaged = store.Recovered().Damaged
	temp := cfg.LedgerFile() + ".rebuilt"
	if err := removeLedger(temp); err != nil {
		return Rebuilt{}, err
	}
	j := intake.Journal{Spool: store, Now: time.Now, Log: log}
	if err := restore(temp, j); err != nil {
		return Rebuilt{}, err
	}
	if done.Actions, err = replay(ctx, cfg, temp, j); err != nil {
		return Rebuilt{}, errors.Join(err, removeLedger(temp))
	}
	if done.Before, err = putAside(cfg.LedgerFile()); err != nil {
		return Rebuilt{}, err
	}
	if err := os.Rename(temp, cfg.LedgerFile()); err != nil {
		return done, err
	}
	return done, durable.SyncFolder(cfg.DataDir)
}

// CheckLedger looks at all of the ledger, also beside a gateway that runs, and returns what is wrong with it.
func CheckLedger(ctx context.Context, cfg configs.Config) (problems []string, err error) {
	if _, err := os.Stat(cfg.LedgerFile()); err != nil {
		return nil, fmt.Errorf("check: %w; give --config, or data_dir in it; a ledger that is lost is made by: endogate ledger rebuild", err)
	}
	return ledger.CheckFile(ctx, cfg.LedgerFile())
}

// giveToOwner gives what root has made in a folder to the folder's owner, as whom the gateway runs. A file with a second
// name may be one of elsewhere, and stays whose it is.
func giveToOwner(dir string) error {
	var owner unix.Stat_t
	if err := unix.Stat(dir, &owner); err != nil || os.Geteuid() != 0 || owner.Uid == 0 {
		return err
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		var is unix.Stat_t
		if err == nil {
			err = unix.Lstat(path, &is)
		}
		if err != nil || is.Uid != 0 || !d.IsDir() && (!d.Type().IsRegular() || is.Nlink > 1) {
			return err
		}
		return os.Lchown(path, int(owner.Uid), int(owner.Gid))
	})
}

// openSpool opens the spool of a data folder that is not half a backup: whatever works on one begins here.
func openSpool(cfg configs.Config, after func() (uint64, error)) (*spool.Spool, error) {
	if err := CheckDataFolder(cfg.DataDir); err != nil {
		return nil, err
	}
	return spool.Open(cfg.SpoolDir(), spool.Options{
		SegmentSize: int64(cfg.Spool.SegmentSize), InlineLimit: int64(cfg.Spool.InlineLimit),
		Reserve: int64(cfg.Spool.Reserve), After: after,
	})
}

// restore makes the ledger of the last checkpoint at path, where there is one: actions before it are gone.
func restore(path string, j intake.Journal) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	there, err := j.Restore(f)
	if err == nil && there {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil && there {
		return durable.SyncFolder(filepath.Dir(path))
	}
	return errors.Join(err, os.Remove(path))
}

// replay makes a ledger at path that has done what j says, and belongs to the spool.
func replay(ctx context.Context, cfg configs.Config, path string, j ledger.Journal) (int, error) {
	l, err := ledger.Open(path)
	if err != nil {
		return 0, err
	}
	done, err := l.Keep(ctx, j)
	if err == nil {
		err = belong(ctx, cfg, l)
	}
	return done, errors.Join(err, l.Close())
}

// ledgerFiles are the ends of the names of SQLite's files, the database last: without it the others are nothing.
var ledgerFiles = []string{"-shm", "-wal", ""}

func removeLedger(path string) error {
	for _, end := range ledgerFiles {
		if err := os.Remove(path + end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// putAside gives the ledger at path another name. An end in between leaves a folder without a ledger, or with the files
// of one beside the new name: the next start makes it from the spool, as the rebuild does.
func putAside(path string) (string, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", removeLedger(path)
	}
	aside := path + ".before-" + time.Now().UTC().Format("20060102T150405")
	for _, end := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(path+end, aside+end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return filepath.Base(aside), nil
}
