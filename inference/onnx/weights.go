package onnx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"endogate/explain"

	"golang.org/x/sys/unix"
)

// ErrNoRoom says that weights could not be written anywhere for the library to map them.
var ErrNoRoom = errors.New("no room for a model's weights")

// places are where weights are written: in memory where there is room for them, else among temporary files.
func places() []string { return []string{"/dev/shm", os.TempDir()} }

const (
	weightsPrefix = "endogate-weights-"
	leftAfter     = time.Minute // between the making of a folder and its lock nothing takes as long
)

// weightsFolder writes weights into a folder at the first place that has room, which only this user can read. The
// library maps the file while it loads; then the folder is removed, and the memory stays until the session ends. What processes
// that were killed meanwhile have left there goes first: it would hold the memory until the machine is started anew.
func weightsFolder(weights []explain.Weight, places []string) (folder string, remove func(), err error) {
	var errs []error
	for _, place := range places {
		sweep(place, time.Now())
		var lock *os.File
		folder, err := os.MkdirTemp(place, weightsPrefix)
		if err == nil {
			lock, err = locked(folder)
		}
		if err == nil {
			err = writeWeights(filepath.Join(folder, explain.WeightsFile), weights)
		}
		remove := func() {
			_ = os.RemoveAll(folder)
			_ = lock.Close() // nil where it could not be had, which Close takes
		}
		if err == nil {
			return folder, remove, nil
		}
		if folder != "" {
			remove()
		}
		errs = append(errs, err)
	}
	return "", func() {}, fmt.Errorf("%w: make room in one of: %w", ErrNoRoom, errors.Join(errs...))
}

// locked opens a folder and holds it as long as the process lives or until it is closed. Somebody else's hold is an error.
func locked(folder string) (*os.File, error) {
	f, err := os.OpenFile(folder, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// sweep removes folders of weights at a place that no process holds. What belongs to another user stays, as it cannot be opened.
func sweep(place string, now time.Time) {
	folders, _ := filepath.Glob(filepath.Join(place, weightsPrefix+"*")) // a place has no pattern in its name
	for _, folder := range folders {
		info, err := os.Lstat(folder)
		if err != nil || now.Sub(info.ModTime()) < leftAfter {
			continue
		}
		if lock, err := locked(folder); err == nil {
			_ = os.RemoveAll(folder)
			_ = lock.Close()
		}
	}
}

func writeWeights(path string, weights []explain.Weight) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(explain.WriteWeights(f, weights), f.Close())
}
