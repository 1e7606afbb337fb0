package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"endogate/configs"
	"endogate/dicomnode/durable"
	"endogate/dicomnode/ledger"
)

// Compacted is what CompactLedger has made of the ledger's file.
type Compacted struct{ Before, After int64 } // bytes

// compacting is the file that takes the place of the ledger's. One that an end has cut off is of no use.
func compacting(cfg configs.Config) string { return cfg.LedgerFile() + ".compact" }

// CompactLedger gives the room back that the ledger's file does not need, and leaves nothing of what was deleted in it. The gateway must not
// run. The ledger is copied beside itself, what came of it is looked at, and takes its place by one rename: an end at any time leaves the
// one or the other, whole.
func CompactLedger(ctx context.Context, cfg configs.Config) (done Compacted, err error) {
	file, temp := cfg.LedgerFile(), compacting(cfg)
	if _, err := os.Stat(file); err != nil {
		return Compacted{}, fmt.Errorf("compact: %w; give --config, or data_dir in it; a ledger that is lost is made by: endogate ledger rebuild", err)
	}
	defer func() { err = errors.Join(err, giveToOwner(cfg.DataDir)) }()
	var needs int64
	store, err := openSpool(cfg, func() (_ uint64, err error) { // the folder is ours
		l, err := ledger.Open(file)
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, l.Close()) }() // what stands beside the file goes into it
		if needs, err = l.Used(ctx); err != nil {
			return 0, err
		}
		return l.Newest(ctx)
	})
	if err != nil {
		return Compacted{}, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := removeLedger(temp); err != nil {
		return Compacted{}, err
	}
	if done.Before, err = sizeOf(file); err != nil {
		return Compacted{}, err
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(cfg.DataDir, &disk); err != nil {
		return Compacted{}, fmt.Errorf("compact: %s: %w", cfg.DataDir, err)
	}
	if err := roomToCompact(needs, int64(disk.Bavail)*int64(disk.Bsize), cfg.DataDir); err != nil {
		return Compacted{}, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeLedger(temp))
		}
	}()
	if err := ledger.CopyFile(ctx, file, temp); err != nil {
		return Compacted{}, err
	}
	problems, err := ledger.CheckFile(ctx, temp)
	if err != nil {
		return Compacted{}, err
	}
	if len(problems) > 0 {
		return Compacted{}, fmt.Errorf("compact: the copy is not sound, and the ledger stays as it is: %s; see: endogate ledger check", problems[0])
	}
	if done.After, err = sizeOf(temp); err != nil {
		return Compacted{}, err
	}
	if n, err := sizeOf(file + "-wal"); err == nil && n > 0 { // it would be read into a file that it is not of
		return Compacted{}, errors.New("compact: another process writes the ledger: end it, and try again")
	}
	for _, beside := range []string{"-wal", "-shm"} { // empty, and of who has read it
		if err := os.Remove(file + beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Compacted{}, err
		}
	}
	if err := os.Rename(temp, file); err != nil {
		return Compacted{}, err
	}
	return done, durable.SyncFolder(cfg.DataDir)
}

// roomToCompact is an error where a copy of so many bytes, and a tenth more, finds no room.
func roomToCompact(needs, free int64, dir string) error {
	if free < needs+needs/10 {
		return fmt.Errorf("compact: the copy needs %d MiB beside the ledger and %d MiB are free in %s: make room first", (needs+needs/10)>>20, free>>20, dir)
	}
	return nil
}

func sizeOf(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
