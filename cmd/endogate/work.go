package main

import (
	"context"

	"endogate/cmd/endogate/gateway"
	"endogate/configs"
)

type workCmd struct{}

func (workCmd) Run(ctx context.Context, c *cli, tty console) error {
	cfg, err := configs.LoadWorker(c.Config)
	if err != nil {
		return err
	}
	return gateway.Work(ctx, cfg, build(), newLogger(tty.err, cfg.Log))
}
