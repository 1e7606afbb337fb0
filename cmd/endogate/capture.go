package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"endogate/cmd/endogate/admin"
)

type captureCmd struct {
	Signal    string `arg:"" help:"Name of the live signal (live in the configuration)."`
	Accession string `arg:"" help:"Accession number of the order that the picture is for."`
	Frame     int    `help:"Number of the frame, of a picture that was asked for at most three seconds ago; without it, the last one." placeholder:"N"`
	Author    string `help:"Who captures; without it, the user of this shell." placeholder:"NAME"`
	To        string `help:"Address of the running gateway's API; without it, as configured." placeholder:"HOST:PORT"`
}

// Run has the gateway that watches the signal make an instance of a frame of it.
func (r captureCmd) Run(ctx context.Context, c *cli, tty console) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var made admin.LiveCapture
	err = askGateway(ctx, cfg, r.To, http.MethodPost, "/api/v1/live/"+url.PathEscape(r.Signal)+"/captures", map[string]any{
		"accession": r.Accession, "frame": r.Frame, "author": cmp.Or(r.Author, os.Getenv("USER"), "endogate capture"),
	}, &made)
	if err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	fmt.Fprintf(tty.out, "Frame %d of %s was captured for %s: %s\n", made.Frame, r.Signal, made.AccessionNumber, made.SOPInstanceUID)
	return nil
}
