//go:build unix && !linux

package spool

import (
	"os"

	"golang.org/x/sys/unix"
)

func preallocate(f *os.File, size int64) error { return f.Truncate(size) }

func syncData(f *os.File) error { return f.Sync() }

func startWriteback(*os.File, int64, int64) {}

func writeVector(f *os.File, bufs [][]byte, off int64) error {
	for _, b := range bufs {
		n, err := f.WriteAt(b, off)
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

func freeSpace(path string) (room, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return room{}, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	inodes := int64(st.Ffree)
	return room{bytes: int64(st.Bavail) * int64(st.Bsize), inodes: inodes, few: st.Files > 0 && inodes < minInodes}, nil
}
