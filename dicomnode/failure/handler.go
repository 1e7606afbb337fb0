package failure

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// about are the attributes that tell what a line is about, of things of which there are few: lines of the same text about the same
// thing are of one kind.
var about = []string{"destination", "model", "check", "calling_ae", "application", "route", "status", "code", "cause", "fate"}

// Thinned is a handler that passes on what next is to have, of lines of one kind no more than twenty a minute: however much traffic there
// is, and whatever goes wrong with all of it, the log stays of a size that can be read. Those left out are counted in the next line
// of the kind. Lines below the level info are for somebody who wants them all.
//
// It also knows whether lines are lost: see [Unwritten].
func Thinned(next slog.Handler) slog.Handler {
	return &thinned{next: next, lines: &Thinning{}, lost: &lost{}}
}

type thinned struct {
	next  slog.Handler
	lines *Thinning
	lost  *lost
	kind  string // of the attributes that all its lines have
}

// lost counts the lines since the last that could be written.
type lost struct {
	mu    sync.Mutex
	lines int
	since time.Time
	err   error
}

func (l *lost) note(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.lines = 0
		return nil
	case l.lines == 0:
		l.since = time.Now()
	}
	l.lines++
	l.err = err
	return err
}

// Unwritten is an error while the log of a handler that [Thinned] has made cannot be written: its disk is full, or whoever read it
// has gone. It is nil as soon as a line is written again.
func Unwritten(h slog.Handler) error {
	thin, ok := h.(*thinned)
	if !ok {
		return nil
	}
	l := thin.lost
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lines == 0 {
		return nil
	}
	return fmt.Errorf("the log cannot be written since %s, %d lines are lost: %w", l.since.UTC().Format(time.RFC3339), l.lines, l.err)
}

// Enabled implements slog.Handler.
func (h *thinned) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h *thinned) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelInfo {
		return h.lost.note(h.next.Handle(ctx, r))
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
	return h.lost.note(h.next.Handle(ctx, r))
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
