package strict

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// maxFiles bounds the files of a folder.
const maxFiles = 64

// Folder reads YAML files that come with the program, and over them those of dir: a file of dir stands in the place of ours of the
// same name, or beside them. An empty dir is none.
func Folder(ours fs.FS, dir string) (map[string][]byte, error) {
	files, err := filesOf(ours)
	if err != nil || dir == "" {
		return files, err
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	theirs, err := filesOf(os.DirFS(dir))
	if err != nil {
		return nil, fmt.Errorf("in %s: %w", dir, err)
	}
	maps.Copy(files, theirs)
	return files, nil
}

func filesOf(dir fs.FS) (map[string][]byte, error) {
	names, err := fs.Glob(dir, "*.yaml")
	if err != nil {
		return nil, err
	}
	if len(names) > maxFiles {
		return nil, fmt.Errorf("%d files; at most %d are read", len(names), maxFiles)
	}
	files := map[string][]byte{}
	for _, name := range names {
		if files[name], err = fs.ReadFile(dir, name); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// Export writes the files that come with the program into dir, to be edited. It overwrites nothing.
func Export(ours fs.FS, dir string) (written []string, err error) {
	files, err := filesOf(ours)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		to := filepath.Join(dir, name)
		f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return written, err
		}
		_, err = f.Write(files[name])
		if err = errors.Join(err, f.Close()); err != nil {
			return written, err
		}
		written = append(written, to)
	}
	return written, nil
}
