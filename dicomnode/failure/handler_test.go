package failure

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestThinned: a hundred thousand lines of a kind are twenty a minute, with the number of those left out; lines about another
// thing, at another level or of another text are not counted with them.
func TestThinned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(Thinned(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
		pacs := log.With("destination", "pacs")
		for i := range 100_000 {
			pacs.Warn("delivery parked", "delivery", i)
		}
		require.Equal(t, thinAfter, strings.Count(out.String(), "delivery parked"))
		log.Warn("delivery parked", "destination", "archive")
		pacs.Info("delivery parked")
		pacs.Warn("delivery given up")
		require.Equal(t, thinAfter+3, strings.Count(out.String(), "\n"))
		for range 100 {
			pacs.WithGroup("g").Debug("each")
		}
		require.Equal(t, 100, strings.Count(out.String(), "msg=each"))
		time.Sleep(thinFor)
		pacs.Warn("delivery parked", "delivery", "last")
		require.Contains(t, out.String(), fmt.Sprintf("delivery=last left_out=%d", 100_000-thinAfter))
		require.False(t, slog.New(Thinned(slog.DiscardHandler)).Enabled(context.Background(), slog.LevelError))
	})
}

// broken is a log on a disk that is full, for a while.
type broken struct {
	slog.Handler
	err error
}

func (b *broken) Handle(ctx context.Context, r slog.Record) error {
	return cmp.Or(b.err, b.Handler.Handle(ctx, r))
}

// TestUnwritten: lines that are lost are told, with their number, until one is written again.
func TestUnwritten(t *testing.T) {
	next := &broken{Handler: slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug})}
	log := slog.New(Thinned(next))
	log.Info("a")
	require.NoError(t, Unwritten(log.Handler()))
	next.err = syscall.ENOSPC
	log.Info("b")
	log.Debug("c")
	err := Unwritten(log.Handler())
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorContains(t, err, "2 lines are lost")
	next.err = nil
	log.Info("d")
	require.NoError(t, Unwritten(log.Handler()))
	require.NoError(t, Unwritten(slog.DiscardHandler))
}
