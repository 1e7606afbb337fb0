package intake

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
)

// keep has the ledger of s tell the spool what it does.
func (s *stores) keep() (done int) {
	s.t.Helper()
	done, err := s.ledger.Keep(s.t.Context(), s.journal())
	require.NoError(s.t, err)
	return done
}

func (s *stores) journal() Journal {
	return Journal{Spool: s.spool, Now: func() time.Time { return s.now }, Log: slog.New(slog.NewTextHandler(&s.log, nil))}
}

// rebuilt returns a new ledger made of what the spool says.
func (s *stores) rebuilt() *ledger.Ledger {
	s.t.Helper()
	l, err := ledger.Open(filepath.Join(s.t.TempDir(), "ledger.db"))
	require.NoError(s.t, err)
	s.t.Cleanup(func() { require.NoError(s.t, l.Close()) })
	_, err = l.Keep(s.t.Context(), s.journal())
	require.NoError(s.t, err)
	return l
}

func studyOf(t *testing.T, l *ledger.Ledger) ledger.StudyDetail {
	t.Helper()
	d, err := l.Study(t.Context(), dicom.UID("1.2"), ledger.Page{})
	require.NoError(t, err)
	return d
}

// TestJournal_followerRests: the ledger's own actions are entries that the follower looks at; it does not answer them.
func TestJournal_followerRests(t *testing.T) {
	s := openStores(t)
	s.keep()
	s.receive("1", "2")
	require.NoError(t, s.ledger.ParkJob(t.Context(), s.openJobs()[0].ID, "it ends the process", s.now))
	last := s.spool.Last()
	s.catchUp()
	s.catchUp()
	require.Equal(t, last, s.spool.Last())
	require.Zero(t, s.follow.Lag())
	require.Equal(t, studyOf(t, s.ledger), studyOf(t, s.rebuilt()))
	require.NoError(t, s.clean.Orphans(t.Context()))
	require.NoError(t, s.clean.reclaim(t.Context()))
	require.Equal(t, last, s.spool.Last(), "nothing to do is no action")
	require.Equal(t, studyOf(t, s.ledger), studyOf(t, s.rebuilt()))
}

// TestJournal_damaged passes over actions that cannot be read, and says so.
func TestJournal_damaged(t *testing.T) {
	s := openStores(t)
	s.keep()
	s.receive("1")
	require.NoError(t, s.ledger.ParkJob(t.Context(), s.openJobs()[0].ID, "it ends the process", s.now))
	s.damage("it ends the process")
	jobs := studyOf(t, s.rebuilt()).InstanceViews[0].Jobs
	require.Equal(t, ledger.JobOpen, jobs[0].State)
	require.Contains(t, s.log.String(), "actions cannot be read")
}

// TestReclaimer_forgetsActions forgets what was done with studies that are forgotten, and nothing else.
func TestReclaimer_forgetsActions(t *testing.T) {
	s := openStores(t)
	s.keep()
	s.follow.Router = Router{{Name: "nothing"}}
	s.clean.History = 24 * time.Hour
	id := s.receive("1")[0]
	require.NoError(t, s.ledger.DiscardInstance(t.Context(), id, s.now))
	s.now = s.now.Add(time.Hour)
	require.NoError(t, s.clean.reclaim(t.Context()))
	want := studyOf(t, s.ledger)
	require.Equal(t, want, studyOf(t, s.rebuilt()))
	before := s.spool.Usage().Actions
	require.Equal(t, 3, before, "received, discarded, released")
	s.now = s.now.Add(36 * time.Hour)
	require.NoError(t, s.clean.reclaim(t.Context()))
	require.Equal(t, before+1, s.spool.Usage().Actions, "forgotten; a clock may have been set back")
	s.now = s.now.Add(48 * time.Hour)
	require.NoError(t, s.clean.reclaim(t.Context()))
	require.Equal(t, 1, s.spool.Usage().Actions)
	_, total, err := s.rebuilt().Studies(t.Context(), ledger.StudyFilter{})
	require.NoError(t, err)
	require.Zero(t, total)
}

// TestJournal_killedBetweenRecordAndRow starts with a ledger from before the last action, and one from before all.
func TestJournal_killedBetweenRecordAndRow(t *testing.T) {
	s := openStores(t)
	s.keep()
	s.receive("1", "2")
	file := filepath.Join(s.dir, "ledger.db")
	require.NoError(t, s.ledger.Close())
	before, err := os.ReadFile(file)
	require.NoError(t, err)
	s.ledger, err = ledger.Open(file)
	require.NoError(t, err)
	require.Zero(t, s.keep())
	delivery := s.due()[0]
	answer := ledger.Answer{Protocol: "dicom", Code: "0000"}
	require.NoError(t, s.ledger.Delivered(t.Context(), delivery.ID, delivery.Entry, answer, s.now))
	want := studyOf(t, s.ledger)
	for _, left := range [][]byte{before, nil} {
		s.close()
		require.NoError(t, os.WriteFile(file, left, 0o600))
		s.open()
		if left != nil {
			require.Equal(t, 1, s.keep(), "what the peer was told")
		} else {
			require.Equal(t, 2, s.keep(), "with what was received")
		}
		s.catchUp()
		require.Equal(t, want, studyOf(t, s.ledger))
		require.Len(t, s.due(), 1, "it is not delivered again, the other is")
	}
}
