package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"endogate/cmd/endogate/admin"
	"endogate/configs"
	"endogate/dicomnode/audit"
	"endogate/dicomnode/ledger"
)

// reload asks for the configuration to be read again, or for another version of a model.
type reload struct {
	ctx    context.Context       // of who waits for it
	by     string                // for the audit trail
	choice *ledger.BundleVersion // to be in force; nil: the configuration is read again
	answer chan<- reloaded
}

type reloaded struct {
	admin.Reload
	err error
}

// errNotApplied is of what is not taken over: all is as it was.
var errNotApplied = fmt.Errorf("%w: nothing has changed", admin.ErrRefused)

// Reload implements admin.Operations: it has the configuration read again, tried, and put in force. One goes on at a time. With ctx it is given
// up as long as nothing has changed.
func (o operations) Reload(ctx context.Context, by string) (admin.Reload, error) {
	return o.replace(ctx, by, nil)
}

// replace has a generation take the place of the one that is in force.
func (o operations) replace(ctx context.Context, by string, choice *ledger.BundleVersion) (admin.Reload, error) {
	answer := make(chan reloaded, 1)
	select {
	case o.reloads <- reload{ctx, by, choice, answer}:
	case <-ctx.Done():
		return admin.Reload{}, ctx.Err()
	case <-o.life.running.Done():
		return admin.Reload{}, fmt.Errorf("%w: the gateway stops", admin.ErrBusy)
	}
	select {
	case done := <-answer:
		return done.Reload, done.err
	case <-o.life.running.Done(): // it ends what it can, and nobody is told
		return admin.Reload{}, fmt.Errorf("%w: the gateway stops", admin.ErrBusy)
	}
}

// PreviewReload implements admin.Operations.
func (o operations) PreviewReload(context.Context) (admin.Reload, error) {
	_, shown, err := o.readAgain(o.current())
	return compared(o.current().settings, shown), err
}

// reloading reloads when it is asked to, by whoever runs the process or over the API, one time after the other.
func (g *parts) reloading(ctx context.Context) error {
	for {
		var r reload
		select {
		case <-ctx.Done():
			return nil
		case <-g.build.Reload:
			r = reload{ctx, "the operating system", nil, make(chan reloaded, 1)}
		case r = <-g.reloads:
		}
		asked, cancel := context.WithCancel(ctx)
		stop := context.AfterFunc(r.ctx, cancel)
		done, err := g.reload(asked, r)
		stop()
		cancel()
		if r.choice == nil {
			g.reloaded(ctx, r.by, done, err)
		} else {
			g.chose(ctx, r, err)
		}
		var broken *brokenError
		if errors.As(err, &broken) && ctx.Err() == nil {
			return err
		}
		r.answer <- reloaded{done, err}
	}
}

// read is what a generation is made of: a configuration, where it is from, and what persons have put in the place of some of it.
type read struct {
	cfg      configs.Config
	settings []configs.Setting
	choices  []ledger.BundleVersion
}

// readAgain reads and checks the configuration as it is by now, without what needs a restart. Its settings are shown as they would be in force.
func (g *parts) readAgain(is *generation) (r read, shown []configs.Setting, err error) {
	r.choices = is.models.Choices()
	r.cfg, r.settings, err = configs.Read(g.build.Config)
	shown = r.settings
	if err == nil {
		var m *Models
		if m, err = checkRoutes(r.cfg, r.choices); m != nil {
			shown = m.shown(r.settings)
		}
		err = configs.Locate(g.build.Config, errors.Join(err, CheckNotify(r.cfg)))
	}
	if err == nil {
		r.cfg, err = r.cfg.Reloaded(is.cfg)
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", errNotApplied, err)
	}
	r.settings = configs.ReloadedSettings(is.configured, r.settings)
	return r, shown, err
}

// brokenError is of a reload that could neither be ended nor taken back.
type brokenError struct{ error }

func (e *brokenError) Unwrap() error { return e.error }

// reload reads the configuration, or takes the one in force with another version of a model, prepares all that it asks for, and then has it take
// over. Associations and connections that stand go on as they began; what they bring is held to the new routes from where the follower of the
// spool stands.
func (g *parts) reload(ctx context.Context, asked reload) (done admin.Reload, err error) {
	is := g.current()
	var r read
	if asked.choice != nil {
		r = is.with(*asked.choice)
	} else {
		var shown []configs.Setting
		r, shown, err = g.readAgain(is)
		done = compared(is.settings, shown)
	}
	if err != nil {
		return done, err
	}
	if err := g.ledger.Trouble(); err != nil {
		return done, fmt.Errorf("%w: %w", errNotApplied, err)
	}
	next, err := g.prepare(ctx, r, is)
	if err != nil {
		return done, fmt.Errorf("%w: %w", errNotApplied, configs.Locate(g.build.Config, err))
	}
	if asked.choice != nil {
		done, next.by = compared(is.settings, next.settings), asked.choice.By
		err = next.differsOnly(*asked.choice, is)
	}
	if err == nil {
		err = g.record(ctx, asked, audit.Success, next, done.Applied) // what cannot be recorded is not done
	}
	if err == nil {
		err = g.scp.Change(next.admits)
	}
	if err != nil {
		return done, errors.Join(fmt.Errorf("%w: %w", errNotApplied, err), next.models.closeBeside(is.models))
	}
	if g.messages != nil {
		g.messages.Change(next.hears)
	}
	is.retire()
	ctx = context.WithoutCancel(ctx) // from here on it is gone through with
	if err = g.succeed(ctx, next); err != nil {
		return done, errors.Join(fmt.Errorf("%w: %w", errNotApplied, err), g.goBack(ctx, is, next))
	}
	for _, why := range Exposed(r.cfg) {
		g.log.Warn("a file is not private", "reason", why)
	}
	if err := is.models.closeBeside(next.models); err != nil {
		g.log.Error("a model that was replaced was not freed", "err", err)
	}
	return done, nil
}

// succeed puts a generation in force, whose predecessor has ended.
func (g *parts) succeed(ctx context.Context, next *generation) error {
	g.inForce.Store(next)
	if err := next.takeUp(ctx); err != nil {
		return err
	}
	next.begin()
	return nil
}

// goBack puts in force again what was before a generation that could not take over.
func (g *parts) goBack(ctx context.Context, was, failed *generation) error {
	again, err := g.prepare(ctx, read{was.cfg, was.configured, was.models.Choices()}, was)
	if err == nil {
		err = g.scp.Change(again.admits)
	}
	if err != nil {
		return &brokenError{err}
	}
	if g.messages != nil {
		g.messages.Change(again.hears)
	}
	if err := g.succeed(ctx, again); err != nil {
		return &brokenError{err}
	}
	return failed.models.closeBeside(again.models)
}

// compared says what of settings now read counts at once, and what from the next start on.
func compared(inForce, now []configs.Setting) admin.Reload {
	r := admin.Reload{Applied: []admin.Change{}, Restart: []admin.Change{}}
	for _, c := range configs.Changes(inForce, now) {
		change := admin.Change{Setting: admin.Setting{Key: c.Key, Value: c.Value, Source: string(c.Source), Where: c.Where}, Was: c.Was, Restart: c.Restart}
		if c.Restart == "" {
			r.Applied = append(r.Applied, change)
		} else {
			r.Restart = append(r.Restart, change)
		}
	}
	return r
}

// record enters into the audit trail that the configuration is replaced, or was not.
func (g *parts) record(ctx context.Context, asked reload, outcome audit.Outcome, is *generation, changed []admin.Change) error {
	var keys []string
	for _, c := range changed {
		keys = append(keys, c.Key)
	}
	detail := map[string]string{"sha256": configs.Digest(is.settings), "changed": strings.Join(keys, " ")}
	if asked.choice != nil {
		detail["model"] = asked.choice.Name + " " + asked.choice.Version + " " + asked.choice.Digest
	}
	return g.trail.Record(ctx, audit.Event{
		ID: audit.SecurityAlert, Type: audit.SoftwareConfiguration, Action: audit.Execute, Outcome: outcome,
		Participants: []audit.Participant{{ID: asked.by, Requested: true}, {ID: "endogate", Role: audit.Application}},
		Objects:      []audit.Object{{Kind: audit.Security, ID: "configuration", Detail: detail}},
	})
}

// reloaded says what a reload came to, in the log, in the metrics, on the page, and of one that failed in the audit trail.
func (g *parts) reloaded(ctx context.Context, by string, done admin.Reload, err error) {
	state := &admin.ReloadState{At: g.now().UTC(), By: by, OK: err == nil}
	is := g.current()
	if err != nil {
		state.Reason = err.Error()
		g.log.Error("the configuration is not reloaded: what was in force still is", "by", by, "err", err)
		g.recordFailure(ctx, reload{by: by})
	} else {
		keys := func(all []admin.Change) (keys []string) {
			for _, c := range all {
				keys = append(keys, c.Key)
			}
			return keys
		}
		g.log.Info("the configuration is reloaded", "by", by, "changed", keys(done.Applied), "from_the_next_start_on", keys(done.Restart), "sha256", configs.Digest(is.settings))
	}
	g.last.Store(state)
	g.metrics.Configuration(configs.Digest(is.settings), err == nil, time.Now())
}
