package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"endogate/cmd/endogate/gateway"
)

type backupCmd struct {
	Dir string `arg:"" help:"Folder to write to; must be empty or not there." type:"path"`
}

// Run writes a backup of the data folder, also while the gateway runs.
func (b *backupCmd) Run(ctx context.Context, c *cli, tty console) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	done, err := gateway.Backup(ctx, cfg, c.Config, b.Dir, build(), slog.New(slog.NewTextHandler(tty.err, nil)))
	if err != nil && !done.Begun.IsZero() { // else what lies there is somebody else's, or a backup that is whole
		return fmt.Errorf("%w; %s is not complete: remove it", err, b.Dir)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(tty.out, "backed up to %s: %d segments and %d large files of the spool up to entry %d, %d MiB copied\n",
		b.Dir, done.Spool.Segments, done.Spool.Large, done.Spool.Newest, done.Spool.Copied>>20)
	if !done.Ledger {
		fmt.Fprintln(tty.out, "without the ledger, which is damaged: the first start makes it from the spool")
	}
	fmt.Fprintf(tty.out, "to restore: copy %s to an empty data folder, owned by the gateway's user, and start the gateway\n", filepath.Join(b.Dir, "data"))
	for _, m := range done.Models {
		fmt.Fprintf(tty.out, "not in it: model bundle %s (%s %s)\n", m.Dir, m.Name, m.Version)
	}
	return nil
}
