package spool

import (
	"encoding/json"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
)

// TestOpen_firstRelease opens a folder as the first release wrote it, which knew data sets only.
func TestOpen_firstRelease(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "first-release"))))
	s := openSpool(t, dir, Options{InlineLimit: 1000})
	require.Empty(t, s.Recovered().Damaged)
	small, large, derived := sampleEntry(), sampleEntry(), sampleEntry()
	small.ID, small.Seq, small.Size, small.Digest = "06h285g7vdudl406879a279u0g", 1, 300, hexDigest(randomBytes(300))
	large.ID, large.Seq, large.Size, large.Digest = "06h285g7vpur9cq8fmnd4qgcog", 2, 1500, hexDigest(randomBytes(1500))
	derived.ID, derived.Seq, derived.Size, derived.Digest = "06h285g80tuu94qinvfc956aro", 3, 9, hexDigest([]byte("made here"))
	derived.Kind, derived.CallingAE, derived.CalledAE, derived.RemoteAddr = Derived, "", "", ""
	requireWhole(t, s, small, large, derived)
	require.EqualValues(t, 4, mustPut(t, s, nil).Seq)
}

// held yields what s holds beside notes.
func held(t require.TestingT, s *Spool) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for e, err := range s.Held(0) {
			require.NoError(t, err)
			if !yield(e) {
				return
			}
		}
	}
}

func action() Entry {
	return Entry{Kind: Action, Record: json.RawMessage(`{"action":"retry","job":"a.b"}`), At: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}
}

func TestAppend_kinds(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir, Options{})
	message := Entry{
		Kind: Message, MediaType: "x-application/hl7-v2+er7", Record: json.RawMessage(`{"control_id":"7"}`),
		RemoteAddr: "192.0.2.7:4711", At: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
	}
	said, err := s.Append(message, []byte("MSH|^~\\&|RIS\r"))
	require.NoError(t, err)
	did, err := s.Append(action(), nil)
	require.NoError(t, err)
	received := mustPut(t, s, randomBytes(10))
	require.Equal(t, []uint64{1, 2, 3}, []uint64{said.Seq, did.Seq, received.Seq})
	require.EqualValues(t, 13, said.Size)
	for range 2 {
		requireWhole(t, s, said, did, received)
		u := s.Usage()
		require.Equal(t, []int{2, 1, 23}, []int{u.Entries, u.Actions, int(u.Bytes)})
		require.NoError(t, s.Close())
		s = openSpool(t, dir, Options{})
	}
	require.Equal(t, []Entry{said, received}, slices.Collect(held(t, s)))
	require.NoError(t, s.ReleaseNotes(said.Seq))
	require.Equal(t, 1, s.Usage().Actions)
	require.NoError(t, s.ReleaseNotes(did.Seq))
	requireWhole(t, s, said, received)
	require.Zero(t, s.Usage().Actions)
	require.Equal(t, 2, s.Usage().Entries)
}

// TestAppend_belowReserve says what was done although nothing more is taken in.
func TestAppend_belowReserve(t *testing.T) {
	s := openSpool(t, t.TempDir(), Options{Reserve: 1 << 60})
	_, err := s.Create()
	require.ErrorIs(t, err, syscall.ENOSPC)
	e, err := s.Append(action(), nil)
	require.NoError(t, err)
	requireWhole(t, s, e)
}

func TestCommit_kindsAreKeptApart(t *testing.T) {
	s := openSpool(t, t.TempDir(), Options{InlineLimit: 1000})
	for name, spoil := range map[string]func(*Entry){
		"no kind":            func(e *Entry) { e.Kind = "" },
		"header":             func(e *Entry) { e.Header.PatientID = "1" },
		"transfer syntax":    func(e *Entry) { e.TransferSyntaxUID = dicom.JPEGBaseline8Bit },
		"record too long":    func(e *Entry) { e.Record = json.RawMessage(`"` + strings.Repeat("x", MaxRecord) + `"`) },
		"record is not JSON": func(e *Entry) { e.Record = json.RawMessage(`{`) },
		"record of data set": func(e *Entry) { e.Kind = Received },
	} {
		e := action()
		spoil(&e)
		_, err := s.Append(e, nil)
		require.Error(t, err, name)
	}
	require.Zero(t, s.Last(), "nothing was written")
}
