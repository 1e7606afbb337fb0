package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// lockName is the file whose lock is that of the folder.
const lockName = "LOCK"

// lockFolder takes the folder for this process until the file is closed.
// The kernel lets go of it when the process ends, however it ends.
func lockFolder(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(f, 32))
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w (process %s): stop it or use another data folder",
				ErrLocked, strings.TrimSpace(string(holder)))
		}
		return nil, err
	}
	if err := f.Truncate(0); err != nil {
		_ = f.Close()
		return nil, err
	}
	if _, err := fmt.Fprintln(f, os.Getpid()); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// unlockFolder lets go of the folder, also while a child that is just being started has a copy of the file.
func unlockFolder(f *os.File) error {
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}

// Holder returns the ID of the process that has the spool in the folder dir, empty where none has it.
func Holder(dir string) (string, error) {
	f, err := os.Open(filepath.Join(dir, lockName))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		return "", err
	}
	holder, err := io.ReadAll(io.LimitReader(f, 32))
	return strings.TrimSpace(string(holder)), err
}

// disk is how things are made durable; a test puts a disk that loses power in its place.
type disk struct {
	sync       func(*os.File) error    // bytes, length and all else of a file
	syncData   func(*os.File) error    // bytes of a file
	syncFolder func(path string) error // the names in a folder
	free       func(path string) (room, error)
}
