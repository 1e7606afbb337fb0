package spool

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
)

// TestProbe finds each fault of the file system that a commit would meet, and leaves nothing behind.
func TestProbe(t *testing.T) {
	for _, row := range []struct {
		name  string
		spoil func(s *Spool)
		want  error
	}{
		{"sound", func(*Spool) {}, nil},
		{"sync fails", func(s *Spool) { s.o.disk.sync = func(*os.File) error { return syscall.EIO } }, syscall.EIO},
		{"full when synced", func(s *Spool) { s.o.disk.sync = func(*os.File) error { return syscall.EDQUOT } }, ErrFull},
		{"folder's sync fails", func(s *Spool) { s.o.disk.syncFolder = func(string) error { return syscall.EROFS } }, syscall.EROFS},
		{"folder for what is made gone", func(s *Spool) { _ = os.RemoveAll(s.tmpDir()) }, nil},
		{"folder gone", func(s *Spool) { _ = os.RemoveAll(s.dir) }, syscall.ENOENT},
		{"name taken by a folder", func(s *Spool) { _ = os.MkdirAll(filepath.Join(s.tmpDir(), "probe", "x"), 0o700) }, syscall.EISDIR},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := openSpool(t, t.TempDir(), Options{})
			row.spoil(s)
			err := s.Probe()
			if row.want == nil {
				require.NoError(t, err)
				requireEmpty(t, s.tmpDir())
				return
			}
			require.ErrorIs(t, err, row.want)
			require.ErrorContains(t, err, "nothing can be written")
		})
	}
}

// TestMoved: where another folder has come in place of the spool's, nothing is taken in or given back, until it is there again.
func TestMoved(t *testing.T) {
	base := t.TempDir()
	dir, aside := filepath.Join(base, "spool"), filepath.Join(base, "aside")
	s := openSpool(t, dir, Options{})
	first, err := put(s, []byte("before"))
	require.NoError(t, err)
	rename := func(from, to string) { require.NoError(t, os.Rename(from, to)) }

	rename(dir, aside)
	require.ErrorIs(t, s.Full(), os.ErrNotExist, "none is there")
	require.NoError(t, os.MkdirAll(dir, 0o700))
	require.ErrorIs(t, s.Full(), ErrMoved, "an empty one is, as under a late mount")
	other := openSpool(t, dir, Options{})
	require.NoError(t, other.Full())
	for _, err := range []error{s.Full(), s.Exhausted()} {
		require.ErrorIs(t, err, ErrMoved, "another one is")
		require.NotErrorIs(t, err, ErrFull, "so that nothing is released to make room")
	}
	_, err = s.Create()
	require.ErrorIs(t, err, ErrMoved)
	_, err = s.CreateMade()
	require.ErrorIs(t, err, ErrMoved)
	_, err = s.Compact(t.Context())
	require.ErrorIs(t, err, ErrMoved)

	require.NoError(t, other.Close())
	require.NoError(t, os.RemoveAll(dir))
	rename(aside, dir)
	require.NoError(t, s.Full())
	second, err := put(s, []byte("behind"))
	require.NoError(t, err)
	require.NotEqual(t, first.ID, second.ID)
}

// TestMoved_segment: what is written into a file that was removed, or put elsewhere, while the log is written is not acknowledged, and what
// comes next goes into a new one.
func TestMoved_segment(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"removed": os.Remove,
		"aside":   func(path string) error { return os.Rename(path, path+".aside") },
		"replaced": func(path string) error {
			return errors.Join(os.WriteFile(path+".new", []byte("another"), 0o600), os.Rename(path+".new", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := openSpool(t, t.TempDir(), Options{})
			mustPut(t, s, []byte("before"))
			require.NoError(t, spoil(s.segs[0].path))
			_, err := put(s, []byte("lost"))
			require.Error(t, err)
			e := mustPut(t, s, []byte("behind"))
			require.NoError(t, s.Close())
			s = openSpool(t, s.dir, Options{})
			_, _, ok := s.find(e.ID)
			require.True(t, ok)
		})
	}
}

// TestReadSlot_diskError: that the disk does not give the bytes of an entry says nothing of them.
func TestReadSlot_diskError(t *testing.T) {
	s := openSpool(t, t.TempDir(), Options{})
	e := mustPut(t, s, []byte("data"))
	_, sl, ok := s.find(e.ID)
	require.True(t, ok)
	for _, at := range []int64{0, sl.off, sl.off + recordHeaderSize} {
		_, _, err := readSlot(failingFrom{s, at}, sl)
		require.ErrorIs(t, err, syscall.EIO)
		require.NotErrorIs(t, err, ErrCorrupt)
	}
}

// failingFrom is the first segment of a spool, of which the disk gives what is before a place.
type failingFrom struct {
	s  *Spool
	at int64
}

func (f failingFrom) ReadAt(b []byte, off int64) (int, error) {
	if off >= f.at {
		return 0, syscall.EIO
	}
	file, err := os.Open(f.s.segs[0].path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	return file.ReadAt(b, off)
}

// TestProbe_mounts probes real file systems: one that turns read-only, and one that has bytes and no inodes.
func TestProbe_mounts(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64m,nr_inodes=64"); err != nil {
		t.Log("nobody may mount here, so that TestProbe's faults have to do: ", err)
		return
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	s := openSpool(t, filepath.Join(dir, "spool"), Options{})
	require.NoError(t, s.Probe())
	memory := installed.Watched(t)

	var full []string
	for i := 0; ; i++ {
		name := filepath.Join(dir, string(rune('a'+i%26))+string(rune('a'+i/26)))
		f, err := os.Create(name)
		if errors.Is(err, syscall.ENOSPC) {
			break
		}
		require.NoError(t, err)
		require.NoError(t, f.Close())
		full = append(full, name)
	}
	require.ErrorIs(t, s.Probe(), ErrFull)
	for _, name := range full {
		require.NoError(t, os.Remove(name))
	}
	require.NoError(t, s.Probe())

	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err == nil {
		require.ErrorIs(t, s.Probe(), syscall.EROFS)
		require.NoError(t, syscall.Mount("", dir, "", syscall.MS_REMOUNT, ""))
		require.NoError(t, s.Probe())
	}
	installed.Tried(t, installed.Drill{Tried: "a file system without inodes, and one turned read-only: said, and over as soon as that is", Memory: memory.Memory()})
}
