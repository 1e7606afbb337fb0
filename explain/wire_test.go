package explain

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What is often taken for a model is called by its name, with what to do.
func TestReadOutline_mistaken(t *testing.T) {
	for start, says := range map[string]string{
		"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n": "git lfs pull",
		"PK\x03\x04archive/data.pkl":                                          "PyTorch",
		"<!DOCTYPE html>":                                                     "page of the web",
		"\x89HDF\r\n\x1a\n":                                                   "HDF5",
	} {
		_, err := ReadOutline([]byte(start))
		require.ErrorContains(t, err, says)
	}
}
