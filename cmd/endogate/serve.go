package main

import (
	"context"
	"io"
	"log/slog"

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
	release := build()
	release.Config = c.Config
	return configs.Locate(c.Config, gateway.Run(ctx, cfg, release, newLogger(tty.err, cfg.Log)))
}

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
