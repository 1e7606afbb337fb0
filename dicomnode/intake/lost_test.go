package intake

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
)

// segments are the files of the log, in order.
func (s *stores) segments() []string {
	s.t.Helper()
	logs, err := filepath.Glob(filepath.Join(s.dir, "spool/log/*.log"))
	require.NoError(s.t, err)
	slices.Sort(logs)
	return logs
}

// putApart puts instances into the spool, each in a segment of its own that is closed in order, and has the spool out of memory.
func (s *stores) putApart(names ...string) (ids []string) {
	s.t.Helper()
	for _, name := range names {
		ids = append(ids, s.put(name))
		s.close()
		s.open()
	}
	require.Len(s.t, s.segments(), len(names))
	return ids
}

func (s *stores) refusedNow() []string {
	s.t.Helper()
	refused, err := s.ledger.Refused(s.t.Context())
	require.NoError(s.t, err)
	return refused
}

// TestFollower_lost loses one of three instances that the ledger has not seen, in every way: it is named and counted, the others are taken
// in, it is taken in when it is back, and not asked for for ever where it never is.
func TestFollower_lost(t *testing.T) {
	damage := func(at int64) func(t *testing.T, segment string) {
		return func(t *testing.T, segment string) {
			f, err := os.OpenFile(segment, os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.WriteAt([]byte("damage"), at)
			require.NoError(t, err)
			require.NoError(t, f.Close())
		}
	}
	for name, c := range map[string]struct {
		down bool // it happens while nobody has the spool
		lose func(t *testing.T, segment string)
	}{
		"removed while running": {false, func(t *testing.T, segment string) { require.NoError(t, os.Remove(segment)) }},
		"removed while down":    {true, func(t *testing.T, segment string) { require.NoError(t, os.Remove(segment)) }},
		"header while running":  {false, damage(9)},
		"amid the segment":      {false, damage(100)},
		"cut off":               {false, func(t *testing.T, segment string) { require.NoError(t, os.Truncate(segment, 60)) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStores(t)
			ids := s.putApart("1", "2", "3")
			segment := s.segments()[1]
			whole, err := os.ReadFile(segment)
			require.NoError(t, err)
			if c.down {
				s.close()
				c.lose(t, segment)
				s.open()
			} else {
				c.lose(t, segment)
			}
			s.catchUp()
			require.Len(t, s.openJobs(), 2, "those before and behind it are taken in")
			require.Zero(t, s.follow.Lag())
			require.Equal(t, []string{ids[1]}, s.refusedNow())
			counts, err := s.ledger.Counts(t.Context())
			require.NoError(t, err)
			require.EqualValues(t, 1, counts.Refused)
			require.Contains(t, s.log.String(), ids[1])
			require.Contains(t, s.log.String(), "send their instances again")
			require.NoError(t, s.clean.Orphans(t.Context()))
			require.True(t, s.spool.Has(ids[1]), "what is left of it is kept")

			require.NoError(t, os.WriteFile(segment, whole, 0o600))
			require.NoError(t, s.follow.retake(t.Context(), s.follow.refused))
			require.Len(t, s.openJobs(), 3)
			require.Empty(t, s.refusedNow())
			require.Empty(t, s.follow.refused)
			require.Contains(t, s.log.String(), "taken in after all")
		})
	}
	s := openStores(t)
	ids := s.putApart("1", "2")
	require.NoError(t, os.Remove(s.segments()[0]))
	s.catchUp()
	require.NoError(t, s.ledger.Dismiss(t.Context(), ids[0], s.now))
	require.Empty(t, s.refusedNow())
	s.now = s.now.Add(time.Hour)
	require.NoError(t, s.clean.reclaim(t.Context()))
	require.False(t, s.spool.Has(ids[0]))
	s.close()
	s.open()
	require.Empty(t, s.spool.Recovered().Damaged, "it is seen to")
	s.catchUp()
	require.Empty(t, s.refusedNow())
}

// TestFollower_largeFileLost removes the file of one of three large instances that the ledger has not seen, while the gateway is down: it is
// named and counted, and taken in when the file is back.
func TestFollower_largeFileLost(t *testing.T) {
	s := openStores(t)
	s.inline = 1
	s.close()
	s.open()
	ids := []string{s.put("1"), s.put("2"), s.put("3")}
	path, aside := filepath.Join(s.dir, "spool/large", ids[1]), filepath.Join(s.dir, "aside")
	s.close()
	require.NoError(t, os.Rename(path, aside))
	for range 2 { // a start more changes nothing
		s.open()
		s.catchUp()
		require.NoError(t, s.clean.Orphans(t.Context()))
		require.Len(t, s.openJobs(), 2)
		require.Zero(t, s.follow.Lag())
		require.Equal(t, []string{ids[1]}, s.refusedNow())
		counts, err := s.ledger.Counts(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 1, counts.Refused)
		s.close()
	}
	require.Contains(t, s.log.String(), "the file of an instance that was not taken over is gone")
	require.Contains(t, s.log.String(), "sop_instance_uid=1.2.3.2")
	s.open()
	s.catchUp()
	require.Equal(t, []string{ids[1]}, s.follow.refused)
	require.NoError(t, os.Rename(aside, path))
	require.NoError(t, s.follow.retake(t.Context(), s.follow.refused))
	require.Len(t, s.openJobs(), 3)
	require.Empty(t, s.refusedNow())
	require.True(t, s.spool.Has(ids[1]))

	s.close() // what the ledger knows is parked, as ever
	require.NoError(t, os.Remove(path))
	s.open()
	s.catchUp()
	require.NoError(t, s.clean.Orphans(t.Context()))
	work, _, err := s.ledger.Parked(t.Context(), ledger.ParkedFilter{})
	require.NoError(t, err)
	require.Len(t, work.Jobs, 1)
	require.EqualValues(t, "1.2.3.2", work.Jobs[0].Instance.SOPInstanceUID)
	require.Empty(t, s.refusedNow())
	again := s.receive("2")[0]
	require.Len(t, s.openJobs(), 3)
	require.True(t, s.spool.Has(again))
}

// TestFollower_largeFileReleased: what the gateway itself released is lost to nobody, whether the ledger has seen it or not.
func TestFollower_largeFileReleased(t *testing.T) {
	s := openStores(t)
	s.inline = 1
	s.close()
	s.open()
	ids := s.receive("1", "1") // a duplicate
	require.False(t, s.spool.Has(ids[1]))
	w, err := s.spool.CreateMade()
	require.NoError(t, err)
	_, err = w.Write(make([]byte, 5<<20))
	require.NoError(t, err)
	made, err := w.Commit(spool.Entry{Kind: spool.Derived, TransferSyntaxUID: dicom.ExplicitVRLittleEndian, At: s.now, Header: header("4")}) // by work that did not come to its end
	require.NoError(t, err)
	require.NoError(t, s.spool.Release(made.ID))
	s.close()
	s.log.Reset()
	s.open()
	s.catchUp()
	require.NoError(t, s.clean.Orphans(t.Context()))
	require.Empty(t, s.refusedNow())
	require.Empty(t, s.follow.refused)
	require.NotContains(t, s.log.String(), "gone")
	require.Len(t, s.openJobs(), 1)
	for _, err := range s.spool.Held(0) {
		require.NoError(t, err, "it is released again")
	}
}

// TestFollower_lostJustNow loses the segment being written under a follower that is behind: what was in it is known by its UID, and taken in
// without its bytes, so that to send it again is all that it takes.
func TestFollower_lostJustNow(t *testing.T) {
	s := openStores(t)
	id := s.put("1")
	require.NoError(t, os.Remove(s.segments()[0]))
	s.catchUp()
	require.Contains(t, s.log.String(), "sop_instance_uid=1.2.3.1")
	require.Empty(t, s.refusedNow())
	work, _, err := s.ledger.Parked(t.Context(), ledger.ParkedFilter{})
	require.NoError(t, err)
	require.Len(t, work.Jobs, 1)
	require.Equal(t, ledger.LostBytes, work.Jobs[0].Reason)
	require.EqualValues(t, "1.2.3.1", work.Jobs[0].Instance.SOPInstanceUID)
	require.Empty(t, s.due())

	w, err := s.spool.Create()
	require.NoError(t, err)
	_, err = w.Commit(spool.Entry{Kind: spool.Received, At: s.now})
	require.Error(t, err, "the first commit finds that its segment is gone, and the modality is told")
	again := s.receive("1")[0]
	require.NotEqual(t, id, again)
	require.Len(t, s.openJobs(), 1)
	require.Equal(t, again, s.openJobs()[0].Entry)
}

// TestFollower_passes: what passes is waited for, and nothing is lost: one error of the disk, files that cannot be opened, a folder that is away.
func TestFollower_passes(t *testing.T) {
	s := openStores(t)
	s.putApart("1", "2")
	away := filepath.Join(s.dir, "spool.away")
	require.NoError(t, os.Rename(filepath.Join(s.dir, "spool"), away))
	_, _, err := s.follow.batch(t.Context())
	var disk *diskError
	require.ErrorAs(t, err, &disk)
	require.NoError(t, os.Rename(away, filepath.Join(s.dir, "spool")))

	var before, few syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before))
	few = before
	few.Cur = 3
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few))
	for range 2 * maxUnread {
		_, _, err = s.follow.batch(t.Context())
	}
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before))
	require.ErrorIs(t, err, syscall.EMFILE)
	s.catchUp()
	require.Len(t, s.openJobs(), 2)
	require.Empty(t, s.refusedNow())
}

// TestFollower_takesUpByItself: what cannot be read holds up nothing for longer than some minutes, and is taken in by itself when it can be.
func TestFollower_takesUpByItself(t *testing.T) {
	s := openStores(t)
	s.putApart("1", "2")
	aside := filepath.Join(s.dir, "aside")
	first := s.segments()[0]
	require.NoError(t, os.Rename(first, aside))
	require.NoError(t, os.Mkdir(first, 0o700)) // which opens, and gives an error when it is read
	s.close()
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		_, err := spool.Open(filepath.Join(s.dir, "spool"), spool.Options{})
		require.ErrorIs(t, err, syscall.EISDIR, "as a start says")
		require.NoError(t, os.Remove(first))
		require.NoError(t, os.Rename(aside, first))
		sp, err := spool.Open(filepath.Join(s.dir, "spool"), spool.Options{})
		require.NoError(t, err)
		require.NoError(t, os.Rename(first, aside))
		require.NoError(t, os.Mkdir(first, 0o700))
		l := &notes{}
		f := &Follower{Spool: sp, Ledger: l, Jobs: func() {}, Deliveries: func() {}, Log: slog.New(slog.NewTextHandler(&log, nil))}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- f.Run(ctx) }()
		time.Sleep(10 * time.Second)
		require.ErrorIs(t, f.Err(), syscall.EISDIR)
		time.Sleep(5 * time.Minute)
		require.NoError(t, f.Err())
		batches, _, position := l.taken()
		require.Equal(t, 1, batches)
		require.Equal(t, sp.Last(), position, "what is behind it is taken in")
		require.NoError(t, os.Remove(first))
		require.NoError(t, os.Rename(aside, first))
		time.Sleep(2 * retakeEvery)
		batches, _, _ = l.taken()
		require.Equal(t, 1, batches, "it is, by itself")
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, sp.Close())
	})
	require.Contains(t, log.String(), "sop_instance_uid=1.2.3.1")
	s.open() // for the end of the test
}

// notes is a ledger that notes what it is given, and refuses what it is told to.
type notes struct{ slow }

// sick is a ledger in trouble.
type sick struct {
	slow
	asked atomic.Int32
}

func (l *sick) Receive(context.Context, []ledger.Receipt, uint64) ([]ledger.Verdict, error) {
	l.asked.Add(1)
	return nil, &ledger.Trouble{Err: errors.New("out of order")}
}

// TestFollower_ledgerInTrouble: what was passed over is looked at again each minute and no more often, also while the ledger takes nothing.
func TestFollower_ledgerInTrouble(t *testing.T) {
	s := openStores(t)
	s.putApart("1")
	s.close()
	synctest.Test(t, func(t *testing.T) {
		sp, err := spool.Open(filepath.Join(s.dir, "spool"), spool.Options{})
		require.NoError(t, err)
		l := &sick{}
		f := &Follower{Spool: sp, Ledger: l, Jobs: func() {}, Deliveries: func() {}, Log: slog.New(slog.DiscardHandler)}
		for e, err := range sp.Entries(0) {
			require.NoError(t, err)
			f.refused = append(f.refused, e.ID)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute+time.Second)
		defer cancel()
		require.ErrorIs(t, f.more(ctx, sp.Last()), context.DeadlineExceeded)
		require.Equal(t, int32(11), l.asked.Load())
		require.Len(t, f.refused, 1)
		require.NoError(t, sp.Close())
	})
	s.open() // for the end of the test
}

func (*notes) Refuse(context.Context, []string, string, uint64, time.Time) error { return nil }
