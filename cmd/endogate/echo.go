package main

import (
	"context"
	"fmt"
	"time"

	"endogate/dicomnode/dimse"
)

type echoCmd struct {
	peerFlags `embed:""`
}

func (c *echoCmd) Run(ctx context.Context, tty console) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	status, took, err := client.Echo(ctx, c.To, c.Called)
	if err != nil {
		return err
	}
	if status != dimse.Success {
		return fmt.Errorf("echo: %s answered %v", c.To, status)
	}
	fmt.Fprintf(tty.out, "%s at %s answers: %v in %v\n", c.Called, c.To, status, took.Round(time.Microsecond))
	return nil
}
