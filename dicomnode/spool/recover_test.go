package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// crash ends s as a killed process would: nothing is sealed, nothing is written.
func crash(t require.TestingT, s *Spool) {
	require.True(t, s.commits.Stop())
	s.ahead.making.Wait()
	if g := s.commits.active; g != nil {
		require.NoError(t, g.f.Close())
	}
	s.mu.Lock()
	s.closed = true
	close(s.changed)
	s.mu.Unlock()
	require.NoError(t, s.lock.Close())
}

// image is a folder's files as they are at one moment: what a killed process leaves behind.
type image map[string][]byte

func takeImage(t require.TestingT, dir string) image {
	files := image{}
	require.NoError(t, filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		files[name], err = os.ReadFile(path)
		return err
	}))
	return files
}

func (im image) write(t require.TestingT, dir string) {
	require.NoError(t, os.RemoveAll(dir))
	for name, b := range im {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, b, 0o600))
	}
}

// quickDir returns a folder where a sync costs nothing, for tests that open a spool a thousand
// times and do not lose power.
func quickDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "spool")
	if err != nil {
		return t.TempDir() // not on every system
	}
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

// requireWhole checks that what s shows is exactly want, byte for byte.
func requireWhole(t require.TestingT, s *Spool, want ...Entry) {
	var got []Entry
	for e, err := range s.Entries(0) {
		require.NoError(t, err)
		r, err := s.Read(e)
		require.NoError(t, err)
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		require.Equal(t, e.Digest, hexDigest(data))
		got = append(got, e)
	}
	require.Equal(t, want, got)
}

func TestRecover_tornTail(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	require.NoError(t, err)
	s.o.SegmentSize = 4096
	var all []Entry
	for n := range 3 {
		all = append(all, mustPut(t, s, randomBytes(40+n)))
	}
	last := s.segs[0].slots[2]
	crash(t, s)
	whole := takeImage(t, dir)
	name := filepath.Join("log", segmentName(1))

	torn := filepath.Join(quickDir(t), "torn")
	for _, tear := range []struct {
		name string
		do   func(b []byte, at int64) []byte
	}{
		{"truncated", func(b []byte, at int64) []byte { return b[:at] }},
		{"zeroed", func(b []byte, at int64) []byte { clear(b[at:]); return b }},
		{"garbled", func(b []byte, at int64) []byte { b[at] ^= 0x55; return b }},
		{"garbage after", func(b []byte, at int64) []byte { copy(b[at:], randomBytes(len(b)-int(at))); return b }},
	} {
		t.Run(tear.name, func(t *testing.T) {
			for at := last.off; at < last.off+last.size; at++ {
				im := image{name: tear.do(bytes.Clone(whole[name]), at)}
				im.write(t, torn)
				s, err := Open(torn, Options{})
				require.NoError(t, err)
				if tear.name == "zeroed" && bytes.Equal(im[name], whole[name]) {
					requireWhole(t, s, all...) // the record ends in a zero of its own
				} else {
					requireWhole(t, s, all[:2]...)
					require.EqualValues(t, 2, s.Last())
				}
				require.Empty(t, s.Recovered().Damaged)
				require.NoError(t, s.Close())
			}
		})
	}

	whole.write(t, torn)
	s = openSpool(t, torn, Options{})
	requireWhole(t, s, all...)
	require.Zero(t, s.Recovered().TornBytes)
}

func TestRecover_goesOnAfterTornTail(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	require.NoError(t, err)
	kept := mustPut(t, s, randomBytes(40))
	mustPut(t, s, randomBytes(50))
	g := s.segs[0]
	crash(t, s)
	require.NoError(t, os.Truncate(g.path, g.slots[1].off+20))

	s = openSpool(t, dir, Options{})
	require.Positive(t, s.Recovered().TornBytes)
	next := mustPut(t, s, randomBytes(60))
	require.EqualValues(t, 2, next.Seq)
	requireWhole(t, s, kept, next)
	require.NoError(t, s.Close())
	s = openSpool(t, dir, Options{})
	requireWhole(t, s, kept, next)
}

// sealedSegments returns a closed folder with two segments, of three entries and of one.
func sealedSegments(t *testing.T, data func(n int) []byte) (string, *segment, []Entry) {
	t.Helper()
	dir := t.TempDir()
	s, err := Open(dir, Options{InlineLimit: 1000})
	require.NoError(t, err)
	var all []Entry
	for n := range 3 {
		all = append(all, mustPut(t, s, data(n)))
	}
	first := s.segs[0]
	s.o.SegmentSize, first.size = 4096, first.end
	all = append(all, mustPut(t, s, data(3)))
	require.Len(t, s.segs, 2)
	require.NoError(t, s.Close())
	return dir, first, all
}

func overwrite(t *testing.T, path string, at int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteAt(b, at)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func TestRecover_damagedSegment(t *testing.T) {
	dir, g, all := sealedSegments(t, func(n int) []byte { return randomBytes(300 + n) })
	overwrite(t, g.path, g.slots[1].off+recordHeaderSize, []byte("damage"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "large", "whose"), nil, 0o600))

	s := openSpool(t, dir, Options{})
	requireWhole(t, s, all[0], all[2], all[3])
	require.Equal(t, []string{fmt.Sprintf("%s: %d bytes at %d", segmentName(1), g.slots[1].size, g.slots[1].off)}, s.Recovered().Damaged)
	require.NoError(t, s.Release(all[0].ID, all[2].ID, all[3].ID))
	_, err := os.Stat(g.path)
	require.NoError(t, err, "a damaged segment is kept for whoever can read it")
	_, err = os.Stat(filepath.Join(dir, "large", "whose"))
	require.NoError(t, err, "a large file may belong to the damaged record")
}

func TestRecover_damagedEndOfSegment(t *testing.T) {
	dir, g, all := sealedSegments(t, func(n int) []byte { return randomBytes(300 + n) })
	overwrite(t, g.path, g.slots[2].off, []byte("damage"))
	s := openSpool(t, dir, Options{})
	requireWhole(t, s, all[0], all[1], all[3])
	require.Len(t, s.Recovered().Damaged, 1)
}

func TestRecover_forgedRecord(t *testing.T) {
	meta := []byte(`{"id":"forged","calling_ae":"SOMEBODY"}`)
	forged := encodeRecordHead(recordHeader{seq: 2, metaLen: len(meta)}, 0, meta)
	dir, g, all := sealedSegments(t, func(int) []byte { return bytes.Repeat(forged, 3) })
	overwrite(t, g.path, g.slots[1].off, []byte("damage"))
	s := openSpool(t, dir, Options{})
	requireWhole(t, s, all[0], all[2], all[3])
}

// TestRecover_damagedSegmentHeader: nothing has what stood in it.
func TestRecover_damagedSegmentHeader(t *testing.T) {
	dir, g, all := sealedSegments(t, func(n int) []byte { return randomBytes(300 + n) })
	require.NoError(t, os.Remove(filepath.Join(dir, "index", segmentName(1))))
	overwrite(t, g.path, 9, []byte("damage"))
	whose := filepath.Join(dir, "large", "whose")
	require.NoError(t, os.WriteFile(whose, nil, 0o600))
	bytesOf := takeImage(t, dir)[filepath.Join("log", segmentName(1))]

	s := openSpool(t, dir, Options{})
	requireWhole(t, s, all[3])
	aside := filepath.Join("damaged", segmentName(1))
	require.Equal(t, []string{segmentName(1) + ": header: damaged: checksum differs; moved to " + aside}, s.Recovered().Damaged)
	next := mustPut(t, s, randomBytes(30))
	require.Equal(t, all[3].Seq+1, next.Seq)
	require.NoError(t, s.Close())

	s = openSpool(t, dir, Options{})
	requireWhole(t, s, all[3], next)
	require.Len(t, s.Recovered().Damaged, 1)
	require.Contains(t, s.Recovered().Damaged[0], aside+": set aside earlier")
	require.FileExists(t, whose, "a large file may belong to a record of it")
	require.NoError(t, s.Close())

	files := takeImage(t, dir)
	require.Equal(t, bytesOf, files[aside])
	delete(files, aside) // somebody has taken care of it
	files.write(t, dir)
	s = openSpool(t, dir, Options{})
	require.Empty(t, s.Recovered().Damaged)
	require.NoFileExists(t, whose)
}

// TestRecover_damagedLastHeader: the Seq goes on where the folder and the caller's position say.
func TestRecover_damagedLastHeader(t *testing.T) {
	dir, _, all := sealedSegments(t, func(n int) []byte { return randomBytes(300 + n) })
	last := filepath.Join(dir, "log", segmentName(4))
	require.NoError(t, os.Remove(filepath.Join(dir, "index", segmentName(4))))
	overwrite(t, last, 0, []byte("damage"))
	s := openSpool(t, dir, Options{After: at(4)})
	requireWhole(t, s, all[:3]...)
	next := mustPut(t, s, randomBytes(30))
	require.EqualValues(t, 5, next.Seq)
	require.NoError(t, s.Close())
	require.NoError(t, os.Remove(filepath.Join(dir, "index", segmentName(5))))
	overwrite(t, filepath.Join(dir, "log", segmentName(5)), 0, []byte("damage"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "damaged", segmentName(5)), nil, 0o600))
	s = openSpool(t, dir, Options{})
	requireWhole(t, s, all[:3]...)
	require.FileExists(t, filepath.Join(dir, "damaged", segmentName(5)+".1"), "none takes the place of another")
	require.EqualValues(t, 4, s.Last())
}

// TestRecover_damagedUnsealed: recovery writes the last segment anew, and keeps what it could not read.
func TestRecover_damagedUnsealed(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{InlineLimit: 1000})
	require.NoError(t, err)
	var all []Entry
	for _, n := range []int{300, 2000, 301} { // the second in a file of its own
		all = append(all, mustPut(t, s, randomBytes(n)))
	}
	g := s.segs[0]
	crash(t, s)
	overwrite(t, g.path, g.slots[1].off+recordHeaderSize, []byte("damage"))
	bytesOf := takeImage(t, dir)[filepath.Join("log", segmentName(1))]

	for n := range 2 { // also when the gateway dies again
		s, err = Open(dir, Options{InlineLimit: 1000})
		require.NoError(t, err)
		requireWhole(t, s, all[0], all[2])
		require.Len(t, s.Recovered().Damaged, 1)
		if n == 0 {
			require.Equal(t, fmt.Sprintf("may never have been acknowledged: damaged/%s: %d bytes at %d",
				segmentName(1), g.slots[1].size, g.slots[1].off), s.Recovered().Damaged[0])
		}
		require.FileExists(t, filepath.Join(dir, "large", all[1].ID))
		require.True(t, bytes.Equal(bytesOf, takeImage(t, dir)[filepath.Join("damaged", segmentName(1))]))
		crash(t, s)
	}
}

func TestRecover_newerFormat(t *testing.T) {
	dir, g, _ := sealedSegments(t, func(n int) []byte { return randomBytes(300 + n) })
	header := encodeSegmentHeader(g.first, g.first, g.salt)
	header[7] = formatVersion + 1
	binary.BigEndian.PutUint32(header[28:], crc32.Checksum(header[:28], castagnoli))
	overwrite(t, g.path, 0, header)
	_, err := Open(dir, Options{})
	require.ErrorContains(t, err, "format version 2, this release reads 1")
}

func TestRecover_largeFileGone(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir, Options{InlineLimit: 10})
	gone, kept := mustPut(t, s, randomBytes(100)), mustPut(t, s, randomBytes(5))
	require.NoError(t, s.Release(gone.ID))
	require.NoError(t, s.Close())
	s = openSpool(t, dir, Options{})
	whole, lost, errs := read(s)
	require.Equal(t, []Entry{kept}, whole)
	require.Equal(t, []Entry{gone}, lost, "whether it was released, whoever released it says again")
	require.ErrorIs(t, errs[0], ErrGone)
	require.NoError(t, s.Release(gone.ID))
	requireWhole(t, s, kept)
}

// TestRecover_largeFileRemoved removes the file of a large data set while nobody has the spool: it is named with all that is known of it as
// long as anybody may look for it, and is there again with the file. Of an action that is gone nothing is said: its record is read by nobody else.
func TestRecover_largeFileRemoved(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir, Options{InlineLimit: 10, SegmentSize: 4000})
	before, large := mustPut(t, s, randomBytes(5)), mustPut(t, s, randomBytes(100))
	w, err := s.Create()
	require.NoError(t, err)
	act, err := w.Commit(action())
	require.NoError(t, err)
	path, aside := s.largePath(large.ID), filepath.Join(t.TempDir(), "aside")
	s.BeginSegment()
	var small []string
	for range 20 {
		small = append(small, mustPut(t, s, randomBytes(5)).ID)
	}
	after := mustPut(t, s, randomBytes(5))
	require.NoError(t, s.Close())
	require.NoError(t, os.Rename(path, aside))
	require.NoError(t, os.Remove(s.largePath(act.ID)))
	for range 2 { // also by the index, and where its segment is copied
		s = openSpool(t, dir, Options{InlineLimit: 10})
		require.Empty(t, s.Recovered().Damaged, "nobody knows yet")
		require.NoError(t, s.Release(small...))
		require.False(t, s.Has(large.ID))
		require.False(t, s.Has(act.ID))
		whole, lost, errs := read(s)
		require.Equal(t, []Entry{before, after}, whole)
		require.Equal(t, []Entry{large}, lost)
		require.ErrorIs(t, errs[0], ErrGone)
		require.ErrorIs(t, errs[0], ErrCorrupt)
		_, _, err := s.Open(large.ID)
		require.ErrorIs(t, err, ErrCorrupt)
		_, err = s.Purge(t.Context())
		require.NoError(t, err)
		require.NoError(t, s.Close())
	}
	for _, look := range []func(){func() { requireWhole(t, s, before, large, after) }, func() {
		_, _, err := readAll(s, large.ID)
		require.NoError(t, err)
	}} { // while it is open
		s = openSpool(t, dir, Options{InlineLimit: 10})
		require.NoError(t, s.Release(small...))
		require.NoError(t, os.Rename(aside, path))
		look()
		require.True(t, s.Has(large.ID))
		require.NoError(t, s.Close())
		require.NoError(t, os.Rename(path, aside))
	}
}

// TestModel runs the spool beside a map.
func TestModel(t *testing.T) {
	base := quickDir(t)
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(base, "")
		require.NoError(t, err)
		m := &model{dir: dir, data: map[string][]byte{}}
		m.open(t)
		defer func() { require.NoError(t, m.s.Close()) }()
		t.Repeat(map[string]func(*rapid.T){
			"commit": m.commit, "abort": m.abort, "release": m.release, "reopen": m.reopen, "crash": m.crash, "compact": m.compact, "": m.check,
		})
	})
}

type model struct {
	dir  string
	s    *Spool
	live []Entry
	data map[string][]byte
	last uint64
}

func (m *model) open(t *rapid.T) {
	var err error
	m.s, err = Open(m.dir, Options{InlineLimit: 500})
	require.NoError(t, err)
	m.s.o.SegmentSize = 4000
	// As the caller does: what it does not know or need goes.
	var unneeded []string
	for e, err := range m.s.Entries(0) {
		_, ok := m.data[e.ID]
		require.True(t, err == nil || errors.Is(err, ErrGone) && !ok, "%s: %v", e.ID, err)
		if !ok {
			unneeded = append(unneeded, e.ID)
		}
	}
	require.NoError(t, m.s.Release(unneeded...))
}

func (m *model) write(t *rapid.T) (*Writer, []byte) {
	w, err := m.s.Create()
	require.NoError(t, err)
	var data []byte
	for _, part := range rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 300), 0, 4).Draw(t, "parts") {
		n, err := w.Write(part)
		require.NoError(t, err)
		require.Equal(t, len(part), n)
		data = append(data, part...)
	}
	return w, data
}

func (m *model) commit(t *rapid.T) {
	w, data := m.write(t)
	e, err := w.Commit(sampleEntry())
	require.NoError(t, err)
	require.Equal(t, m.last+1, e.Seq)
	m.last = e.Seq
	m.live = append(m.live, e)
	m.data[e.ID] = data
}

func (m *model) abort(t *rapid.T) {
	w, _ := m.write(t)
	require.NoError(t, w.Abort())
}

func (m *model) release(t *rapid.T) {
	if len(m.live) == 0 {
		t.Skip("nothing to release")
	}
	i := rapid.IntRange(0, len(m.live)-1).Draw(t, "i")
	id := m.live[i].ID
	require.NoError(t, m.s.Release(id))
	m.live = append(m.live[:i:i], m.live[i+1:]...)
	delete(m.data, id)
}

func (m *model) reopen(t *rapid.T) {
	require.NoError(t, m.s.Close())
	m.open(t)
}

func (m *model) crash(t *rapid.T) {
	crash(t, m.s)
	m.open(t)
}

func (m *model) compact(t *rapid.T) {
	m.s.o.Reserve = int64(rapid.IntRange(0, 1).Draw(t, "full")) << 60
	compact(t, m.s)
	m.s.o.Reserve = 0
}

func (m *model) check(t *rapid.T) {
	var got []Entry
	size := int64(0)
	for e, err := range m.s.Entries(0) {
		require.NoError(t, err)
		_, r, err := m.s.Open(e.ID)
		require.NoError(t, err)
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		require.True(t, bytes.Equal(m.data[e.ID], data))
		got = append(got, e)
		size += e.Size
	}
	require.Equal(t, len(m.live), len(got))
	for i := range got {
		require.Equal(t, m.live[i], got[i])
	}
	u := m.s.Usage()
	require.Equal(t, len(got), u.Entries)
	require.Equal(t, size, u.Bytes)
	names, err := os.ReadDir(m.s.logDir())
	require.NoError(t, err)
	require.LessOrEqual(t, len(names), len(got)+1, "segments without live entries go")
	names, err = os.ReadDir(m.s.tmpDir())
	require.NoError(t, err)
	require.Empty(t, names)
}
