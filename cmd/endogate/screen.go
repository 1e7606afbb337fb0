package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"text/tabwriter"
	"time"

	"endogate/dicomnode/ledger"
)

type screenCmd struct {
	Start  screenStart  `cmd:"" default:"withargs" help:"Begin one: reports of the studies are compared again, and models of their route that have not seen them are offered their instances."`
	List   screenList   `cmd:"" help:"Print which there were, the newest first."`
	Show   screenShow   `cmd:"" help:"Print how far one is."`
	Cancel screenCancel `cmd:"" help:"End one: nothing more is compared or offered; what is offered is still done."`
}

// screenAt is atGateway of a command whose --to is another thing.
type screenAt struct {
	JSON    bool   `help:"Print what the gateway answers." name:"json"`
	Gateway string `help:"Address of the running gateway's API; without it, as configured." placeholder:"HOST:PORT"`
}

func (a screenAt) at() atGateway { return atGateway{a.JSON, a.Gateway} }

type screenStart struct {
	screenAt
	From   string `help:"Studies that came to the gateway at or after: a date (UTC), or RFC 3339." required:"" placeholder:"DATE"`
	To     string `help:"And before." required:"" placeholder:"DATE"`
	Wait   bool   `help:"Wait until all is done, and say how far it is."`
	Author string `help:"Who has it done; without it, the user of this shell." placeholder:"NAME"`
}

const screenLook = 2 * time.Second // between two looks at how far it is

// Run begins a second look.
func (s screenStart) Run(ctx context.Context, c *cli, tty console) error {
	if _, _, err := (span{s.From, s.To}).read("screen start"); err != nil {
		return err
	}
	var at ledger.Screening
	silent := s.JSON && s.Wait // what the gateway answers in the end is printed
	done, err := atGateway{JSON: s.JSON && !s.Wait, To: s.Gateway}.ask(ctx, c, tty, http.MethodPost, "/api/v1/screenings", map[string]any{
		"from": s.From, "before": s.To, "author": cmp.Or(s.Author, os.Getenv("USER"), "endogate screen"),
	}, &at)
	if err != nil || done {
		return err
	}
	show := func() {
		if !silent {
			printScreening(tty.out, at)
		}
	}
	show()
	for s.Wait && (at.State == ledger.ScreeningRunning || at.Open > 0) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(screenLook):
		}
		if _, err := (atGateway{To: s.Gateway}).ask(ctx, c, tty, http.MethodGet, "/api/v1/screenings/"+url.PathEscape(at.Name), nil, &at); err != nil {
			return err
		}
		show()
	}
	if silent {
		if _, err := s.at().ask(ctx, c, tty, http.MethodGet, "/api/v1/screenings/"+url.PathEscape(at.Name), nil, &at); err != nil {
			return err
		}
	}
	if s.Wait && (at.State == ledger.ScreeningCancelled || at.Failed > 0) {
		return errors.New("screen: not all was looked at; endogate parked list shows what waits for a person")
	}
	return nil
}

func printScreening(w io.Writer, s ledger.Screening) {
	fmt.Fprintf(w, "%s %s: %d of %d studies looked at, %d compared again, %d reports read anew; %d analyses offered, %d open, %d done, %d failed; %d instances are not here any more\n",
		s.Name, s.State, s.Studies, s.Of, s.Compared, s.Reread, s.Offered, s.Open, s.Done, s.Failed, s.Gone)
}

type screenList struct{ screenAt }

// Run prints the newest.
func (s screenList) Run(ctx context.Context, c *cli, tty console) error {
	var answer struct {
		Screenings []ledger.Screening
		Total      int
	}
	done, err := s.at().ask(ctx, c, tty, http.MethodGet, "/api/v1/screenings", nil, &answer)
	if err != nil || done {
		return err
	}
	w := tabwriter.NewWriter(tty.out, 0, 0, 2, ' ', 0)
	for _, s := range answer.Screenings {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d of %d studies\t%d of %d analyses\t%s\n", s.Name, s.State, s.From.UTC().Format(time.RFC3339), s.Before.UTC().Format(time.RFC3339), s.Studies, s.Of, s.Done, s.Offered, s.Author)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(tty.out, "%d of %d second looks\n", len(answer.Screenings), answer.Total)
	return nil
}

type screenShow struct {
	screenAt
	ID string `arg:"" help:"A second look, as endogate screen prints it."`
}

// Run prints one.
func (s screenShow) Run(ctx context.Context, c *cli, tty console) error {
	return screenOne(ctx, c, tty, s.at(), http.MethodGet, url.PathEscape(s.ID))
}

type screenCancel struct {
	screenAt
	ID string `arg:"" help:"A second look, as endogate screen prints it."`
}

// Run ends one.
func (s screenCancel) Run(ctx context.Context, c *cli, tty console) error {
	return screenOne(ctx, c, tty, s.at(), http.MethodPost, url.PathEscape(s.ID)+"/cancel")
}

func screenOne(ctx context.Context, c *cli, tty console, a atGateway, method, path string) error {
	var one ledger.Screening
	done, err := a.ask(ctx, c, tty, method, "/api/v1/screenings/"+path, nil, &one)
	if err == nil && !done {
		printScreening(tty.out, one)
	}
	return err
}
