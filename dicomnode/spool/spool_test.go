package spool

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"endogate/dicomnode/dicom"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDirEnv); dir != "" {
		crashChild(dir)
	}
	goleak.VerifyTestMain(m)
}

func openSpool(t testing.TB, dir string, o Options) *Spool {
	t.Helper()
	s, err := Open(dir, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// put commits data in writes of at most 1000 bytes.
func put(s *Spool, data []byte) (Entry, error) {
	w, err := s.Create()
	if err != nil {
		return Entry{}, err
	}
	for b := data; len(b) > 0; {
		n, err := w.Write(b[:min(1000, len(b))])
		if err != nil {
			return Entry{}, err
		}
		b = b[n:]
	}
	return w.Commit(sampleEntry())
}

func mustPut(t testing.TB, s *Spool, data []byte) Entry {
	t.Helper()
	e, err := put(s, data)
	require.NoError(t, err)
	return e
}

func sampleEntry() Entry {
	return Entry{
		Kind: Received,
		Header: dicom.Header{
			SOPInstance: dicom.SOPInstance{
				SOPClassUID: "1.2.840.10008.5.1.4.1.1.77.1.1", SOPInstanceUID: "1.2.3.4",
				SeriesInstanceUID: "1.2.3", StudyInstanceUID: "1.2",
			},
			PatientName: "Hébert^Zoë", InstanceNumber: 7,
		},
		TransferSyntaxUID: dicom.JPEGBaseline8Bit,
		CallingAE:         "SCOPE1", CalledAE: "ENDOGATE", RemoteAddr: "192.0.2.7:4711",
		At: time.Date(2026, 3, 4, 5, 6, 7, 8000, time.UTC),
	}
}

func randomBytes(n int) []byte {
	r := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	b := make([]byte, n)
	_, _ = r.Read(b)
	return b
}

func hexDigest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func readAll(s *Spool, id string) (Entry, []byte, error) {
	e, r, err := s.Open(id)
	if err != nil {
		return Entry{}, nil, err
	}
	b, err := io.ReadAll(r)
	if err := r.Close(); err != nil {
		return Entry{}, nil, err
	}
	return e, b, err
}

// entries are all that there are, those among them that were released before the start and have lost their files.
func entries(t testing.TB, s *Spool, after uint64) []Entry {
	t.Helper()
	var all []Entry
	for e, err := range s.Entries(after) {
		require.True(t, err == nil || errors.Is(err, ErrGone), "%v", err)
		all = append(all, e)
	}
	return all
}

func TestCommit_sizes(t *testing.T) {
	const limit = 200_000
	for _, size := range []int{0, 1, chunkSize - 1, chunkSize, chunkSize + 1, limit - 1, limit, limit + 1, 1_000_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			dir := t.TempDir()
			s := openSpool(t, dir, Options{InlineLimit: limit})
			data := randomBytes(size)
			want := sampleEntry()
			got := mustPut(t, s, data)
			want.ID, want.Seq, want.Size, want.Digest = got.ID, 1, int64(size), hexDigest(data)
			require.Equal(t, want, got)

			for range 2 {
				e, b, err := readAll(s, got.ID)
				require.NoError(t, err)
				require.Equal(t, want, e)
				require.True(t, bytes.Equal(data, b))
				require.Equal(t, []Entry{want}, entries(t, s, 0))
				_, err = os.Stat(s.largePath(got.ID))
				require.Equal(t, size > limit, err == nil)
				require.NoError(t, s.Close())
				s = openSpool(t, dir, Options{InlineLimit: limit})
			}
		})
	}
}

func TestOpen_seek(t *testing.T) {
	s := openSpool(t, t.TempDir(), Options{InlineLimit: 1000})
	for _, size := range []int{900, 1100} {
		data := randomBytes(size)
		e := mustPut(t, s, data)
		_, r, err := s.Open(e.ID)
		require.NoError(t, err)
		_, err = r.Seek(-100, io.SeekEnd)
		require.NoError(t, err)
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Equal(t, data[size-100:], b)
		require.NoError(t, r.Close())
	}
}

func TestOpen_notFound(t *testing.T) {
	s := openSpool(t, t.TempDir(), Options{})
	for _, id := range []string{"", "nothing", "../LOCK"} {
		_, _, err := s.Open(id)
		require.ErrorIs(t, err, ErrNotFound)
	}
}

func TestOpen_bytesChanged(t *testing.T) {
	s := openSpool(t, t.TempDir(), Options{InlineLimit: 1000})
	for _, size := range []int{900, 1100} {
		data := randomBytes(size)
		e := mustPut(t, s, data)
		g, sl, ok := s.find(e.ID)
		require.True(t, ok)
		path, at := g.path, sl.off+sl.size-1
		if sl.large {
			path, at = s.largePath(e.ID), int64(size-1)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		require.NoError(t, err)
		_, err = f.WriteAt([]byte{data[size-1] ^ 1}, at)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		_, _, err = readAll(s, e.ID)
		require.ErrorIs(t, err, ErrCorrupt)
	}
}

func TestWriter_endsOnce(t *testing.T) {
	s := openSpool(t, t.TempDir(), Options{InlineLimit: 10})
	for _, size := range []int{5, 50} {
		w, err := s.Create()
		require.NoError(t, err)
		_, err = w.Write(randomBytes(size))
		require.NoError(t, err)
		e, err := w.Commit(sampleEntry())
		require.NoError(t, err)
		require.NoError(t, w.Abort())
		_, err = w.Commit(sampleEntry())
		require.ErrorIs(t, err, ErrClosed)
		_, err = w.Write([]byte{1})
		require.ErrorIs(t, err, ErrClosed)
		_, _, err = readAll(s, e.ID)
		require.NoError(t, err)

		w, err = s.Create()
		require.NoError(t, err)
		_, err = w.Write(randomBytes(size))
		require.NoError(t, err)
		require.NoError(t, w.Abort())
		require.NoError(t, w.Abort())
	}
	require.Len(t, entries(t, s, 0), 2)
	requireEmpty(t, s.tmpDir())
}

func requireEmpty(t testing.TB, dir string) {
	t.Helper()
	names, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, names)
}

func TestOpen_locked(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir, Options{})
	_, err := Open(dir, Options{})
	require.ErrorIs(t, err, ErrLocked)
	require.ErrorContains(t, err, fmt.Sprintf("process %d", os.Getpid()))
	require.NoError(t, s.Close())
	openSpool(t, dir, Options{})
}

func TestFull(t *testing.T) {
	s := openSpool(t, t.TempDir(), Options{Reserve: 1 << 62})
	require.ErrorIs(t, s.Full(), ErrFull)
	_, err := s.Create()
	require.ErrorIs(t, err, ErrFull)
	require.ErrorIs(t, err, syscall.ENOSPC)
}

// Intake ends at the reserve, work at an eighth of it, and what was done is said below that, too.
func TestFull_reserveIsForWork(t *testing.T) {
	s := openSpool(t, t.TempDir(), Options{Reserve: 800 << 20})
	for _, row := range []struct {
		free       int64
		takes, has bool
	}{{800, true, true}, {799, false, true}, {100, false, true}, {99, false, false}, {0, false, false}, {100, false, true}, {800, true, true}} {
		s.o.disk.free = func(string) (room, error) { return room{bytes: row.free << 20}, nil }
		for made, create := range map[bool]func() (*Writer, error){false: s.Create, true: s.CreateMade} {
			w, err := create()
			if !row.takes && !made || !row.has {
				require.ErrorIs(t, err, ErrFull, "%d MiB free, made: %t", row.free, made)
				continue
			}
			require.NoError(t, err, "%d MiB free, made: %t", row.free, made)
			require.NoError(t, w.Abort())
		}
		_, err := s.Append(Entry{Kind: Action, Record: json.RawMessage(`{}`), At: time.Now()}, nil)
		require.NoError(t, err)
	}
}

func TestWriter_reserveReachedWhileWriting(t *testing.T) {
	s := openSpool(t, t.TempDir(), Options{InlineLimit: 1000})
	w, err := s.Create()
	require.NoError(t, err)
	s.o.Reserve = 1 << 62
	b := randomBytes(1 << 20)
	for range spaceEvery/len(b) + 1 {
		if _, err = w.Write(b); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, ErrFull)
	_, err = w.Commit(sampleEntry())
	require.ErrorIs(t, err, ErrFull)
	requireEmpty(t, s.tmpDir())
	requireEmpty(t, s.largeDir())
}

func TestWriter_memoryIsBounded(t *testing.T) {
	s := openSpool(t, t.TempDir(), Options{})
	part := randomBytes(128 << 10)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w, err := s.Create()
	require.NoError(t, err)
	for range 512 { // 64 MiB
		_, err := w.Write(part)
		require.NoError(t, err)
	}
	_, err = w.Commit(sampleEntry())
	require.NoError(t, err)
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4<<20), "bytes allocated: the inline limit and little more")
}

func TestClose_refusesCommits(t *testing.T) {
	s := openSpool(t, t.TempDir(), Options{})
	w, err := s.Create()
	require.NoError(t, err)
	_, err = w.Write([]byte("late"))
	require.NoError(t, err)
	require.NoError(t, s.Close())
	_, err = w.Commit(sampleEntry())
	require.ErrorIs(t, err, ErrClosed)
	require.NoError(t, s.Close())
}

func TestWait(t *testing.T) {
	s := openSpool(t, t.TempDir(), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Wait(ctx, 0), context.Canceled)

	woken := make(chan error, 1)
	go func() { woken <- s.Wait(t.Context(), 0) }()
	mustPut(t, s, []byte("one"))
	require.NoError(t, <-woken)
	require.NoError(t, s.Wait(t.Context(), 0))

	go func() { woken <- s.Wait(t.Context(), 1) }()
	require.NoError(t, s.Close())
	require.ErrorIs(t, <-woken, ErrClosed)
}

func TestEntries_after(t *testing.T) {
	s := openSpool(t, t.TempDir(), Options{InlineLimit: 1000})
	s.o.SegmentSize = 4000
	var all []Entry
	for i := range 20 {
		all = append(all, mustPut(t, s, randomBytes(300*(i%5))))
	}
	require.Greater(t, len(s.segs), 3)
	for after := range all {
		require.Equal(t, all[after:], entries(t, s, uint64(after)))
	}
	require.Empty(t, entries(t, s, 20))
	require.EqualValues(t, 20, s.Last())
}

func TestRelease(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir, Options{InlineLimit: 1000})
	s.o.SegmentSize = 4000
	var all []Entry
	var bytes int64
	for i := range 20 {
		e := mustPut(t, s, randomBytes(300*(i%5)))
		all, bytes = append(all, e), bytes+e.Size
	}
	u := s.Usage()
	require.Equal(t, 20, u.Entries)
	require.Equal(t, bytes, u.Bytes)
	require.Positive(t, u.Free)
	last := all[19]
	for _, e := range all[:19] {
		require.NoError(t, s.Release(e.ID, e.ID, "nothing"))
		_, _, err := s.Open(e.ID)
		require.ErrorIs(t, err, ErrNotFound)
	}
	require.Equal(t, []Entry{last}, entries(t, s, 0))
	require.NoError(t, s.Release(last.ID))
	require.Zero(t, s.Usage().Entries)
	require.Zero(t, s.Usage().Bytes)
	requireEmpty(t, s.largeDir())
	names, err := os.ReadDir(s.logDir())
	require.NoError(t, err)
	require.Len(t, names, 1)

	require.NoError(t, s.Close())
	s = openSpool(t, dir, Options{})
	require.EqualValues(t, 21, mustPut(t, s, nil).Seq, "Seq goes on over a restart")
}

func TestOpen_after(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir, Options{After: at(41)})
	require.EqualValues(t, 42, mustPut(t, s, nil).Seq)
	require.NoError(t, s.Close())
	s = openSpool(t, dir, Options{After: at(100)})
	require.EqualValues(t, 101, mustPut(t, s, nil).Seq)
	require.NoError(t, s.Close())
	s = openSpool(t, dir, Options{After: at(1)})
	require.EqualValues(t, 102, mustPut(t, s, nil).Seq)
	require.Len(t, entries(t, s, 0), 3)
	require.Empty(t, s.Recovered().Damaged)
}

func TestOpen_removesUnfinished(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir, Options{})
	e := mustPut(t, s, randomBytes(3<<20))
	require.NoError(t, s.Close())
	for _, name := range []string{"tmp/half", "large/orphan"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600))
	}
	s = openSpool(t, dir, Options{})
	require.Equal(t, 2, s.Recovered().Removed)
	requireEmpty(t, s.tmpDir())
	names, err := os.ReadDir(s.largeDir())
	require.NoError(t, err)
	require.Len(t, names, 1)
	_, _, err = readAll(s, e.ID)
	require.NoError(t, err)
}

func TestConcurrent(t *testing.T) {
	s := openSpool(t, t.TempDir(), Options{InlineLimit: 5000})
	s.o.SegmentSize = 40_000
	const writers, each = 8, 60
	var committed, seen atomic.Int64
	var writing, following sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	for i := range writers {
		writing.Go(func() {
			for j := range each {
				data := randomBytes((i*each + j) * 13 % 6000)
				e, err := put(s, data)
				if err != nil || e.Digest != hexDigest(data) {
					t.Errorf("commit: %v", err)
					return
				}
				committed.Add(1)
				_, got, err := readAll(s, e.ID)
				if err != nil || !bytes.Equal(got, data) {
					t.Errorf("read back: %v", err)
				}
				if j%3 == 0 {
					if err := s.Release(e.ID); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	following.Go(func() {
		for after := uint64(0); s.Wait(ctx, after) == nil; {
			for e, err := range s.Entries(after) {
				if err != nil || e.Seq <= after {
					t.Errorf("entry %d after %d: %v", e.Seq, after, err)
				}
				after = e.Seq
				seen.Add(1)
			}
			after = max(after, s.Last())
		}
	})
	writing.Wait()
	stop()
	following.Wait()
	require.EqualValues(t, writers*each, committed.Load())
	require.Positive(t, seen.Load())
	require.EqualValues(t, writers*each, s.Last())
	require.Len(t, entries(t, s, 0), writers*each*2/3)
}

// How long tests wait for another goroutine, and how often they look.
const (
	waitFor = 2 * time.Minute
	tick    = time.Millisecond
)

func TestHas(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir, Options{InlineLimit: 10})
	small, large := mustPut(t, s, randomBytes(5)), mustPut(t, s, randomBytes(100))
	require.True(t, s.Has(small.ID))
	require.True(t, s.Has(large.ID))
	require.False(t, s.Has("nobody"))
	require.NoError(t, s.Close())

	s = openSpool(t, dir, Options{InlineLimit: 10})
	require.True(t, s.Has(large.ID))
	require.NoError(t, s.Release(large.ID))
	require.False(t, s.Has(large.ID))
	require.True(t, s.Has(small.ID))
}

// at is a caller's position.
func at(position uint64) func() (uint64, error) {
	return func() (uint64, error) { return position, nil }
}

// What is opened in After is opened by the process that has the folder, and by no other.
func TestOpen_afterTheLock(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(dir, Options{After: func() (uint64, error) { return 0, errors.New("damaged") }})
	require.ErrorContains(t, err, "damaged")
	openSpool(t, dir, Options{})
	_, err = Open(dir, Options{After: func() (uint64, error) { t.Error("another process has the folder"); return 0, nil }})
	require.ErrorIs(t, err, ErrLocked)
}

// TestClose_beside: a process that is being forked has a copy of every file of ours until it is another program.
func TestClose_beside(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	require.NoError(t, err)
	copied, err := syscall.Dup(int(s.lock.Fd()))
	require.NoError(t, err)
	require.NoError(t, s.Close())
	s, err = Open(dir, Options{})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, syscall.Close(copied))
}

// TestEntries_recent: what is yielded out of memory is what a restart reads from the disk, and of bounded size.
func TestEntries_recent(t *testing.T) {
	dir := t.TempDir()
	list := func(s *Spool) (all []Entry) {
		for e, err := range s.Entries(0) {
			require.NoError(t, err)
			all = append(all, e)
		}
		return all
	}
	s, err := Open(dir, Options{})
	require.NoError(t, err)
	long := strings.Repeat("x", 128<<10)
	for i := range len(s.recent) + 10 {
		e := Entry{Kind: Received, CallingAE: fmt.Sprint(i), At: time.Now().UTC(), Header: dicom.Header{PatientName: "Hébert^Zoë", NumberOfFrames: i}}
		switch i {
		case 100:
			e.CallingAE = "R\xf6ntgen" // no UTF-8
		case 101:
			e.Header.StudyDescription = long
		}
		w, err := s.Create()
		require.NoError(t, err)
		_, err = w.Commit(e)
		require.NoError(t, err)
	}
	e, known := s.recently(s.segs[0].slots[9])
	require.False(t, known, "the first are not in memory any more: %v", e)
	before := list(s)
	require.Equal(t, "1033", before[len(before)-1].CallingAE)
	require.False(t, slices.ContainsFunc(s.recent[:], func(e Entry) bool { return e.Header.StudyDescription == long }), "peers do not say how much is held")
	require.NoError(t, s.Close())
	s, err = Open(dir, Options{})
	require.NoError(t, err)
	require.Equal(t, before, list(s))
	require.NoError(t, s.Close())
}
