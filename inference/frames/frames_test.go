package frames

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A folder's pictures are handed over, the one left out and what is no picture are not, and what is broken is told once.
func TestEach(t *testing.T) {
	raw, err := os.ReadFile("../../testdata/frames/polyp-1.jpg")
	require.NoError(t, err)
	instances, err := filepath.Glob("../../testdata/instances/*polyp*.dcm")
	require.NoError(t, err)
	instance, err := os.ReadFile(instances[0])
	require.NoError(t, err)
	dir := t.TempDir()
	for name, content := range map[string][]byte{
		"a.jpg": raw, "b.dcm": instance, "half.jpg": raw[:len(raw)/2], "notes.txt": []byte("no picture"), "out/c.jpg": raw,
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	told := map[string]int{}
	files := Files{Paths: []string{dir}, Except: filepath.Join(dir, "out"), Tell: func(file string, _ error) { told[filepath.Base(file)]++ }}
	for range 2 {
		var seen []string
		err = files.Each(t.Context(), func(_ context.Context, f Frame) error {
			require.NotNil(t, f.Image)
			require.Equal(t, f.Name == "b-1", f.Attributes != nil)
			seen = append(seen, f.Name)
			return nil
		})
		require.ErrorIs(t, err, ErrUnread)
		require.Equal(t, []string{"a", "b-1"}, seen)
	}
	require.Equal(t, map[string]int{"half.jpg": 1, "notes.txt": 1}, told)

	count := 0
	require.NoError(t, files.Each(t.Context(), func(context.Context, Frame) error { count++; return fs.SkipAll }))
	require.Equal(t, 1, count)
	files.Except = dir
	require.ErrorIs(t, files.Each(t.Context(), nil), ErrFolder)
}
