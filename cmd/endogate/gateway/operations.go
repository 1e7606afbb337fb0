package gateway

import (
	"context"
	"fmt"
	"image"
	"os"
	"strings"
	"sync"
	"time"

	"endogate/cmd/endogate/admin"
	"endogate/configs"
	"endogate/dicomnode/audit"
	"endogate/dicomnode/dicom"
	"endogate/inference"
	"endogate/inference/ask"
)

// operations answers who keeps the gateway running. It implements admin.Operations.
type operations struct {
	*parts
	explanations explanations
}

// Accepts implements admin.Operations.
func (o operations) Accepts(ctx context.Context, destination string) (admin.Matrix, error) {
	for _, d := range o.current().cfg.Destinations {
		if d.Name != destination {
			continue
		}
		if d.Kind != configs.KindDICOM {
			return admin.Matrix{}, fmt.Errorf("%w: a destination of kind %s negotiates no presentation contexts", admin.ErrUnsupported, d.Kind)
		}
		client, err := dicomClient(o.current().cfg.DICOM.AETitle, d)
		if err != nil {
			return admin.Matrix{Reason: err.Error()}, nil
		}
		return Accepts(ctx, client, d.Address, d.AETitle, o.current().cfg.DICOM.SOPClasses)
	}
	return admin.Matrix{}, admin.ErrNotFound
}

// TryRoute implements admin.Operations.
func (o operations) TryRoute(ctx context.Context, file []byte, calling dicom.AETitle) (admin.RouteTrial, error) {
	return o.current().models.try(ctx, o.current().cfg, file, calling)
}

// Dashboard implements admin.Operations.
func (o operations) Dashboard(ctx context.Context) (admin.Dashboard, error) {
	now := o.now()
	d := admin.Dashboard{At: now.UTC(), OldestDeliveries: map[string]float64{}}
	var names []string
	for _, to := range o.current().cfg.Destinations {
		names = append(names, to.Name)
	}
	var err error
	if d.Hour, err = o.ledger.Since(ctx, now.Add(-time.Hour), names); err != nil {
		return d, err
	}
	if d.Day, err = o.ledger.Since(ctx, now.Add(-24*time.Hour), names); err != nil {
		return d, err
	}
	counts, err := o.ledger.Counts(ctx)
	if err != nil {
		return d, err
	}
	since, err := o.ledger.Ages(ctx, names)
	if err != nil {
		return d, err
	}
	ages := o.current().ages(counts, since)
	d.OldestJobs, d.OpenJobs, d.OldestExamSeconds, d.OldestHeldSeconds = ages.Jobs, ages.OpenJobs, ages.Exam, ages.Held
	for _, to := range ages.Destinations {
		d.OldestDeliveries[to.Name] = to.Oldest
	}
	for _, c := range Certificates(o.current().cfg) {
		expires, err := c.Files.Expires()
		shown := admin.Certificate{Name: c.Name, ExpiresAt: expires}
		if err != nil {
			shown.Reason = err.Error()
		}
		d.Certificates = append(d.Certificates, shown)
	}
	return d, nil
}

// Workers implements admin.Operations.
func (o operations) Workers(ctx context.Context) ([]admin.Worker, error) {
	there, err := o.queue.Workers(ctx)
	var all []admin.Worker
	for _, p := range there {
		w := admin.Worker{Machine: p.Name, Slots: p.Slots, Models: []string{}}
		for _, m := range p.Models {
			w.Models = append(w.Models, m.Name+" "+m.Version)
		}
		all = append(all, w)
	}
	return all, err
}

// AuditTrail implements admin.Operations.
func (o operations) AuditTrail(f audit.Filter, behind int64, limit int) ([]audit.Entry, int64, error) {
	return audit.Search(o.start.AuditDir(), f, behind, limit)
}

// configurationFor is for how long what file, environment and bundles say is taken as read, where the file stays as it is: to read
// it all takes some tenths of a second.
const configurationFor = 10 * time.Second

// shownConfiguration is the configuration as it was last shown.
type shownConfiguration struct {
	mu   sync.Mutex
	is   admin.Configuration
	at   time.Time
	file time.Time // when it was written
	last *admin.ReloadState
	of   *generation
}

// Configuration implements admin.Operations.
func (o operations) Configuration() admin.Configuration {
	s := &o.shown
	s.mu.Lock()
	defer s.mu.Unlock()
	var written time.Time
	if info, err := os.Stat(o.build.Config); err == nil {
		written = info.ModTime()
	}
	if now := time.Now(); now.Sub(s.at) > configurationFor || !written.Equal(s.file) || s.last != o.last.Load() || s.of != o.current() {
		s.of = o.current()
		s.is, s.at, s.file = o.readConfiguration(), now, written
		s.last = s.is.Reloaded
	}
	return s.is
}

func (o operations) readConfiguration() admin.Configuration {
	is := o.current()
	c := admin.Configuration{File: o.build.Config, SHA256: configs.Digest(is.settings), Reloaded: o.last.Load()}
	for _, s := range is.settings {
		c.Settings = append(c.Settings, admin.Setting{Key: s.Key, Value: s.Value, Source: string(s.Source), Where: s.Where})
	}
	_, now, err := o.readAgain(is) // as it would be shown
	if err != nil {
		c.Faults = []string{strings.TrimPrefix(err.Error(), errNotApplied.Error()+": ")}
	}
	all := compared(is.settings, now)
	c.Changed = append(all.Applied, all.Restart...)
	return c
}

// Loaded implements admin.Operations.
func (o operations) Loaded(name string) int {
	if model, ok := o.current().models.Live(name); ok {
		return model.Loaded()
	}
	return 0
}

// Warm implements admin.Operations: it has the usual question put about a black frame.
func (o operations) Warm(ctx context.Context, name string) (admin.Warmed, error) {
	model, ok := o.current().models.Live(name)
	if !ok {
		return admin.Warmed{}, admin.ErrNotFound
	}
	if model.Bundle.Kind == inference.Video {
		return admin.Warmed{}, errNoFrame
	}
	start := time.Now()
	_, question, err := o.explanations.question(admin.Question{Model: name})
	if err != nil {
		return admin.Warmed{}, err
	}
	asked, err := model.Ask(ctx, image.NewRGBA(image.Rect(0, 0, model.Bundle.Input.Columns, model.Bundle.Input.Rows)), question)
	if err == nil {
		err = model.Answer(ctx, asked, nil, func(ask.Answer) error { return nil })
	}
	return admin.Warmed{Model: name, Loaded: model.Loaded(), Milliseconds: float64(time.Since(start).Microseconds()) / 1000}, refused(err)
}

var errNoFrame = fmt.Errorf("%w: it looks at clips, and is asked about no single frame", admin.ErrUnsupported)
