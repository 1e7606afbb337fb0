package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"endogate/cmd/endogate/installed"
)

// mixed commits notes, small and large data sets, and an action in a file of its own.
func mixed(t testing.TB, s *Spool, n int) (all []Entry) {
	t.Helper()
	for i := range n {
		var e Entry
		var err error
		switch i % 4 {
		case 0, 1:
			e, err = s.Append(action(), randomBytes(i%50))
		case 2:
			e = mustPut(t, s, randomBytes(i%5*400))
		case 3:
			var w *Writer
			w, err = s.CreateMade()
			require.NoError(t, err)
			e, err = w.Commit(action())
		}
		require.NoError(t, err)
		all = append(all, e)
	}
	return all
}

// indexed returns a closed folder with several segments, and what is in it.
func indexed(t testing.TB) (string, []Entry) {
	t.Helper()
	dir := t.TempDir()
	s, err := Open(dir, Options{InlineLimit: 1000})
	require.NoError(t, err)
	s.o.SegmentSize = 4000
	all := mixed(t, s, 60)
	require.Greater(t, len(s.segs), 4)
	require.NoError(t, s.Close())
	return dir, all
}

// TestIndex_lazy: a start does not look at what was noted long ago, and finds it when somebody asks.
func TestIndex_lazy(t *testing.T) {
	dir, all := indexed(t)
	s := openSpool(t, dir, Options{InlineLimit: 1000})
	usage := s.Usage()
	require.Equal(t, []int{15, 45}, []int{usage.Entries, usage.Actions})
	require.Equal(t, len(all), s.Recovered().Entries)
	require.EqualValues(t, len(all), s.Last())
	for _, g := range s.segs {
		require.True(t, g.indexed)
		require.Nil(t, g.notes, "not in memory")
	}
	held := slices.Collect(held(t, s))
	require.Equal(t, slices.DeleteFunc(slices.Clone(all), func(e Entry) bool { return e.Seq%4 == 1 || e.Seq%4 == 2 }), held)
	for _, g := range s.segs {
		require.Nil(t, g.notes, "nor for those that are looked for by ID")
	}
	requireWhole(t, s, all...)
	loaded := 0
	for _, g := range s.segs {
		if g.notes != nil {
			loaded++
		}
	}
	require.Equal(t, maxLoaded, loaded)
	for after := range all {
		require.Equal(t, all[after:], entries(t, s, uint64(after)))
	}
}

// TestIndex_notTrusted damages indexes in every way: what the segments have counts, and the index is made again.
func TestIndex_notTrusted(t *testing.T) {
	memory := installed.Watched(t)
	dir, all := indexed(t)
	whole := takeImage(t, dir)
	first, second := filepath.Join("index", segmentName(1)), ""
	for name := range whole {
		if filepath.Dir(name) == "index" && name > first && (second == "" || name < second) {
			second = name
		}
	}
	header := func(b []byte, change func(b []byte)) []byte { // with a checksum that is right
		b = bytes.Clone(b)
		change(b)
		binary.BigEndian.PutUint32(b[88:], crc32.Checksum(b[:88], castagnoli))
		return b
	}
	damages := map[string]func(b []byte) []byte{
		"gone":            nil,
		"empty":           func([]byte) []byte { return []byte{} },
		"zeroed":          func(b []byte) []byte { return make([]byte, len(b)) },
		"of another":      func([]byte) []byte { return whole[second] },
		"too many":        func(b []byte) []byte { return header(b, func(b []byte) { binary.BigEndian.PutUint32(b[72:], 1<<31) }) },
		"newer format":    func(b []byte) []byte { return header(b, func(b []byte) { b[7]++ }) },
		"other salt":      func(b []byte) []byte { return header(b, func(b []byte) { b[24]++ }) },
		"other length":    func(b []byte) []byte { return header(b, func(b []byte) { b[39]++ }) },
		"other time":      func(b []byte) []byte { return header(b, func(b []byte) { b[47]++ }) },
		"beyond the next": func(b []byte) []byte { return header(b, func(b []byte) { b[48] = 1 }) },
		"bytes behind":    func(b []byte) []byte { return append(bytes.Clone(b), "more"...) },
		"notes of another": func(b []byte) []byte {
			return append(bytes.Clone(b[:len(b)-indexPlaceSize]), whole[second][len(whole[second])-indexPlaceSize:]...)
		},
	}
	for at := 0; at < len(whole[first]); at += installed.Scaled(7, 1) {
		damages[fmt.Sprint("byte ", at)] = func(b []byte) []byte { b = bytes.Clone(b); b[at] ^= 0x10; return b }
		damages[fmt.Sprint("ends at ", at)] = func(b []byte) []byte { return b[:at] }
	}
	for name, damage := range damages {
		path := filepath.Join(dir, first)
		require.NoError(t, os.Remove(path))
		if damage != nil {
			require.NoError(t, os.WriteFile(path, damage(whole[first]), 0o600))
		}
		s, err := Open(dir, Options{InlineLimit: 1000})
		require.NoError(t, err, name)
		requireWhole(t, s, all...)
		require.Empty(t, s.Recovered().Damaged, name)
		require.Equal(t, 45, s.Usage().Actions, name)
		require.NoError(t, s.Close())
		require.NoError(t, os.WriteFile(path, whole[first], 0o600))
	}
	installed.Tried(t, installed.Drill{
		Tried: fmt.Sprintf("an index file of the spool damaged in %d ways (a bit, cut short, gone, zeroed, of another segment): it is not trusted over the segment, and all is there", len(damages)),
		Kept:  len(all), Memory: memory.Memory(),
	})
}

// TestIndex_segmentChanged: damage to a segment is found at the start although its index is whole.
func TestIndex_segmentChanged(t *testing.T) {
	dir, all := indexed(t)
	overwrite(t, filepath.Join(dir, "log", segmentName(1)), segmentHeaderSize+recordHeaderSize, []byte("damage"))
	s := openSpool(t, dir, Options{InlineLimit: 1000})
	require.Len(t, s.Recovered().Damaged, 1)
	requireWhole(t, s, all[1:]...)
}

// TestIndex_notesOfDamagedIndex: what Open has taken for good is found in the segment when the rest of the index goes bad.
func TestIndex_notesOfDamagedIndex(t *testing.T) {
	dir, all := indexed(t)
	s := openSpool(t, dir, Options{InlineLimit: 1000})
	names, err := filepath.Glob(filepath.Join(dir, "index", "*"))
	require.NoError(t, err)
	for i, name := range names {
		info, err := os.Stat(name)
		require.NoError(t, err)
		if i%2 == 0 {
			require.NoError(t, os.Remove(name))
		} else {
			require.NoError(t, os.Truncate(name, info.Size()-1))
		}
	}
	requireWhole(t, s, all...)
}

// TestIndex_strangers: an index without a segment goes.
func TestIndex_strangers(t *testing.T) {
	dir, all := indexed(t)
	for _, name := range []string{segmentName(1 << 40), "what"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "index", name), nil, 0o600))
	}
	s := openSpool(t, dir, Options{InlineLimit: 1000})
	requireWhole(t, s, all...)
	names, err := os.ReadDir(s.indexDir())
	require.NoError(t, err)
	require.Len(t, names, len(s.segs))
	require.NoError(t, s.ReleaseNotes(s.Last()))
	for _, e := range all {
		require.NoError(t, s.Release(e.ID))
	}
	names, err = os.ReadDir(s.indexDir())
	require.NoError(t, err)
	require.Len(t, names, 1, "it goes with its segment")
}

// TestCompact_notesStay: segments that have nothing but notes are not looked at by a start, and are not copied again.
func TestCompact_notesStay(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir, Options{InlineLimit: 1000})
	s.o.SegmentSize = 4000
	var notes []Entry
	for range 40 {
		for range 3 {
			e, err := s.Append(action(), randomBytes(200))
			require.NoError(t, err)
			notes = append(notes, e)
		}
		require.NoError(t, s.Release(mustPut(t, s, nil).ID)) // small, so that most of a segment is needed
	}
	for range 3 {
		compact(t, s)
	}
	for _, g := range s.segs[:len(s.segs)-1] {
		require.Empty(t, g.slots)
	}
	requireWhole(t, s, notes...)
	before := takeImage(t, dir)
	require.Zero(t, compact(t, s))
	require.Equal(t, before, takeImage(t, dir))
	require.NoError(t, s.Close())
	s = openSpool(t, dir, Options{InlineLimit: 1000})
	for e := range held(t, s) { // of the last segment
		require.NoError(t, s.Release(e.ID))
	}
	requireWhole(t, s, notes...)
}

// TestIndex_model: what a spool with indexes shows is what one without has, whatever was done before.
func TestIndex_model(t *testing.T) {
	base := quickDir(t)
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(base, "")
		require.NoError(t, err)
		var s *Spool
		open := func() {
			s, err = Open(dir, Options{InlineLimit: 500})
			require.NoError(t, err)
			s.o.SegmentSize = 4000
		}
		open()
		defer func() { require.NoError(t, s.Close()) }()
		var all []Entry
		released := func(is func(Entry) bool) {
			if all = slices.DeleteFunc(all, is); len(all) == 0 {
				all = nil
			}
		}
		note := func(e Entry) bool { return e.Kind == Action }
		again := func() { // what was released is there again, as long as it was not compacted
			open()
			through := uint64(0)
			for e, err := range s.Entries(0) {
				there := slices.ContainsFunc(all, func(a Entry) bool { return a.ID == e.ID })
				require.True(t, err == nil || errors.Is(err, ErrGone) && !there, "%v", err)
				if !there {
					if note(e) {
						through = e.Seq
					}
					require.NoError(t, s.Release(e.ID))
				}
			}
			require.NoError(t, s.ReleaseNotes(through))
		}
		t.Repeat(map[string]func(*rapid.T){
			"note": func(t *rapid.T) {
				e, err := s.Append(action(), randomBytes(rapid.IntRange(0, 400).Draw(t, "size")))
				require.NoError(t, err)
				all = append(all, e)
			},
			"data set": func(t *rapid.T) {
				e, err := put(s, randomBytes(rapid.IntRange(0, 700).Draw(t, "size")))
				require.NoError(t, err)
				all = append(all, e)
			},
			"release": func(t *rapid.T) {
				if len(all) == 0 {
					t.Skip("nothing to release")
				}
				e := rapid.SampledFrom(all).Draw(t, "entry")
				require.NoError(t, s.Release(e.ID))
				released(func(o Entry) bool { return o.ID == e.ID && !note(e) })
			},
			"release notes": func(t *rapid.T) {
				through := rapid.Uint64Range(0, s.Last()).Draw(t, "through")
				require.NoError(t, s.ReleaseNotes(through))
				released(func(e Entry) bool { return note(e) && e.Seq <= through })
			},
			"compact": func(t *rapid.T) {
				s.o.Reserve = int64(rapid.IntRange(0, 1).Draw(t, "full")) << 60
				_, err := s.Compact(t.Context())
				require.NoError(t, err)
				s.o.Reserve = 0
			},
			"purge": func(t *rapid.T) {
				_, err := s.Purge(t.Context())
				require.NoError(t, err)
			},
			"reopen": func(*rapid.T) { require.NoError(t, s.Close()); again() },
			"crash":  func(*rapid.T) { crash(t, s); again() },
			"without indexes": func(*rapid.T) {
				require.NoError(t, s.Close())
				require.NoError(t, os.RemoveAll(filepath.Join(dir, "index")))
				again()
			},
			"": func(t *rapid.T) {
				requireWhole(t, s, all...)
				data, bytes, notes := 0, int64(0), 0
				for _, e := range all {
					if note(e) {
						notes++
					} else {
						data, bytes = data+1, bytes+e.Size
					}
				}
				u := s.Usage()
				require.Equal(t, []int{data, notes, int(bytes)}, []int{u.Entries, u.Actions, int(u.Bytes)})
				for _, g := range s.segs {
					require.LessOrEqual(t, g.needed, g.used-segmentHeaderSize)
				}
			},
		})
	})
}

// BenchmarkOpen opens a folder with a past of many notes.
func BenchmarkOpen(b *testing.B) {
	for _, notes := range []int{0, 10_000, 100_000} {
		b.Run(fmt.Sprintf("notes=%d", notes), func(b *testing.B) {
			dir := benchDir(b)
			s, err := Open(dir, Options{})
			require.NoError(b, err)
			s.o.disk.syncData = func(*os.File) error { return nil }
			for range notes {
				_, err := s.Append(action(), randomBytes(1500))
				require.NoError(b, err)
			}
			require.NoError(b, s.Close())
			for b.Loop() {
				s, err := Open(dir, Options{})
				require.NoError(b, err)
				require.NoError(b, s.Close())
			}
		})
	}
}
