package onnx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"endogate/explain"
)

// ErrNoRoom says that weights could not be written anywhere for the library to map them.
var ErrNoRoom = errors.New("no room for a model's weights")

// places are where weights are written: in memory where there is room for them, else among temporary files.
func places() []string { return []string{"/dev/shm", os.TempDir()} }

// weightsFolder writes weights into a folder at the first place that has room, which only this user can read. The
// library maps the file while it loads; then the folder is removed, and the memory stays until the session ends.
func weightsFolder(weights []explain.Weight, places []string) (folder string, remove func(), err error) {
	var errs []error
	for _, place := range places {
		folder, err := os.MkdirTemp(place, "endogate-weights-")
		if err == nil {
			err = writeWeights(filepath.Join(folder, explain.WeightsFile), weights)
		}
		remove := func() { _ = os.RemoveAll(folder) }
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

func writeWeights(path string, weights []explain.Weight) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(explain.WriteWeights(f, weights), f.Close())
}
