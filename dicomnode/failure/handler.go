package failure

import (
	"context"
	"log/slog"
	"slices"
	"time"
)

// about are the attributes that tell what a line is about, of things of which there are few: lines of the same text about the same
// thing are of one kind.
var about = []string{"destination", "model", "check", "calling_ae", "application", "route", "status", "code", "cause", "fate"}

// Thinned is a handler that passes on what next is to have, of lines of one kind no more than twenty a minute: however much traffic there
// is, and whatever goes wrong with all of it, the log stays of a size that can be read. Those left out are counted in the next line
// of the kind. Lines below the level info are for somebody who wants them all.
func Thinned(next slog.Handler) slog.Handler { return &thinned{next: next, lines: &Thinning{}} }

type thinned struct {
	next  slog.Handler
	lines *Thinning
	kind  string // of the attributes that all its lines have
}

// Enabled implements slog.Handler.
func (h *thinned) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h *thinned) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelInfo {
		return h.next.Handle(ctx, r)
	}
	kind := r.Level.String() + r.Message + h.kind
	r.Attrs(func(a slog.Attr) bool {
		kind += kindOf(a)
		return true
	})
	left, ok := h.lines.Due(kind, time.Now())
	if !ok {
		return nil
	}
	if left > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("left_out", left))
	}
	return h.next.Handle(ctx, r)
}

func kindOf(a slog.Attr) string {
	if slices.Contains(about, a.Key) {
		return "\x00" + a.Key + "=" + a.Value.String()
	}
	return ""
}

// WithAttrs implements slog.Handler.
func (h *thinned) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.next = h.next.WithAttrs(attrs)
	for _, a := range attrs {
		with.kind += kindOf(a)
	}
	return &with
}

// WithGroup implements slog.Handler.
func (h *thinned) WithGroup(name string) slog.Handler {
	with := *h
	with.next = h.next.WithGroup(name)
	return &with
}
