package failure

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
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
