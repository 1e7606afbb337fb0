// Package durable is what the durable stores share: files and names in folders that survive a power cut, and one sync for all
// that commit at the same time.
package durable

import (
	"errors"
	"os"
	"path/filepath"
)

// SyncFolder makes the names in a folder durable.
func SyncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// WriteFile writes a file, readable by its owner alone, that is on disk under its name when WriteFile returns. It is made
// under another name first: a crash leaves a whole one or what was there before.
func WriteFile(path string, content []byte) error {
	if err := Stage(path, content); err != nil {
		return err
	}
	return Unstage(path)
}

// Stage is the first half of WriteFile: the file is on disk under the other name.
func Stage(path string, content []byte) error {
	f, err := os.OpenFile(staged(path), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// Unstage is the second half of WriteFile: what Stage has written gets its name.
func Unstage(path string) error {
	if err := os.Rename(staged(path), path); err != nil {
		return err
	}
	return SyncFolder(filepath.Dir(path))
}

func staged(path string) string { return path + ".new" }
