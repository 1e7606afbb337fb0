package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/gateway"
	"endogate/configs"
	"endogate/dicomnode/audit"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
)

// clockTime is how a moment stands in a list, by the clock of who reads it: it names no zone.
const clockTime = "2006-01-02 15:04:05"

// running says which gateway a command asks.
type running struct {
	To string `help:"Address of the running gateway's API; without it, as configured." placeholder:"HOST:PORT"`
}

func (r running) get(ctx context.Context, c *cli, path string, into any) error {
	return r.ask(ctx, c, http.MethodGet, path, into)
}

func (r running) ask(ctx context.Context, c *cli, method, path string, into any) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	return askGateway(ctx, cfg, r.To, method, path, nil, into)
}

// follow asks for a task until it has ended, into what has it as task. An interrupt ends it. What it counts is told as it gets on.
func (r running) follow(ctx context.Context, c *cli, tty console, id, counted string, task *admin.Task, into any) error {
	path := "/api/v1/tasks/" + id
	for cancelled := false; task.State == admin.TaskRunning; {
		select {
		case <-ctx.Done():
			if !cancelled {
				cancelled, ctx = true, context.WithoutCancel(ctx)
				if err := r.ask(ctx, c, http.MethodPost, path+"/cancel", into); err != nil {
					return err
				}
			}
		case <-time.After(time.Second):
			if task.Of > 0 {
				fmt.Fprintf(tty.err, "%d of %d %s\n", task.Done, task.Of, counted)
			}
		}
		if err := r.get(ctx, c, path, into); err != nil {
			return err
		}
	}
	return nil
}

type reloadCmd struct {
	running
	DryRun bool `help:"Only say what would change."`
}

// Run has a running gateway read its configuration again, and says what changed and what needs a restart.
func (r *reloadCmd) Run(ctx context.Context, c *cli, tty console) error {
	if r.DryRun {
		var would admin.Reload
		if err := r.ask(ctx, c, http.MethodPost, "/api/v1/configuration/reload?dry_run=true", &would); err != nil {
			return err
		}
		return printChanges(tty.out, would, "would change at once")
	}
	var task struct {
		admin.Task
		Result admin.Reload `json:"result"`
	}
	if err := r.ask(ctx, c, http.MethodPost, "/api/v1/configuration/reload", &task); err != nil {
		return err
	}
	if err := r.follow(ctx, c, tty, task.ID, "", &task.Task, &task); err != nil {
		return err
	}
	if task.State != admin.TaskDone {
		return fmt.Errorf("reload: %s: %s", task.State, task.Reason)
	}
	return printChanges(tty.out, task.Result, "changed")
}

func printChanges(out io.Writer, r admin.Reload, at string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range r.Applied {
		fmt.Fprintf(w, "%s\t%s\t%s: it was %s\n", c.Key, oneLine(c.Value), at, oneLine(c.Was))
	}
	for _, c := range r.Restart {
		fmt.Fprintf(w, "%s\t%s\tneeds a restart: %s\n", c.Key, oneLine(c.Value), c.Restart)
	}
	if len(r.Applied)+len(r.Restart) == 0 {
		fmt.Fprintf(w, "every key is as it was; what files and bundles it names are read anew\n")
	}
	return w.Flush()
}

type statusCmd struct{ running }

// Run prints how a running gateway fares. It fails where one does not accept work.
func (s *statusCmd) Run(ctx context.Context, c *cli, tty console) error {
	var status struct {
		Ready  bool
		Checks []admin.CheckResult
	}
	var d admin.Dashboard
	var to struct{ Destinations []admin.Destination }
	var there struct{ Workers []admin.Worker }
	for path, into := range map[string]any{"/api/v1/status": &status, "/api/v1/dashboard": &d, "/api/v1/destinations": &to, "/api/v1/workers": &there} {
		if err := s.get(ctx, c, path, into); err != nil {
			return err
		}
	}
	for _, check := range status.Checks {
		if !check.OK {
			fmt.Fprintf(tty.out, "look at: %s: %s\n", check.Name, check.Reason)
		}
	}
	w := tabwriter.NewWriter(tty.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\treceived\tanalysed\tdelivered\n")
	for _, row := range []struct {
		name string
		f    ledger.Flow
	}{{"last hour", d.Hour}, {"last day", d.Day}} {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\n", row.name, row.f.Received, row.f.Analysed, row.f.Delivered)
	}
	for _, to := range to.Destinations {
		state := "up"
		switch {
		case !to.Up:
			state = "down since " + to.Since.Local().Format(clockTime) + ": " + oneLine(to.LastError)
		case to.Since.IsZero():
			state = "not asked yet"
		}
		fmt.Fprintf(w, "destination %s\t%d waiting\t%d parked\t%s\n", to.Name, to.Counts.Pending, to.Counts.Parked, state)
	}
	for _, worker := range there.Workers {
		fmt.Fprintf(w, "worker %s\t%d slots\t%s\n", worker.Machine, worker.Slots, strings.Join(worker.Models, ", "))
	}
	for _, cert := range d.Certificates {
		fmt.Fprintf(w, "certificate %s\t%s\t%s\n", cert.Name, cert.ExpiresAt.Local().Format(time.DateOnly), cert.Reason)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if !status.Ready {
		return errors.New("status: the gateway does not accept work")
	}
	return nil
}

type findCmd struct {
	Text  string `arg:"" help:"Study or SOP Instance UID, accession number, Patient ID, or what a patient's name begins with (Family Given)."`
	Limit int    `help:"How many to print." default:"50"`
}

// Run reads the ledger's file, beside a gateway that is running or without one.
func (f *findCmd) Run(ctx context.Context, c *cli, tty console) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	if _, err := os.Stat(cfg.LedgerFile()); err != nil {
		return fmt.Errorf("find: %w; give --config, or data_dir in it", err)
	}
	l, err := ledger.OpenReadOnly(cfg.LedgerFile())
	if err != nil {
		return err
	}
	studies, total, err := l.Studies(ctx, ledger.StudyFilter{Search: f.Text, Patients: true, Limit: min(max(f.Limit, 1), 500)})
	if err = errors.Join(err, l.Close()); err != nil {
		return err
	}
	shown := make([]dicom.UID, len(studies))
	for i, s := range studies {
		shown[i] = s.StudyInstanceUID
	}
	if err := looked(ctx, cfg, "find", shown); err != nil {
		return err
	}
	w := tabwriter.NewWriter(tty.out, 0, 0, 2, ' ', 0)
	for _, s := range studies {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d parked\t%s\n", s.StudyInstanceUID, s.AccessionNumber, s.PatientID, s.Status, s.Parked, s.LastAt.Local().Format(clockTime))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(tty.out, "%d of %d studies\n", len(studies), total)
	if total == 0 {
		return errors.New("find: nothing matches; identifiers match in full, names from their beginning")
	}
	return nil
}

type associationsCmd struct {
	running
	ID     uint64 `arg:"" optional:"" help:"One of them: what it negotiated and did."`
	Follow bool   `help:"Go on with what comes, until it ends." short:"f"`
}

// Run prints the associations that peers asked for lately, or one of them.
func (a *associationsCmd) Run(ctx context.Context, c *cli, tty console) error {
	if a.ID > 0 {
		return a.one(ctx, c, tty.out)
	}
	if a.Follow {
		return usageError("associations: --follow is of one: give its number")
	}
	var all struct{ Associations []admin.Association }
	if err := a.get(ctx, c, "/api/v1/associations", &all); err != nil {
		return err
	}
	w := tabwriter.NewWriter(tty.out, 0, 0, 2, ' ', 0)
	for _, one := range all.Associations {
		ended := one.Ended
		if ended == "" {
			ended = "stands"
		}
		fmt.Fprintf(w, "%d\t%s\t%q\t%s\t%d requests\t%d failed\t%s %s\n", one.ID, one.BeganAt.Local().Format(clockTime), string(one.CallingAE), one.Remote, one.Requests, one.Failed, ended, oneLine(one.Reason))
	}
	return w.Flush()
}

// one prints an association, and with --follow goes on until it ends.
func (a *associationsCmd) one(ctx context.Context, c *cli, out io.Writer) error {
	for behind, first := 0, true; ; first = false {
		var log admin.AssociationLog
		if err := a.get(ctx, c, fmt.Sprintf("/api/v1/associations/%d?behind=%d", a.ID, behind), &log); err != nil {
			return err
		}
		if first {
			fmt.Fprintf(out, "%q at %s calls %q, %s\n", string(log.CallingAE), log.Remote, string(log.CalledAE), log.BeganAt.Local().Format(clockTime))
			for _, pc := range log.Contexts {
				fmt.Fprintf(out, "  context %d  %s  %s  %s\n", pc.ID, pc.SOPClass, pc.TransferSyntax, pc.Result)
			}
		}
		for _, step := range log.Steps {
			fmt.Fprintf(out, "  %s  %d  %s  %s  %s  status %s  %d bytes in %.1f ms\n", step.At.Local().Format(clockTime), step.Number, step.Command, step.SOPClass, step.SOPInstanceUID, step.Status, step.Bytes, step.Milliseconds)
			behind = step.Number
		}
		if log.Ended != "" {
			fmt.Fprintf(out, "  %s  %s %s\n", log.EndedAt.Local().Format(clockTime), log.Ended, oneLine(log.Reason))
		}
		if log.Ended != "" || !a.Follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

type settingsCmd struct {
	Changed bool `help:"Only what is not at its default."`
}

// Run prints the configuration as a gateway would read it now, with where each value is from.
func (s *settingsCmd) Run(ctx context.Context, c *cli, tty console) error {
	cfg, all, err := configs.Read(c.Config)
	if err == nil {
		all, err = gateway.SettingsInForce(ctx, cfg, all)
	}
	if s.Changed {
		all = slices.DeleteFunc(all, func(s configs.Setting) bool { return s.Source == configs.FromDefault })
	}
	w := tabwriter.NewWriter(tty.out, 0, 0, 2, ' ', 0)
	for _, s := range all {
		fmt.Fprintf(w, "%s\t%s\t%s %s\n", s.Key, s.Value, s.Source, s.Where)
	}
	return errors.Join(w.Flush(), err)
}

type modelWarm struct {
	running
	Name string `arg:"" help:"Name of a model of the running gateway."`
}

// Run has a running gateway load what the usual question about a model needs.
func (m *modelWarm) Run(ctx context.Context, c *cli, tty console) error {
	var warmed admin.Warmed
	if err := m.ask(ctx, c, http.MethodPost, "/api/v1/models/"+url.PathEscape(m.Name)+"/warm", &warmed); err != nil {
		return err
	}
	fmt.Fprintf(tty.out, "%s: %d networks in memory, after %.0f ms\n", warmed.Model, warmed.Loaded, warmed.Milliseconds)
	return nil
}

type modelVersions struct {
	running
	Name string `arg:"" help:"Name of a model of the running gateway."`
	JSON bool   `name:"json" help:"For programs."`
}

// versions asks a running gateway for those of a model.
func (r running) versions(ctx context.Context, c *cli, name string) (all []admin.ModelVersion, err error) {
	var answer struct{ Versions []admin.ModelVersion }
	err = r.get(ctx, c, "/api/v1/models/"+url.PathEscape(name)+"/versions", &answer)
	return answer.Versions, err
}

// Run prints the versions of a model, the one in force first.
func (m *modelVersions) Run(ctx context.Context, c *cli, tty console) error {
	all, err := m.versions(ctx, c, m.Name)
	if err != nil {
		return err
	}
	if m.JSON {
		return printJSON(tty.out, map[string]any{"versions": all})
	}
	return printVersions(tty.out, all)
}

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func printVersions(out io.Writer, all []admin.ModelVersion) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, v := range all {
		var state []string
		if v.InForce {
			state = append(state, "in force")
		}
		if v.Configured {
			state = append(state, "as configured")
		}
		since := "never in force"
		if !v.Since.IsZero() {
			since = v.Since.Local().Format(clockTime) + " by " + v.By
		}
		fmt.Fprintf(w, "%s\t%.12s\t%s\t%s\t%s\t%s\n", v.Version, v.Digest, strings.Join(state, ", "), since, v.Folder, oneLine(v.Reason))
	}
	return w.Flush()
}

type modelRollback struct {
	running
	Name         string `arg:"" help:"Name of a model."`
	Version      string `arg:"" optional:"" help:"Version to put in force, as endogate model versions prints it."`
	Digest       string `help:"Of its network, where several bundles have that version." placeholder:"SHA-256"`
	AsConfigured bool   `help:"Put the configured version in force again; the gateway may run or not."`
	JSON         bool   `name:"json" help:"For programs."`
}

// Run has a running gateway put a version in force, and says what is then. Where none runs, it can only be taken back.
func (m *modelRollback) Run(ctx context.Context, c *cli, tty console) error {
	if (m.Version == "") != m.AsConfigured {
		return usageError("model rollback: give the version to put in force, or --as-configured")
	}
	cfg, err := c.load()
	if err != nil {
		return err
	}
	version, digest := m.Version, m.Digest
	if m.AsConfigured {
		runs, err := isRunning(cfg, m.To)
		if err != nil {
			return err
		}
		if !runs {
			err := recordedAs(ctx, cfg, "model rollback", audit.Event{
				ID: audit.SecurityAlert, Type: audit.SoftwareConfiguration, Action: audit.Execute,
				Objects: []audit.Object{{Kind: audit.Security, ID: "configuration", Detail: map[string]string{"model": m.Name + " as configured"}}},
			}, func() error {
				return gateway.AsConfigured(ctx, cfg, m.Name, slog.New(slog.NewTextHandler(tty.err, nil)))
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(tty.err, "%s is as configured from the next start on\n", m.Name)
			return nil
		}
		all, err := m.versions(ctx, c, m.Name)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(v admin.ModelVersion) bool { return v.Configured })
		if i < 0 {
			return fmt.Errorf("model rollback: the bundle of %s that is configured is not there", m.Name)
		}
		version, digest = all[i].Version, all[i].Digest
	}
	query := url.Values{"version": {version}}
	if digest != "" {
		query.Set("digest", digest)
	}
	var task struct {
		admin.Task
		Result admin.ModelVersion `json:"result"`
	}
	if err := m.ask(ctx, c, http.MethodPost, "/api/v1/models/"+url.PathEscape(m.Name)+"/rollback?"+query.Encode(), &task); err != nil {
		return err
	}
	if err := m.follow(ctx, c, tty, task.ID, "", &task.Task, &task); err != nil {
		return err
	}
	if task.State != admin.TaskDone {
		return fmt.Errorf("model rollback: %s: %s", task.State, task.Reason)
	}
	if m.JSON {
		return printJSON(tty.out, task.Result)
	}
	return printVersions(tty.out, []admin.ModelVersion{task.Result})
}

type modelCompare struct {
	running
	A      string `arg:"" help:"Name of a model of the running gateway."`
	B      string `arg:"" help:"Name of another."`
	Frames int    `help:"How many of the last frames that are still here." default:"100"`
}

// Run has a running gateway put the last frames that it still has to two models. An interrupt ends it, and prints how far it came.
func (m *modelCompare) Run(ctx context.Context, c *cli, tty console) error {
	var task struct {
		admin.Task
		Result admin.Comparison `json:"result"`
	}
	query := url.Values{"a": {m.A}, "b": {m.B}, "frames": {strconv.Itoa(m.Frames)}}
	if err := m.ask(ctx, c, http.MethodPost, "/api/v1/compare?"+query.Encode(), &task); err != nil {
		return err
	}
	if err := m.follow(ctx, c, tty, task.ID, "frames", &task.Task, &task); err != nil {
		return err
	}
	r := task.Result
	fmt.Fprintf(tty.out, "%d frames, %d that one of them could not see\n", r.Frames, r.Skipped)
	w := tabwriter.NewWriter(tty.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "class\tboth\tonly %s\tonly %s\tneither\n", r.A, r.B)
	for _, class := range r.Classes {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\n", class.Class, class.Both, class.OnlyA, class.OnlyB, class.Neither)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if task.State == admin.TaskFailed {
		return fmt.Errorf("compare: %s", task.Reason)
	}
	return nil
}
