package intake

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
)

// damage changes a byte of text in the spool's log.
func (s *stores) damage(text string) {
	s.t.Helper()
	logs, err := filepath.Glob(filepath.Join(s.dir, "spool/log/*.log"))
	require.NoError(s.t, err)
	for _, log := range logs {
		content, err := os.ReadFile(log)
		require.NoError(s.t, err)
		if at := bytes.Index(content, []byte(text)); at > 0 {
			content[at] ^= 1
			require.NoError(s.t, os.WriteFile(log, content, 0o600))
			return
		}
	}
	require.Fail(s.t, "the log does not have it")
}

// follows takes what the spool has into the ledger and leaves duplicates for later.
func (s *stores) follows() {
	s.t.Helper()
	require.NoError(s.t, s.follow.CatchUp(s.t.Context()))
}

// TestFollower_duplicatesHoldNothingUp: what was sent again is not looked at before what is behind it is in.
func TestFollower_duplicatesHoldNothingUp(t *testing.T) {
	s := openStores(t)
	first := s.put("1")
	s.follows()
	again := []string{s.put("1"), s.put("1"), s.put("1")}
	s.put("2")
	s.follows()
	require.Len(t, s.openJobs(), 2)
	for _, id := range again {
		require.True(t, s.spool.Has(id), "nobody has read the bytes of the first")
	}
	s.settleSpares()
	require.True(t, s.spool.Has(first))
	for _, id := range again {
		require.False(t, s.spool.Has(id))
	}
}

// TestFollower_sparesOutliveTheProcess ends it between the verdict and the look at the bytes, which are bad.
func TestFollower_sparesOutliveTheProcess(t *testing.T) {
	s := openStores(t)
	first := s.put("1")
	s.follows()
	s.close()
	s.open()
	again := s.put("1")
	other := s.put("2")
	s.follows()
	s.put("2")
	s.follows()
	s.damage("data set 1")
	s.close()

	s.open()
	s.follows()
	require.NoError(t, s.clean.Orphans(t.Context()))
	require.True(t, s.spool.Has(again))
	s.settleSpares()
	require.False(t, s.spool.Has(first))
	require.True(t, s.spool.Has(again))
	jobs := s.openJobs()
	require.Len(t, jobs, 2)
	require.ElementsMatch(t, []string{again, other}, []string{jobs[0].Entry, jobs[1].Entry})
	require.Equal(t, 2, s.spool.Usage().Entries)
	require.Contains(t, s.log.String(), "its earlier bytes were gone")
}

// TestFollower_sparesOfReleased gives up duplicates of what is done and released meanwhile.
func TestFollower_sparesOfReleased(t *testing.T) {
	s := openStores(t)
	s.follow.Router = nil
	first := s.put("1")
	s.follows()
	again := s.put("1")
	s.follows()
	require.NoError(t, s.ledger.DiscardInstance(t.Context(), first, s.now))
	s.now = s.now.Add(time.Hour)
	require.NoError(t, s.clean.Expired(t.Context()))
	require.False(t, s.spool.Has(first))
	s.settleSpares()
	require.False(t, s.spool.Has(again))
}

// deaf is a ledger that does not answer at first.
type deaf struct {
	Arrivals
	times int
}

func (d *deaf) KeptAs(ctx context.Context, uid dicom.UID, digest string) (string, error) {
	if d.times--; d.times >= 0 {
		return "", errors.New("disk I/O error")
	}
	return d.Arrivals.KeptAs(ctx, uid, digest)
}

func TestRunSpares_waitsForTheLedger(t *testing.T) {
	s := openStores(t)
	s.put("1")
	again := []string{s.put("1"), s.put("1")}
	s.follows()
	s.follow.Ledger = &deaf{Arrivals: s.ledger, times: 2}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.follow.RunSpares(ctx) }()
		time.Sleep(time.Minute)
		cancel()
		require.NoError(t, <-done)
	})
	for _, id := range again {
		require.False(t, s.spool.Has(id))
	}
	require.Contains(t, s.log.String(), "entries=2")
}
