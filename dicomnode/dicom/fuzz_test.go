package dicom

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

func addFiles(f *testing.F, add func(b []byte)) {
	files, err := filepath.Glob("testdata/pydicom/*.dcm")
	require.NoError(f, err)
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(f, err)
		add(b)
	}
}

// Whatever the bytes: no panic, only errors of the kinds that are promised, and accessors that hold.
func FuzzReadAttributes(f *testing.F) {
	syntaxes := []UID{ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}
	// A UID under a tag that the dictionary has as LO, whose padding is another.
	f.Add(byte(1), []byte("\x31\x00\x16\x00UI\x06\x001.2.3\x00"))
	for i, uid := range syntaxes {
		for _, undefined := range []bool{false, true} {
			f.Add(byte(i), sample(uid, undefined).dataset(f))
		}
	}
	addFiles(f, func(b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		_, _ = ReadFileMeta(r)
		rest, err := io.ReadAll(r)
		require.NoError(f, err)
		f.Add(byte(0), rest)
		f.Add(byte(1), rest)
	})
	f.Fuzz(func(t *testing.T, which byte, data []byte) {
		ts, _ := LookupTransferSyntax(syntaxes[int(which)%len(syntaxes)])
		var spool bytes.Buffer
		tee := io.TeeReader(bytes.NewReader(data), &spool)
		a, err := ReadAttributes(tee, ts)
		known := err == nil || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrTooLarge) || errors.Is(err, io.ErrUnexpectedEOF)
		if !known {
			t.Errorf("untyped error %v", err)
		}
		_, _ = io.Copy(io.Discard, tee)
		if !bytes.Equal(spool.Bytes(), data) {
			t.Error("the tee has not seen every byte once")
		}
		_ = a.Header().Validate()
		for tag := range a.Tags() {
			a.Texts(tag)
		}
		for _, uid := range encodings {
			again := writtenAgain(t, a, uid)
			if again == nil {
				continue
			}
			if is, was := plain(again.Header()), plain(a.Header()); is != was && (uid != ImplicitVRLittleEndian || !otherVR(a)) {
				t.Errorf("written in %s the header is %+v, was %+v", uid, is, was)
			}
		}
	})
}

// plain takes off h what is said of texts that are not of their character set: written in UTF-8 they are.
func plain(h Header) Header {
	for _, text := range []*string{&h.PatientID, &h.IssuerOfPatientID, &h.PatientName, &h.AccessionNumber, &h.StationName, &h.StudyDescription} {
		*text = unmarked(*text)
	}
	return h
}

func unmarked(text string) string {
	reading, _ := Reading(text)
	return strings.Trim(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, reading), " ")
}

// writtenAgain writes a, reads that, and wants the same bytes when it is written once more. It is nil where a cannot be
// written: a value of the Implicit VR may not fit into the length that its VR has in the explicit one. Where the VR is
// not written, a value of another than the dictionary's may be padded otherwise once it is read; numbers of no VR in Big Endian have
// the dictionary's once they are in Little Endian: then it stays so.
func writtenAgain(t *testing.T, a *Attributes, uid UID) *Attributes {
	ts, _ := LookupTransferSyntax(uid)
	first, err := a.Dataset().Append(nil, ts)
	if err != nil {
		return nil
	}
	again, err := ReadAttributes(bytes.NewReader(first), ts)
	if err != nil {
		t.Fatalf("written, but not read: %v", err)
	}
	second, err := again.Dataset().Append(nil, ts)
	if (!ts.ExplicitVR || a.ByteOrder() == binary.BigEndian) && err == nil && !bytes.Equal(first, second) && otherVR(a) {
		third, err := ReadAttributes(bytes.NewReader(second), ts)
		if err != nil {
			t.Fatalf("written twice, but not read: %v", err)
		}
		first = second
		second, _ = third.Dataset().Append(nil, ts)
	}
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("%s: %x became %x: %v", uid, first, second, err)
	}
	return again
}

// otherVR reports whether an element came with another VR than the dictionary has for its tag.
func otherVR(a *Attributes) bool {
	return a != nil && slices.ContainsFunc(a.elements, func(e Element) bool {
		return e.VR != VROf(e.Tag) || slices.ContainsFunc(e.Items, otherVR)
	})
}

// What is read as file meta information can be written and reads the same.
func FuzzReadFileMeta(f *testing.F) {
	addFiles(f, func(b []byte) { f.Add(b) })
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ReadFileMeta(bufio.NewReader(bytes.NewReader(data)))
		var out bytes.Buffer
		if err != nil || WriteFileMeta(&out, m) != nil || len(m.SourceApplicationEntityTitle) > 16 {
			return
		}
		again, err := ReadFileMeta(bufio.NewReader(&out))
		if err != nil || again != m {
			t.Errorf("%+v became %+v: %v", m, again, err)
		}
	})
}
