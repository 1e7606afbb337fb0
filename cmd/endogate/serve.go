package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"endogate/cmd/endogate/gateway"
	"endogate/configs"
	"endogate/dicomnode/failure"
)

type serveCmd struct{}

func (serveCmd) Run(ctx context.Context, c *cli, tty console) error {
	cfg, err := c.check()
	if err != nil {
		return err
	}
	outlive()
	release := build()
	release.Config = c.Config
	again := make(chan os.Signal, 1) // one that comes while another is gone through with asks for one more
	signal.Notify(again, syscall.SIGHUP)
	defer signal.Stop(again)
	release.Reload = again
	return configs.Locate(c.Config, gateway.Run(ctx, cfg, release, newLogger(tty.err, cfg.Log)))
}

// outlive keeps the process when whoever reads its log ends: without it a write to a pipe that is closed would end it at once.
// What is lost of the log is told by /readyz.
func outlive() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

func newLogger(w io.Writer, c configs.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo // Validate has checked it
	}
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(failure.Thinned(slog.NewJSONHandler(w, options)))
	}
	return slog.New(failure.Thinned(slog.NewTextHandler(w, options)))
}
