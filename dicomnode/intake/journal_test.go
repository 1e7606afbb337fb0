package intake

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/ledger/ledgertest"
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
	path := filepath.Join(s.t.TempDir(), "ledger.db")
	var last bytes.Buffer
	there, err := s.journal().Restore(&last)
	require.NoError(s.t, err)
	if there {
		require.NoError(s.t, os.WriteFile(path, last.Bytes(), 0o600))
	}
	l, err := ledgertest.Open(path, ledger.Open)
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

// TestJournal_diskDoesNotRead: images that the disk does not give keep no ledger from being rebuilt; actions that it does not give do,
// and are not released.
func TestJournal_diskDoesNotRead(t *testing.T) {
	s := openStores(t)
	s.keep()
	s.receive("1")
	require.NoError(t, s.journal().Checkpoint(t.Context(), s.ledger))
	s.close()
	s.open() // a segment of its own follows
	s.put("2")
	s.close()
	s.open() // and is out of memory
	logs, err := filepath.Glob(filepath.Join(s.dir, "spool/log/*.log"))
	require.NoError(t, err)
	require.Len(t, logs, 2)
	unread := func(log string, do func()) {
		aside := filepath.Join(s.dir, "aside")
		require.NoError(t, os.Rename(log, aside))
		require.NoError(t, os.Mkdir(log, 0o700)) // which opens, and gives an error when it is read
		do()
		require.NoError(t, os.Remove(log))
		require.NoError(t, os.Rename(aside, log))
	}
	var kept string
	for e, err := range s.spool.Held(0) {
		require.NoError(t, err)
		if isCheckpoint(e) {
			kept = e.ID
		}
	}
	whole := studyOf(t, s.rebuilt())
	unread(logs[1], func() { require.Equal(t, whole, studyOf(t, s.rebuilt())) })

	unread(logs[0], func() {
		_, err := s.journal().Restore(io.Discard)
		require.ErrorIs(t, err, syscall.EISDIR)
		_, err = s.journal().Checkpointed(0)
		require.ErrorIs(t, err, syscall.EISDIR, "what it does not give may be one")
		require.NoError(t, s.clean.Unneeded(t.Context()))
		require.True(t, s.spool.Has(kept))
	})
	require.Equal(t, whole, studyOf(t, s.rebuilt()))
}

// TestReclaimer_forgetsActions forgets what was done with studies that are forgotten, and nothing else: who was merged into
// whom is known for ever, and that a person discarded.
func TestReclaimer_forgetsActions(t *testing.T) {
	s := openStores(t)
	s.keep()
	s.follow.Router = Router{{Name: "nothing"}}
	s.clean.History = 24 * time.Hour
	merged := ledger.Identifier{ID: "OLD", Authority: "HOSP"}
	_, err := s.ledger.TakeMessage(t.Context(), ledger.Inbound{
		Message:  ledger.Message{Entry: "m1", Application: "RIS", ControlID: "1", Type: "ADT^A40", At: s.now, Answer: ledger.Answer{Protocol: "hl7", Code: "AA"}},
		Patients: []ledger.PatientChange{{Person: ledger.Person{Identifier: ledger.Identifier{ID: "NEW", Authority: "HOSP"}}, Prior: []ledger.Identifier{merged}}},
	})
	require.NoError(t, err)
	id := s.receive("1")[0]
	require.NoError(t, s.ledger.DiscardInstance(t.Context(), id, s.now))
	known := func(l *ledger.Ledger) {
		t.Helper()
		ids, err := l.IdentifiersOf(t.Context(), merged)
		require.NoError(t, err)
		require.Len(t, ids, 2)
		require.Equal(t, studyOf(t, s.ledger), studyOf(t, l))
	}
	checkpoints := func() (n int) {
		for e, err := range s.spool.Entries(0) {
			require.NoError(t, err)
			if isCheckpoint(e) {
				n++
			}
		}
		return n
	}
	s.now = s.now.Add(time.Hour)
	require.NoError(t, s.clean.reclaim(t.Context()))
	require.Zero(t, checkpoints())
	known(s.rebuilt())
	for range 5 {
		s.now = s.now.Add(36 * time.Hour)
		require.NoError(t, s.clean.reclaim(t.Context()))
		require.Equal(t, 1, checkpoints(), "the newest")
		require.Equal(t, 1, s.spool.Usage().Actions, "all others are in it")
		known(s.rebuilt())
	}
	last := s.spool.Last()
	require.NoError(t, s.clean.reclaim(t.Context()))
	require.Equal(t, last, s.spool.Last(), "not before its time")
	s.put("2") // what is done since is done again
	s.catchUp()
	known(s.rebuilt())
}

// TestReclaimer_reporters: who reported goes out of the journal, too, where it may be kept no more, whatever is kept of history.
func TestReclaimer_reporters(t *testing.T) {
	s := openStores(t)
	s.keep()
	s.clean.History = 0
	s.receive("1")
	report := ledger.ReportReading{Status: "F", Subject: ledger.Subject{StudyInstanceUID: "1.2"}, Reporter: ledger.Physician{Name: "Meier^Anna"}}
	_, err := s.ledger.TakeMessage(t.Context(), ledger.Inbound{
		Message:  ledger.Message{Entry: "m1", Application: "RIS", ControlID: "1", Type: "ORU^R01", At: s.now, Answer: ledger.Answer{Protocol: "hl7", Code: "AA"}, Subjects: []ledger.Subject{report.Subject}},
		Readings: []ledger.ReportReading{report},
	})
	require.NoError(t, err)
	says := func() bool {
		var all []byte
		for a, err := range s.journal().After(0) {
			require.NoError(t, err)
			all = append(all, a.Actions...)
		}
		return bytes.Contains(all, []byte("Meier"))
	}
	reporter := func(l *ledger.Ledger) string {
		readings, err := l.ReadingsOf(t.Context(), "1.2", 5)
		require.NoError(t, err)
		require.Len(t, readings, 1)
		return readings[0].Reporter.Name
	}
	require.NoError(t, s.clean.reclaim(t.Context()))
	require.True(t, says())
	require.Equal(t, "Meier^Anna", reporter(s.rebuilt()))
	any, err := s.ledger.ForgetReporters(t.Context(), 500, s.now)
	require.NoError(t, err)
	require.True(t, any)
	require.Empty(t, reporter(s.rebuilt()))
	require.True(t, says())
	require.NoError(t, s.clean.reclaim(t.Context()))
	require.False(t, says())
	require.Empty(t, reporter(s.rebuilt()))
	last := s.spool.Last()
	require.NoError(t, s.clean.reclaim(t.Context()))
	require.Equal(t, last, s.spool.Last(), "it is seen to")
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
	s.ledger, err = ledgertest.Open(file, ledger.Open)
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
