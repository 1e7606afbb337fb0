package main

import (
	"context"

	"endogate/cmd/endogate/gateway"
)

type workCmd struct{}

func (workCmd) Run(ctx context.Context, c *cli, tty console) error {
	cfg, err := c.checkWorker()
	if err != nil {
		return err
	}
	outlive()
	return gateway.Work(ctx, cfg, build(), newLogger(tty.err, cfg.Log))
}
