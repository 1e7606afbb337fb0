package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
)

// platter keeps what a disk is sure to have when the power goes: the bytes that files had when
// they were last synced, under the names that folders had when they were last synced.
type platter struct {
	mu    sync.Mutex
	files map[uint64]*[]byte            // by inode
	names map[string]map[string]*[]byte // by folder and name
	cuts  int
}

func newPlatter() *platter {
	return &platter{files: map[uint64]*[]byte{}, names: map[string]map[string]*[]byte{}}
}

func (p *platter) disk() disk {
	return disk{sync: p.sync, syncData: p.sync, syncFolder: p.syncFolder}
}

func (p *platter) file(info os.FileInfo) *[]byte {
	ino := info.Sys().(*syscall.Stat_t).Ino
	if p.files[ino] == nil {
		p.files[ino] = new([]byte)
	}
	return p.files[ino]
}

func (p *platter) sync(f *os.File) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	*p.file(info) = b
	return err
}

func (p *platter) syncFolder(path string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	names, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	durable := map[string]*[]byte{}
	for _, n := range names {
		info, err := n.Info()
		if err != nil {
			return err
		}
		if !info.IsDir() {
			durable[n.Name()] = p.file(info)
		}
	}
	p.names[path] = durable
	return nil
}

// cut returns what is left of dir when the power goes now.
func (p *platter) cut(dir string) image {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cuts++
	left := image{}
	for _, folder := range []string{"log", "large", "tmp"} {
		for name, b := range p.names[filepath.Join(dir, folder)] {
			left[filepath.Join(folder, name)] = *b
		}
	}
	return left
}

// TestPowerCut cuts the power after each commit, and after each recovery: whatever was told to
// be there is there.
func TestPowerCut(t *testing.T) {
	memory := installed.Watched(t)
	base := quickDir(t)
	dir := filepath.Join(base, "spool")
	p := newPlatter()
	var all []Entry
	for round := range installed.Scaled(4, 16) {
		s, err := Open(dir, Options{InlineLimit: 1000, disk: p.disk()})
		require.NoError(t, err)
		s.o.SegmentSize = 4000
		s.MakeAhead()
		s.prepare()
		requireAfterCut(t, p, dir, all)
		failAt(s, "log:begin", errDisk) // the new segment is there, its first record is not
		_, err = put(s, nil)
		require.ErrorIs(t, err, errDisk)
		requireAfterCut(t, p, dir, all)
		for n := range 12 {
			all = append(all, mustPut(t, s, randomBytes((round+n)%4*500)))
			requireAfterCut(t, p, dir, all)
		}
		if round%2 == 0 {
			crash(t, s)
		} else {
			require.NoError(t, s.Close())
		}
		requireAfterCut(t, p, dir, all)
	}
	installed.Tried(t, installed.Drill{Tried: fmt.Sprintf("the power cut after each commit, recovery and close of the spool, %d times: what was not synced is gone", p.cuts), Kept: len(all), Memory: memory.Memory()})
}

func requireAfterCut(t *testing.T, p *platter, dir string, want []Entry) {
	t.Helper()
	cut := filepath.Join(filepath.Dir(dir), "cut")
	p.cut(dir).write(t, cut)
	s, err := Open(cut, Options{InlineLimit: 1000})
	require.NoError(t, err)
	requireWhole(t, s, want...)
	require.NoError(t, s.Close())
}

// TestPowerCut_recordInThePageCacheOnly is a process that died between writing a record and
// syncing it. The next one shows the record, so from then on it must be on the disk.
func TestPowerCut_recordInThePageCacheOnly(t *testing.T) {
	dir := filepath.Join(quickDir(t), "spool")
	p := newPlatter()
	s, err := Open(dir, Options{disk: p.disk()})
	require.NoError(t, err)
	s.o.SegmentSize = 4000
	first := mustPut(t, s, randomBytes(100))
	s.o.disk.syncData = func(*os.File) error { return nil } // dies before the sync does anything
	second := mustPut(t, s, randomBytes(200))
	crash(t, s)
	requireAfterCut(t, p, dir, []Entry{first})

	s, err = Open(dir, Options{disk: p.disk()})
	require.NoError(t, err)
	requireWhole(t, s, first, second)
	requireAfterCut(t, p, dir, []Entry{first, second})
	require.NoError(t, s.Close())
}
