package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"endogate/cmd/endogate/gateway"
)

type ledgerCmd struct {
	Check   checkLedgerCmd `cmd:"" help:"Look at all of the ledger, also beside a gateway that runs, and say what is wrong with it."`
	Compact compactCmd     `cmd:"" help:"Give back the room that the ledger's file does not need. The gateway must not run."`
	Dismiss dismissCmd     `cmd:"" help:"Forget the spool entries that could not be read or taken in, once their instances were sent again. The gateway must not run."`
	Rejoin  rejoinCmd      `cmd:"" help:"Go on with this ledger and a spool that is older: what the spool lacks is parked. The gateway must not run."`
	Rebuild rebuildCmd     `cmd:"" help:"Make the ledger anew from what the spool says was done. The gateway must not run."`
}

type checkLedgerCmd struct{}

// Run looks at all of the ledger. One that is damaged is a failure.
func (*checkLedgerCmd) Run(ctx context.Context, c *cli, tty console) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	problems, err := gateway.CheckLedger(ctx, cfg)
	if err != nil {
		return err
	}
	for _, p := range problems {
		fmt.Fprintln(tty.out, p)
	}
	if len(problems) > 0 {
		return errors.New("the ledger is damaged: stop the gateway, keep a copy of the data folder, and make the ledger anew with: endogate ledger rebuild")
	}
	fmt.Fprintln(tty.out, "the ledger is sound")
	return nil
}

type dismissCmd struct{}

// Run has the next start not look for what is lost.
func (*dismissCmd) Run(ctx context.Context, c *cli, tty console) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	dismissed, err := gateway.DismissRefused(ctx, cfg, slog.New(slog.NewTextHandler(tty.err, nil)))
	if err != nil {
		return err
	}
	fmt.Fprintf(tty.out, "%d entries of the spool are looked for no more\n", dismissed)
	return nil
}

type rejoinCmd struct{}

// Run has the next start go on with an older spool.
func (*rejoinCmd) Run(ctx context.Context, c *cli, tty console) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	missing, err := gateway.RejoinLedger(ctx, cfg, slog.New(slog.NewTextHandler(tty.err, nil)))
	if err != nil {
		return err
	}
	fmt.Fprintf(tty.out, "the spool lacks %d records: the next start parks the work on what is missing; send those instances again\n", missing)
	return nil
}

type rebuildCmd struct{}

// Run makes a ledger in the place of the one that is lost, or not to be trusted.
func (*rebuildCmd) Run(ctx context.Context, c *cli, tty console) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	done, err := gateway.RebuildLedger(ctx, cfg, slog.New(slog.NewTextHandler(tty.err, nil)))
	for _, place := range done.Damaged {
		fmt.Fprintf(tty.err, "the spool is damaged, what it said there is lost: %s\n", place)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(tty.out, "ledger rebuilt: %d actions done again\n", done.Actions)
	if done.Before != "" {
		fmt.Fprintf(tty.out, "the one that was there is %s now, beside it\n", done.Before)
	}
	return nil
}

type compactCmd struct{}

// Run makes the ledger's file as small as what is in it.
func (*compactCmd) Run(ctx context.Context, c *cli, tty console) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	done, err := gateway.CompactLedger(ctx, cfg)
	if err != nil {
		return err
	}
	fmt.Fprintf(tty.out, "the ledger had %.1f MiB and has %.1f MiB now\n", float64(done.Before)/(1<<20), float64(done.After)/(1<<20))
	return nil
}
