//go:build bench

package bench_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// plainName is what no receiver that answers after a sync can be faster than: the same bytes, without a network, a
// protocol or a look at them.
const plainName = "a plain program that writes and syncs the same groups"

// plainOverName is the same where the blocks were written before, as the spool's are where that pays: their syncs have nothing but the bytes to
// write. It takes no time for that, and the spool does.
const plainOverName = "the same over what was written before"

const (
	plainSegment = 64 << 20 // as the spool's
	plainInline  = 1 << 20
)

// plain writes count objects of size bytes, group of them between two syncs: small ones to preallocated files of many,
// large ones to a file each, as the spool does. With over the files of small ones are there, and were written.
func plain(t *testing.T, dir string, size, count, group int, over bool) sent {
	t.Helper()
	dir, err := os.MkdirTemp(dir, "plain-")
	if err != nil {
		t.Fatal(err)
	}
	one := make([]byte, size)
	for i := range one {
		one[i] = byte(i * 7919 >> 5)
	}
	write := writeFiles
	if size <= plainInline {
		left, err := segments(dir, size, count, over)
		if err != nil {
			t.Fatal(err)
		}
		write = func(_ string, one []byte, count, group int) ([]time.Duration, error) {
			return writeGroups(left, one, count, group)
		}
	}
	begin := time.Now()
	took, err := write(dir, one, count, group)
	if err != nil {
		t.Fatal(err)
	}
	s := sent{wall: time.Since(begin), took: took, bytes: size * count}
	slices.Sort(s.took)
	return s
}

// segments makes as many files as are needed; those that are not to be written before are made where they are needed, as the spool does.
func segments(dir string, size, count int, over bool) (next func() (*os.File, error), err error) {
	n := 0
	one := func() (*os.File, error) {
		n++
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(n)))
		if err != nil {
			return nil, err
		}
		return f, unix.Fallocate(int(f.Fd()), 0, 0, plainSegment)
	}
	if !over {
		return one, nil
	}
	var all []*os.File
	for range size*count/(plainSegment-plainInline) + 2 {
		f, err := one()
		if err != nil {
			return nil, err
		}
		if _, err := f.WriteAt(make([]byte, plainSegment), 0); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return func() (*os.File, error) {
		f := all[0]
		all = all[1:]
		return f, nil
	}, nil
}

func writeGroups(segment func() (*os.File, error), one []byte, count, group int) (took []time.Duration, err error) {
	var f *os.File
	var end int64
	for n := 0; n < count; n += group {
		begin := time.Now()
		bufs := make([][]byte, min(group, count-n))
		for i := range bufs {
			bufs[i] = one
		}
		if f == nil || end+int64(len(bufs)*len(one)) > plainSegment {
			if f != nil {
				f.Close()
			}
			if f, err = segment(); err != nil {
				return nil, err
			}
			end = 0
		}
		written, err := unix.Pwritev(int(f.Fd()), bufs, end)
		if err != nil || written != len(bufs)*len(one) {
			return nil, fmt.Errorf("wrote %d bytes of a group: %w", written, err)
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return nil, err
		}
		end += int64(written)
		for range bufs {
			took = append(took, time.Since(begin))
		}
	}
	return took, f.Close()
}

func writeFiles(dir string, one []byte, count, group int) ([]time.Duration, error) {
	took := make([]time.Duration, count)
	errs := make([]error, count)
	for n := 0; n < count; n += group {
		var wg sync.WaitGroup
		for i := n; i < min(n+group, count); i++ {
			wg.Go(func() {
				begin := time.Now()
				errs[i] = writeFile(filepath.Join(dir, fmt.Sprint(i)), one)
				took[i] = time.Since(begin)
			})
		}
		wg.Wait()
	}
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return took, nil
}

func writeFile(path string, b []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		return err
	}
	return f.Sync()
}
