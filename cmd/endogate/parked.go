package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/gateway"
	"endogate/configs"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/spool"
)

type parkedCmd struct {
	List    parkedList    `cmd:"" help:"Print work that waits for a person."`
	Retry   parkedRetry   `cmd:"" help:"Put parked work back in its queue: one item, or all that matches."`
	Discard parkedDiscard `cmd:"" help:"Give parked work up for good: one item, or all that matches."`
	Release parkedRelease `cmd:"" help:"Let held results go as they are, on a running gateway: of one study, or all that match."`
}

type parkedRelease struct {
	running
	Study    string `help:"Study Instance UID." placeholder:"UID"`
	Mismatch string `help:"Those that are held for this alone: patients, patient, birth_date, name, sex, accession, study, contested or cut." placeholder:"WHAT"`
	All      bool   `help:"All that are held."`
	Reason   string `help:"Why they may go; it is kept with each study." placeholder:"TEXT"`
	By       string `help:"Who decides." placeholder:"NAME"`
	DryRun   bool   `help:"Say how many match and why they are held, and do nothing."`
}

// Run lets held results go, after a reason was given. An interrupt ends it, and prints how far it came.
func (p *parkedRelease) Run(ctx context.Context, c *cli, tty console) error {
	switch {
	case p.Study+p.Mismatch == "" && !p.All:
		return usageError("parked release: say which: --study, --mismatch, or --all")
	case !p.DryRun && (p.Reason == "" || p.By == ""):
		return usageError("parked release: give --reason and --by: both are kept with each study; --dry-run says first how many there are")
	}
	cfg, err := c.load()
	if err != nil {
		return err
	}
	query := url.Values{"dry_run": {strconv.FormatBool(p.DryRun)}, "task": {strconv.FormatBool(!p.DryRun)}}
	for key, value := range map[string]string{"study_uid": p.Study, "mismatch": p.Mismatch} {
		if value != "" {
			query.Set(key, value)
		}
	}
	path := "/api/v1/parked/release?" + query.Encode()
	var done admin.BulkResult
	if p.DryRun {
		if err := askGateway(ctx, cfg, p.To, http.MethodPost, path, nil, &done); err != nil {
			return err
		}
	} else {
		var task struct {
			admin.Task
			Result admin.BulkResult `json:"result"`
		}
		if err := askGateway(ctx, cfg, p.To, http.MethodPost, path, map[string]string{"reason": p.Reason, "author": p.By}, &task); err != nil {
			return err
		}
		if err := p.follow(ctx, c, tty, task.ID, "studies", &task.Task, &task); err != nil {
			return err
		}
		if done = task.Result; task.State == admin.TaskFailed {
			return fmt.Errorf("parked release: %s; %s", task.Reason, done.Words(admin.ActionRelease))
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(done.Reasons)) {
		fmt.Fprintf(tty.out, "%d held: %s\n", done.Reasons[reason], oneLine(reason))
	}
	fmt.Fprintln(tty.out, done.Words(admin.ActionRelease))
	if done.Matched == 0 {
		return errors.New("parked release: nothing that is held matches; endogate parked list --kind gate shows what is")
	}
	return nil
}

type parkedRetry struct{ parkedAction }

// Run puts parked work back.
func (p *parkedRetry) Run(ctx context.Context, c *cli, tty console) error {
	return p.act(ctx, c, tty, admin.ActionRetry)
}

type parkedDiscard struct{ parkedAction }

// Run gives parked work up.
func (p *parkedDiscard) Run(ctx context.Context, c *cli, tty console) error {
	return p.act(ctx, c, tty, admin.ActionDiscard)
}

type parkedList struct {
	Kind   string `help:"job, exam, delivery, instance, draft or gate." enum:",job,exam,delivery,instance,draft,gate" default:""`
	Limit  int    `help:"How many to print." default:"500"`
	Offset int    `help:"How many to pass over." default:"0"`
	To     string `help:"Address of the running gateway's API; without it, as configured." placeholder:"HOST:PORT"`
}

type parkedAction struct {
	ID          string `arg:"" optional:"" help:"One item, as endogate parked list prints it."`
	Kind        string `help:"job, exam, delivery, instance, draft or gate." enum:",job,exam,delivery,instance,draft,gate" default:""`
	Study       string `help:"Study Instance UID." placeholder:"UID"`
	Destination string `help:"Name of a destination." placeholder:"NAME"`
	Model       string `help:"Name of a model." placeholder:"NAME"`
	All         bool   `help:"All that is parked."`
	DryRun      bool   `help:"Say how many match, and do nothing."`
	To          string `help:"Address of the running gateway's API; without it, as configured." placeholder:"HOST:PORT"`
}

// Run prints what is parked.
func (p *parkedList) Run(ctx context.Context, c *cli, tty console) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	f := admin.ParkedFilter{Kind: admin.ParkedKind(p.Kind), Page: admin.Page{Limit: min(max(p.Limit, 1), 500), Offset: max(p.Offset, 0)}}
	var answer struct {
		Parked []struct {
			ID, Purpose, Destination, Model, Status, Reason string
			StudyInstanceUID                                dicom.UID `json:"study_instance_uid"`
			At                                              time.Time
			Attempts                                        int
		}
		Total int
	}
	running, err := isRunning(cfg, p.To)
	if err != nil {
		return err
	}
	if running {
		query := url.Values{"limit": {strconv.Itoa(f.Limit)}, "offset": {strconv.Itoa(f.Offset)}}
		if p.Kind != "" {
			query.Set("kind", p.Kind)
		}
		if err := askGateway(ctx, cfg, p.To, http.MethodGet, "/api/v1/parked?"+query.Encode(), nil, &answer); err != nil {
			return err
		}
	} else {
		page, total, err := gateway.ParkedAtRest(ctx, cfg, f, slog.New(slog.NewTextHandler(tty.err, nil)))
		if err != nil {
			return err
		}
		text, err := json.Marshal(map[string]any{"parked": admin.ParkedViews(page), "total": total})
		if err == nil {
			err = json.Unmarshal(text, &answer)
		}
		if err != nil {
			return err
		}
	}
	w := tabwriter.NewWriter(tty.out, 0, 0, 2, ' ', 0)
	for _, item := range answer.Parked {
		fmt.Fprintf(w, "%s\t%s\t%s%s\t%s\t%s\n", item.ID, item.StudyInstanceUID, item.Destination, item.Model, item.Purpose, oneLine(item.Reason))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(tty.out, "%d of %d items\n", len(answer.Parked), answer.Total)
	return nil
}

// oneLine keeps a reason to a line of the terminal.
func oneLine(text string) string {
	const longest = 160
	if r := []rune(text); len(r) > longest {
		text = string(r[:longest]) + "…"
	}
	return text
}

// act does the action on one item, or on all that match.
func (p *parkedAction) act(ctx context.Context, c *cli, tty console, action admin.Action) error {
	narrowed := p.Kind+p.Study+p.Destination+p.Model != ""
	switch {
	case p.ID != "" && (narrowed || p.All || p.DryRun):
		return usageError("parked: give one item, or what many have in common, and not both")
	case p.ID == "" && !narrowed && !p.All:
		return usageError("parked: say which: an item, --kind, --study, --destination or --model, or --all")
	}
	cfg, err := c.load()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 6*time.Minute)
	defer cancel()
	running, err := isRunning(cfg, p.To)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(tty.err, nil))
	choice := admin.Choice{Kind: admin.ParkedKind(p.Kind), Study: dicom.UID(p.Study), Destination: p.Destination, Model: p.Model}
	var done admin.BulkResult
	switch {
	case p.ID != "" && running:
		if err := askGateway(ctx, cfg, p.To, http.MethodPost, "/api/v1/parked/"+url.PathEscape(p.ID)+"/"+string(action), nil, new(struct{})); err != nil {
			return err
		}
		done = admin.BulkResult{Matched: 1, Done: 1}
	case p.ID != "":
		if err := gateway.ActOnOneParked(ctx, cfg, p.ID, action, log); err != nil {
			return fmt.Errorf("parked: %s: %w", p.ID, err)
		}
		done = admin.BulkResult{Matched: 1, Done: 1}
	case running:
		query := url.Values{"dry_run": {strconv.FormatBool(p.DryRun)}}
		for key, value := range map[string]string{"kind": p.Kind, "study_uid": p.Study, "destination": p.Destination, "model": p.Model} {
			if value != "" {
				query.Set(key, value)
			}
		}
		err = askGateway(ctx, cfg, p.To, http.MethodPost, "/api/v1/parked/"+string(action)+"?"+query.Encode(), nil, &done)
	default:
		done, err = gateway.ActOnParked(ctx, cfg, choice, action, p.DryRun, log)
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(tty.out, done.Words(action))
	if done.Matched == 0 {
		return errors.New("parked: nothing that is parked matches; endogate parked list shows what is")
	}
	return nil
}

// isRunning says whether a gateway has the data folder, or somebody says where it is.
func isRunning(cfg configs.Config, to string) (bool, error) {
	if to != "" {
		return true, nil
	}
	holder, err := spool.Holder(cfg.SpoolDir())
	return holder != "", err
}
