package frames

import (
	"bytes"
	"context"
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
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

// What a DICOMDIR refers to is not read: a reference may lead anywhere (CVE-2026-32711).
func TestEach_followsNoReference(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "media")
	require.NoError(t, os.Mkdir(dir, 0o700))
	picture, err := os.ReadFile("../../testdata/frames/polyp-1.jpg")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(root, "OUTSIDE"), picture, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "INSIDE"), picture, 0o600))
	const directory = "1.2.840.10008.1.3.10"
	var file bytes.Buffer
	require.NoError(t, dicom.WriteFileMeta(&file, dicom.FileMeta{SOPClassUID: directory, SOPInstanceUID: "1.2.3", TransferSyntaxUID: dicom.ExplicitVRLittleEndian}))
	element := func(tag, vr, value string) string { // in Explicit VR Little Endian, as group 0004 is none of a data set
		value += strings.Repeat(" ", len(value)%2)
		return tag + vr + string(binary.LittleEndian.AppendUint16(nil, uint16(len(value)))) + value
	}
	long := func(head, value string) string {
		return head + string(binary.LittleEndian.AppendUint32(nil, uint32(len(value)))) + value
	}
	var records string
	for _, path := range []string{`..\OUTSIDE`, "/etc/passwd", "OUT/../../OUTSIDE"} {
		records += long("\xfe\xff\x00\xe0", element("\x04\x00\x30\x14", "CS", "IMAGE")+element("\x04\x00\x00\x15", "CS", path))
	}
	file.WriteString(long("\x04\x00\x20\x12SQ\x00\x00", records))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "DICOMDIR"), file.Bytes(), 0o600))
	var seen []string
	files := Files{Paths: []string{dir}, Tell: func(string, error) {}}
	err = files.Each(t.Context(), func(_ context.Context, f Frame) error {
		seen = append(seen, f.Path)
		return nil
	})
	if err != nil {
		require.ErrorIs(t, err, ErrUnread)
	}
	require.Equal(t, []string{filepath.Join(dir, "INSIDE")}, seen)
}

func TestFiles_empty(t *testing.T) {
	file := filepath.Join(t.TempDir(), "frame.png")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	l := &Files{Paths: []string{file}}
	require.ErrorIs(t, l.Each(t.Context(), func(context.Context, Frame) error { return nil }), errEmpty)
}
