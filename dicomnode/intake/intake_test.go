package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/ledger/ledgertest"
	"endogate/dicomnode/spool"
	"endogate/inference/analysis"
)

// stores are spool and ledger with what goes between them.
type stores struct {
	t      *testing.T
	dir    string
	inline int64 // of the spool, where it is opened anew
	log    bytes.Buffer
	now    time.Time
	spool  *spool.Spool
	ledger *ledger.Ledger
	follow *Follower
	clean  *Reclaimer
	routes Router
}

func openStores(t *testing.T) *stores { return openStoresAt(t, t.TempDir()) }

func openStoresAt(t *testing.T, dir string) *stores {
	require.NoError(t, os.MkdirAll(dir, 0o700))
	s := &stores{
		t: t, dir: dir, now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
		routes: Router{{Name: "endoscopy", Models: []string{"demo"}, Destinations: []string{"pacs"}, ForwardSource: true}},
	}
	s.open()
	t.Cleanup(s.close)
	return s
}

func (s *stores) open() {
	s.t.Helper()
	var err error
	s.ledger, err = ledgertest.Open(filepath.Join(s.dir, "ledger.db"), ledger.Open)
	require.NoError(s.t, err)
	position, err := s.ledger.Position(s.t.Context())
	require.NoError(s.t, err)
	s.spool, err = spool.Open(filepath.Join(s.dir, "spool"), spool.Options{InlineLimit: s.inline, After: func() (uint64, error) { return position, nil }})
	require.NoError(s.t, err)
	log := slog.New(slog.NewTextHandler(&s.log, nil))
	s.follow = &Follower{Spool: s.spool, Ledger: s.ledger, Router: s.routes, Jobs: func() {}, Deliveries: func() {}, Log: log}
	s.clean = &Reclaimer{Spool: s.spool, Ledger: s.ledger, Now: func() time.Time { return s.now }, Spare: s.follow.Spare, Log: log}
}

func (s *stores) close() {
	require.NoError(s.t, errors.Join(s.spool.Close(), s.ledger.Close()))
}

// receive puts data sets into the spool, one instance for each name, and has the ledger follow.
func (s *stores) receive(names ...string) (ids []string) {
	s.t.Helper()
	for _, name := range names {
		ids = append(ids, s.put(name))
	}
	s.catchUp()
	return ids
}

// put puts a data set of the instance name into the spool.
func (s *stores) put(name string) string {
	s.t.Helper()
	w, err := s.spool.Create()
	require.NoError(s.t, err)
	_, err = w.Write([]byte("data set " + name))
	require.NoError(s.t, err)
	e, err := w.Commit(spool.Entry{
		Kind: spool.Received, TransferSyntaxUID: dicom.ExplicitVRLittleEndian, CallingAE: "SCOPE1", At: s.now,
		Header: header(name),
	})
	require.NoError(s.t, err)
	return e.ID
}

func header(name string) dicom.Header {
	return dicom.Header{SOPInstance: dicom.SOPInstance{
		SOPClassUID: "1.2.840.10008.5.1.4.1.1.77.1.1", SOPInstanceUID: dicom.UID("1.2.3." + name),
		SeriesInstanceUID: "1.2.3", StudyInstanceUID: "1.2",
	}}
}

func (s *stores) catchUp() {
	s.t.Helper()
	err := s.follow.CatchUp(s.t.Context())
	require.NoError(s.t, err)
	s.settleSpares()
}

// settleSpares does what RunSpares does with what waits.
func (s *stores) settleSpares() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	cancel()
	_, err := s.follow.settleSpares(s.t.Context(), s.follow.spares.take(ctx))
	require.NoError(s.t, err)
}

func (s *stores) openJobs() []ledger.Job {
	s.t.Helper()
	jobs, err := s.ledger.OpenJobs(s.t.Context(), "", 1000)
	require.NoError(s.t, err)
	return jobs
}

func (s *stores) due() []ledger.Delivery {
	s.t.Helper()
	due, err := s.ledger.DueDeliveries(s.t.Context(), "pacs", s.now.Add(time.Hour), 24*time.Hour, 1000)
	require.NoError(s.t, err)
	return due
}

// TestFollower_bytesLostAndSentAgain loses the log of the spool under a ledger that knows its entries.
func TestFollower_bytesLostAndSentAgain(t *testing.T) {
	s := openStores(t)
	s.receive("1", "2", "3")
	s.close()
	require.NoError(t, os.RemoveAll(filepath.Join(s.dir, "spool")))
	s.open()
	s.catchUp()
	require.NoError(t, s.clean.Orphans(t.Context()))
	require.Contains(t, s.log.String(), "entries=3")
	require.NotContains(t, s.log.String(), "1.2.3.1")
	require.Empty(t, s.openJobs())
	require.Empty(t, s.due())
	work, _, err := s.ledger.Parked(t.Context(), ledger.ParkedFilter{})
	require.NoError(t, err)
	require.Len(t, work.Jobs, 3)
	require.Len(t, work.Deliveries, 3)
	require.Equal(t, ledger.LostBytes, work.Jobs[0].Reason)

	ids := s.receive("2")
	require.True(t, s.spool.Has(ids[0]), "it is not thrown away as a duplicate")
	require.Len(t, s.openJobs(), 1)
	require.Equal(t, ids[0], s.openJobs()[0].Entry)
	require.Len(t, s.due(), 1)
	require.Equal(t, ids[0], s.due()[0].Entry)

	again := s.receive("2")
	require.False(t, s.spool.Has(again[0]), "a duplicate now")
	require.Len(t, s.openJobs(), 1)
}

// TestFollower_damagedBytesSentAgain: the index of the spool has the entry, its bytes are wrong.
func TestFollower_damagedBytesSentAgain(t *testing.T) {
	s := openStores(t)
	s.receive("1")
	s.damage("data set 1")
	ids := s.receive("1")
	require.True(t, s.spool.Has(ids[0]))
	require.Equal(t, ids[0], s.openJobs()[0].Entry)
}

// TestFollower_unreadableEntry damages the record of an entry that the ledger has not seen.
func TestFollower_unreadableEntry(t *testing.T) {
	s := openStores(t)
	w, err := s.spool.Create()
	require.NoError(t, err)
	e, err := w.Commit(spool.Entry{Kind: spool.Received, At: s.now, CallingAE: "MARK", Header: dicom.Header{
		SOPInstance: dicom.SOPInstance{SOPClassUID: "1.2", SOPInstanceUID: "1.2.3", SeriesInstanceUID: "1.2", StudyInstanceUID: "1.2"},
	}})
	require.NoError(t, err)
	logs, err := filepath.Glob(filepath.Join(s.dir, "spool/log/*.log"))
	require.NoError(t, err)
	content, err := os.ReadFile(logs[0])
	require.NoError(t, err)
	at := bytes.Index(content, []byte("MARK"))
	require.Positive(t, at)
	f, err := os.OpenFile(logs[0], os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("X"), int64(at))
	require.NoError(t, errors.Join(err, f.Close()))

	var later sync.WaitGroup // so many that the entry has to be read
	for range 64 {
		later.Go(func() {
			for range 16 {
				w, err := s.spool.CreateMade()
				if assert.NoError(t, err) {
					_, err = w.Commit(spool.Entry{Kind: spool.Derived, At: s.now})
					assert.NoError(t, err)
				}
			}
		})
	}
	later.Wait()
	s.receive("2")
	require.Contains(t, s.log.String(), e.ID)
	require.Len(t, s.openJobs(), 1, "the next one is taken")
	require.NoError(t, s.clean.Orphans(t.Context()))
	require.True(t, s.spool.Has(e.ID), "what is left of it is kept")
}

// TestFollower_diskDoesNotRead: an entry that cannot be read, though its bytes are there, is not passed over: it is taken in when
// the disk gives it again, and what was before it is not held up.
func TestFollower_diskDoesNotRead(t *testing.T) {
	s := openStores(t)
	for _, name := range []string{"1", "2"} { // in a segment each, and out of memory
		s.put(name)
		require.NoError(t, s.spool.Close())
		var err error
		s.spool, err = spool.Open(filepath.Join(s.dir, "spool"), spool.Options{})
		require.NoError(t, err)
	}
	s.follow.Spool, s.clean.Spool = s.spool, s.spool
	logs, err := filepath.Glob(filepath.Join(s.dir, "spool/log/*.log"))
	require.NoError(t, err)
	require.Len(t, logs, 2)
	aside := filepath.Join(s.dir, "aside")
	require.NoError(t, os.Rename(logs[1], aside))
	require.NoError(t, os.Mkdir(logs[1], 0o700)) // which opens, and gives an error when it is read

	_, taken, err := s.follow.batch(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, taken, "the first one")
	_, _, err = s.follow.batch(t.Context())
	require.ErrorIs(t, err, syscall.EISDIR)
	require.Len(t, s.openJobs(), 1)
	refused, err := s.ledger.Refused(t.Context())
	require.NoError(t, err)
	require.Empty(t, refused)
	_, err = (&Follower{Spool: s.spool}).anew(s.openJobs()[0].Entry)
	require.NoError(t, err)

	require.NoError(t, os.Remove(logs[1]))
	require.NoError(t, os.Rename(aside, logs[1]))
	s.catchUp()
	require.Len(t, s.openJobs(), 2)
}

// TestUnread: damaged bytes are passed over at once, those that the disk gives an error for after some tries, others behind them
// after one more, and for want of anything else none.
func TestUnread(t *testing.T) {
	var u unread
	require.True(t, u.hopeless(1, spool.ErrCorrupt))
	for range maxUnread {
		require.False(t, u.hopeless(2, fmt.Errorf("read: %w", syscall.EIO)))
	}
	require.True(t, u.hopeless(2, syscall.EIO))
	for seq := uint64(3); seq < 1000; seq++ {
		require.False(t, u.hopeless(seq, syscall.EIO), "it may have been the one")
		require.True(t, u.hopeless(seq, syscall.EIO), "the disk is bad")
	}
	for range 2 * maxUnread {
		require.False(t, u.hopeless(1000, syscall.EMFILE))
	}
	for range 2 * maxUnread {
		require.False(t, u.hopeless(0, syscall.EIO), "nothing to pass over")
	}
}

// TestRouter_modality: Modality is a code of upper case letters, and means the same in small ones.
func TestRouter_modality(t *testing.T) {
	router := Router{{Name: "endoscopy", Match: Match{Modality: []string{"ES", "gm"}}}}
	for modality, want := range map[string]bool{"ES": true, "es": true, "GM": true, "XC": false, "": false, "ES1": false} {
		_, ok := router.Route(dicom.Header{Modality: modality}, "SCOPE1")
		require.Equal(t, want, ok, modality)
	}
}

func TestFollower_routedLate(t *testing.T) {
	s := openStores(t)
	s.follow.Router = Router{{Name: "other", Match: Match{Modality: []string{"XX"}}}}
	first := s.receive("1")
	require.Empty(t, s.openJobs())
	ids, err := s.ledger.Release(t.Context(), s.now.Add(time.Hour), 10, s.now)
	require.NoError(t, err)
	require.Empty(t, ids, "nobody has seen it")
	s.follow.Router = s.routes
	again := s.receive("1")
	require.False(t, s.spool.Has(again[0]))
	require.Len(t, s.openJobs(), 1)
	require.Equal(t, first[0], s.openJobs()[0].Entry)
	require.Equal(t, []string{"pacs"}, s.openJobs()[0].Destinations)
	require.Len(t, s.due(), 1)
}

// picky is a ledger that fails as it is told.
type picky struct {
	Arrivals
	broken error  // of every call of Receive
	refuse string // entry it cannot take
	damage error  // what a look finds
}

func (p *picky) Suspect(context.Context, error) error { return p.damage }

func (p *picky) Receive(ctx context.Context, receipts []ledger.Receipt, position uint64) ([]ledger.Verdict, error) {
	for _, r := range receipts {
		if r.ID == p.refuse {
			return nil, errors.New("constraint failed")
		}
	}
	if p.broken != nil {
		return nil, p.broken
	}
	return p.Arrivals.Receive(ctx, receipts, position)
}

// TestFollower_troubleIsNoEntrys: where the ledger is at fault, no entry is refused, and all are taken in later.
func TestFollower_troubleIsNoEntrys(t *testing.T) {
	s := openStores(t)
	trouble := &ledger.Trouble{Damaged: true, Err: errors.New("database disk image is malformed")}
	p := &picky{Arrivals: s.ledger, broken: fmt.Errorf("receive: %w", trouble)}
	s.follow.Ledger = p
	s.commit("1", "2", "3")
	require.ErrorIs(t, s.follow.CatchUp(t.Context()), trouble)
	p.broken, p.refuse, p.damage = nil, s.ids()[1], trouble // an odd error, of which a look finds that it is the ledger's
	require.ErrorIs(t, s.follow.CatchUp(t.Context()), trouble)
	refused, err := s.ledger.Refused(t.Context())
	require.NoError(t, err)
	require.Empty(t, refused)
	p.damage, p.refuse = nil, ""
	require.NoError(t, s.follow.CatchUp(t.Context()))
	known, err := s.ledger.Known(t.Context(), s.ids())
	require.NoError(t, err)
	require.Len(t, known, 3)
}

// commit puts data sets into the spool.
func (s *stores) commit(names ...string) {
	for _, name := range names {
		w, err := s.spool.Create()
		require.NoError(s.t, err)
		_, err = w.Write([]byte(name))
		require.NoError(s.t, err)
		_, err = w.Commit(spool.Entry{Kind: spool.Received, At: s.now, Header: dicom.Header{SOPInstance: dicom.SOPInstance{
			SOPClassUID: "1.2", SOPInstanceUID: dicom.UID("1.2.3." + name), SeriesInstanceUID: "1.2.3", StudyInstanceUID: "1.2",
		}}})
		require.NoError(s.t, err)
	}
}

// ids are the entries of data sets, in order.
func (s *stores) ids() (ids []string) {
	for e, err := range s.spool.Entries(0) {
		require.NoError(s.t, err)
		ids = append(ids, e.ID)
	}
	return ids
}

func TestFollower_oneThatCannotBeTaken(t *testing.T) {
	for _, bad := range []int{0, 3, 6} {
		s := openStores(t)
		p := &picky{Arrivals: s.ledger, broken: errors.New("disk is full")}
		var ids []string
		s.follow.Router = nil
		for _, name := range []string{"1", "2", "3", "4", "5", "6", "7"} {
			w, err := s.spool.Create()
			require.NoError(t, err)
			_, err = w.Write([]byte(name))
			require.NoError(t, err)
			e, err := w.Commit(spool.Entry{Kind: spool.Received, At: s.now, Header: dicom.Header{SOPInstance: dicom.SOPInstance{
				SOPClassUID: "1.2", SOPInstanceUID: dicom.UID("1.2.3." + name), SeriesInstanceUID: "1.2.3", StudyInstanceUID: "1.2",
			}}})
			require.NoError(t, err)
			ids = append(ids, e.ID)
		}
		s.follow.Ledger, p.refuse = p, ids[bad]
		err := s.follow.CatchUp(t.Context())
		require.Error(t, err, "a ledger that takes nothing is no fault of a receipt")
		p.broken = nil
		s.catchUp()
		d, err := s.ledger.Study(t.Context(), "1.2", ledger.Page{})
		require.NoError(t, err)
		require.Len(t, d.InstanceViews, 6)
		require.Contains(t, s.log.String(), ids[bad])
		require.NoError(t, s.clean.Orphans(t.Context()))
		require.True(t, s.spool.Has(ids[bad]), "its bytes are kept")
		position, err := s.ledger.Position(t.Context())
		require.NoError(t, err)
		require.Equal(t, s.spool.Last(), position)

		s.follow.Ledger, s.follow.retaken = s.ledger, time.Time{} // a later release
		s.catchUp()
		d, err = s.ledger.Study(t.Context(), "1.2", ledger.Page{})
		require.NoError(t, err)
		require.Len(t, d.InstanceViews, 7)
	}
}

// flaky is a ledger that is not there for some calls.
type flaky struct {
	failures, calls int
	at              []time.Time
	refused         []string
}

func (f *flaky) Position(context.Context) (uint64, error) {
	f.at = append(f.at, time.Now())
	if f.calls++; f.calls <= f.failures {
		return 0, errors.New("disk is away")
	}
	return 0, nil
}

func (f *flaky) Receive(context.Context, []ledger.Receipt, uint64) ([]ledger.Verdict, error) {
	return nil, nil
}

func (f *flaky) KeptAs(context.Context, dicom.UID, string) (string, error) { return "", nil }

func (f *flaky) TakeUp(context.Context, ledger.Receipt) error { return nil }

func (f *flaky) Suspect(context.Context, error) error { return nil }

func (f *flaky) Refused(context.Context) ([]string, error) { return nil, nil }

func (f *flaky) Refuse(_ context.Context, entries []string, _ string, _ uint64, _ time.Time) error {
	f.refused = append(f.refused, entries...)
	return nil
}

func (f *flaky) ParkLost(context.Context, []string, time.Time) error { return nil }

func TestFollower_waitsForTheLedger(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		sp, err := spool.Open(dir, spool.Options{})
		require.NoError(t, err)
		defer func() { require.NoError(t, sp.Close()) }()
		l := &flaky{failures: 9}
		f := &Follower{Spool: sp, Ledger: l, Log: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- f.Run(ctx) }()
		synctest.Wait()
		require.ErrorContains(t, f.Err(), "disk is away")
		time.Sleep(10 * time.Minute)
		require.NoError(t, f.Err())
		var waits []int
		for i := 1; i < len(l.at); i++ {
			waits = append(waits, int(l.at[i].Sub(l.at[i-1]).Seconds()))
		}
		require.Equal(t, []int{1, 2, 4, 8, 16, 32, 60, 60, 60}, waits)
		cancel()
		require.NoError(t, <-ended)
		require.Empty(t, l.refused)
	})
}

// slow is a ledger that notes what it was given, and how late.
type slow struct {
	Arrivals
	mu    sync.Mutex
	given []int         // receipts, by batch
	late  time.Duration // the most that an entry waited
	pos   uint64
}

func (l *slow) Position(context.Context) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pos, nil
}

// taken returns what it was given since it was asked last, and up to where.
func (l *slow) taken() (batches int, late time.Duration, position uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { l.given, l.late = nil, 0 }()
	return len(l.given), l.late, l.pos
}

func (l *slow) Receive(_ context.Context, receipts []ledger.Receipt, position uint64) ([]ledger.Verdict, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.given, l.pos = append(l.given, len(receipts)), position
	for _, r := range receipts {
		l.late = max(l.late, time.Since(r.At))
	}
	return make([]ledger.Verdict, len(receipts)), nil
}

// TestFollower_gathers: one that comes alone is taken at once, many that keep coming are taken together, and the last of them soon.
func TestFollower_gathers(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		sp, err := spool.Open(dir, spool.Options{})
		require.NoError(t, err)
		defer func() { require.NoError(t, sp.Close()) }()
		l := &slow{}
		f := &Follower{Spool: sp, Ledger: l, Jobs: func() {}, Deliveries: func() {}, Log: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- f.Run(ctx) }()
		s := &stores{t: t, spool: sp}
		put := func(n int, every time.Duration) {
			for i := range n {
				s.now = time.Now()
				s.put(fmt.Sprint(i))
				time.Sleep(every)
			}
			synctest.Wait()
		}
		synctest.Wait()
		put(20, 100*time.Millisecond)
		batches, late, _ := l.taken()
		assert.Equal(t, 20, batches)
		assert.Zero(t, late, "alone")

		put(800, time.Millisecond/2)
		batches, late, _ = l.taken()
		assert.Less(t, batches, 20, "together")
		assert.LessOrEqual(t, late, followPause)
		time.Sleep(2 * followQuiet)
		synctest.Wait()
		_, _, position := l.taken()
		assert.Equal(t, sp.Last(), position, "the last soon")

		cancel()
		require.NoError(t, <-ended)
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestReclaimer_waitsForTheLedger(t *testing.T) {
	s := openStores(t)
	closed, err := ledgertest.Open(filepath.Join(t.TempDir(), "ledger.db"), ledger.Open)
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	s.clean.Ledger = closed
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.clean.Log = slog.New(slog.NewTextHandler(writerFunc(func(b []byte) (int, error) { cancel(); return s.log.Write(b) }), nil))
	require.NoError(t, s.clean.Run(ctx), "it does not end the gateway")
	require.Contains(t, s.log.String(), "trying again")
}

// TestReclaimer_givesRoomBack has one of many entries held, in a segment that is full of released ones.
func TestReclaimer_givesRoomBack(t *testing.T) {
	s := openStores(t)
	held := s.receive("1")
	for range 40 {
		s.receive("1") // duplicates are released
	}
	s.close()
	s.open()
	require.NoError(t, s.clean.Orphans(t.Context()))
	s.receive("2") // begins a segment
	before := s.spool.Usage().Disk
	require.NoError(t, s.clean.reclaim(t.Context()))
	require.Less(t, s.spool.Usage().Disk, before)
	require.Contains(t, s.log.String(), "room of released entries given back")
	require.True(t, s.spool.Has(held[0]))
}

func TestReclaimer_forgets(t *testing.T) {
	s := openStores(t)
	s.follow.Router = Router{{Name: "nothing"}} // held: nobody else has it
	id := s.receive("1")[0]
	require.NoError(t, s.ledger.DiscardInstance(t.Context(), id, s.now))
	studies := func() int {
		require.NoError(t, s.clean.reclaim(t.Context()))
		_, total, err := s.ledger.Studies(t.Context(), ledger.StudyFilter{})
		require.NoError(t, err)
		return total
	}
	s.now = s.now.Add(time.Hour)
	require.Equal(t, 1, studies(), "for ever, if nobody says for how long")
	require.False(t, s.spool.Has(id))
	s.clean.History = 24 * time.Hour
	require.Equal(t, 1, studies())
	s.now = s.now.Add(25 * time.Hour)
	require.Zero(t, studies())
	again := s.receive("1")[0]
	require.True(t, s.spool.Has(again), "nobody else has it still")
	require.Equal(t, 1, studies())
}

// TestReclaimer_forgetsWork: what was worked on is not worked on again, and whoever looks for it finds out why.
func TestReclaimer_forgetsWork(t *testing.T) {
	s := openStores(t)
	s.receive("1")
	require.NoError(t, s.ledger.FinishJob(t.Context(), s.openJobs()[0].ID, analysis.Model{}, nil, nil, s.now))
	exams, err := s.ledger.DueExams(t.Context(), s.now.Add(time.Hour), 0, 0)
	require.NoError(t, err)
	require.NoError(t, s.ledger.FinishReport(t.Context(), exams[0], nil, s.now))
	for _, d := range s.due() {
		require.NoError(t, s.ledger.Delivered(t.Context(), d.ID, d.Entry, ledger.Answer{}, s.now))
	}
	s.clean.History = 24 * time.Hour
	s.now = s.now.Add(25 * time.Hour)
	require.NoError(t, s.clean.reclaim(t.Context())) // released
	s.now = s.now.Add(25 * time.Hour)
	require.NoError(t, s.clean.reclaim(t.Context())) // forgotten
	again := s.receive("1")[0]
	require.False(t, s.spool.Has(again))
	require.Empty(t, s.openJobs())
	require.Regexp(t, `received again whose work was done.* sop_instance_uid=1.2.3.1 .* entry=`+again, s.log.String())
}
