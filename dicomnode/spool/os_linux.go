package spool

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// maxVectors is how many buffers one pwritev takes (IOV_MAX).
const maxVectors = 1024

// preallocate gives f size bytes on disk, so that a later fdatasync has no length to write.
func preallocate(f *os.File, size int64) error {
	err := retry(func() error { return unix.Fallocate(int(f.Fd()), 0, 0, size) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return f.Truncate(size)
	}
	return err
}

// syncData makes the bytes of f durable.
func syncData(f *os.File) error {
	return retry(func() error { return unix.Fdatasync(int(f.Fd())) })
}

// startWriteback asks the kernel to begin writing n bytes at off, so that the sync at the end finds less to do.
func startWriteback(f *os.File, off, n int64) {
	// A hint: whatever it reports, the sync at the end decides.
	_ = unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE)
}

// writeVector writes bufs at off, one after the other.
func writeVector(f *os.File, bufs [][]byte, off int64) error {
	for len(bufs) > 0 {
		var n int
		err := retry(func() (err error) {
			n, err = unix.Pwritev(int(f.Fd()), bufs[:min(len(bufs), maxVectors)], off)
			return err
		})
		if err != nil {
			return &os.PathError{Op: "pwritev", Path: f.Name(), Err: err}
		}
		if n == 0 {
			return &os.PathError{Op: "pwritev", Path: f.Name(), Err: io.ErrShortWrite}
		}
		off += int64(n)
		for len(bufs) > 0 && n >= len(bufs[0]) {
			n -= len(bufs[0])
			bufs = bufs[1:]
		}
		if n > 0 {
			bufs[0] = bufs[0][n:]
		}
	}
	return nil
}

// writeback returns when n bytes at off were written, not yet with what a sync adds to be sure of it.
func writeback(f *os.File, off, n int64) {
	// A hint, as above.
	_ = unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
}

func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// freeSpace returns what the file system of path has left for us.
func freeSpace(path string) (room, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return room{}, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	inodes := int64(st.Ffree)
	return room{bytes: int64(st.Bavail) * int64(st.Bsize), inodes: inodes, few: st.Files > 0 && inodes < minInodes}, nil
}
