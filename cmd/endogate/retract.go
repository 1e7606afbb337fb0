package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

type retractCmd struct {
	Study   string `help:"Study Instance UID; without it, all studies." placeholder:"UID"`
	Route   string `help:"Route that the result came by." placeholder:"NAME"`
	Model   string `help:"Model; without it, all of the study." placeholder:"NAME"`
	Version string `help:"Version of the model; without it, all." placeholder:"VERSION"`
	Reason  string `required:"" help:"Why: it stands in the reports." placeholder:"TEXT"`
	Author  string `help:"Who takes the results back; without it, the user of this shell." placeholder:"NAME"`
	DryRun  bool   `help:"Say what would be taken back, and do nothing."`
	To      string `help:"Address of the running gateway's API; without it, as configured." placeholder:"HOST:PORT"`
}

// Run asks the gateway that is running: it alone writes its ledger.
func (r retractCmd) Run(ctx context.Context, c *cli, tty console) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var done retracted
	err = askGateway(ctx, cfg, r.To, http.MethodPost, "/api/v1/retract", map[string]any{
		"author": cmp.Or(r.Author, os.Getenv("USER"), "endogate retract"), "study": r.Study, "route": r.Route, "model": r.Model, "version": r.Version,
		"reason": r.Reason, "dry_run": r.DryRun,
	}, &done)
	if err != nil {
		return fmt.Errorf("retract: %w", err)
	}
	return r.show(tty.out, done)
}

// retracted is what the gateway answers.
type retracted struct {
	Reports, Results int
	Retracted        []struct {
		Study, Route, Model string
		Results, Delivered  int
	}
	Standing []struct{ Model, Version string }
}

func (r retractCmd) show(w io.Writer, done retracted) error {
	for _, e := range done.Retracted {
		fmt.Fprintf(w, "%s  %s on %s: results of %d instances, %d objects delivered\n", e.Study, e.Model, e.Route, e.Results, e.Delivered)
	}
	verb := "retracted"
	switch {
	case done.Reports == 0:
		var models []string
		for _, m := range done.Standing {
			models = append(models, m.Model+" "+m.Version)
		}
		return fmt.Errorf("retract: nothing stands that this names; models with results: %s", cmp.Or(strings.Join(models, ", "), "none"))
	case r.DryRun:
		verb = "would be retracted"
	}
	fmt.Fprintf(w, "%d reports, results of %d instances %s\n", done.Reports, done.Results, verb)
	return nil
}

// reachable is an address to reach on this machine what listens at one.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return listen
}
