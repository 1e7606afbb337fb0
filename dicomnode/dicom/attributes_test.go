package dicom

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var encodings = []UID{
	ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian,
	DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit,
}

func everyEncoding(t *testing.T, test func(t *testing.T, uid UID, undefined bool)) {
	for _, uid := range encodings {
		for _, undefined := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/undefined=%v", uid, undefined), func(t *testing.T) { test(t, uid, undefined) })
		}
	}
}

func TestReadAttributes_header(t *testing.T) {
	want := Header{
		SOPInstance: SOPInstance{VLEndoscopicImageStorage, "1.2.3.4", "1.2.3.5", "1.2.3"},
		PatientID:   "4711", PatientName: "Müller^Jörg", AccessionNumber: "A1", Modality: "ES",
		StationName: "TOWER1", ProcedureCode: "KOLO", StudyDate: "20240229", StudyTime: "101500",
		StudyDescription: "Koloskopie", InstanceNumber: 7, NumberOfFrames: 3,
	}
	everyEncoding(t, func(t *testing.T, uid UID, undefined bool) {
		e := sample(uid, undefined)
		a, err := ReadAttributes(bytes.NewReader(e.dataset(t)), e.ts)
		require.NoError(t, err)
		assert.Equal(t, want, a.Header())
		assert.NoError(t, a.Header().Validate())
		rows, ok := a.Int(Rows)
		assert.True(t, ok)
		assert.Equal(t, 4, rows)
		assert.Equal(t, "OTHER", a.Item(ProcedureCodeSequence, 1).Text(CodeValue))
		assert.Nil(t, a.Item(ProcedureCodeSequence, 2))
	})
}

// A receiver spools what it parses: every byte once, whatever the reader took ahead.
func TestReadAttributes_teeSeesEveryByteOnce(t *testing.T) {
	everyEncoding(t, func(t *testing.T, uid UID, undefined bool) {
		dataset := sample(uid, undefined).dataset(t)
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r },
			"bytes": iotest.OneByteReader,
			"half":  iotest.HalfReader,
		} {
			t.Run(name, func(t *testing.T) {
				var spool bytes.Buffer
				tee := io.TeeReader(wrap(bytes.NewReader(dataset)), &spool)
				ts, _ := LookupTransferSyntax(uid)
				_, err := ReadAttributes(tee, ts)
				require.NoError(t, err)
				if !ts.Deflated {
					assert.NotContains(t, spool.String(), "\x01\x02\x03\x04\x01\x02", "pixel data taken early")
				}
				_, err = io.Copy(io.Discard, tee)
				require.NoError(t, err)
				assert.Equal(t, dataset, spool.Bytes())
			})
		}
	})
}

// Cut anywhere, the data set gives what was whole and an error, unless the cut is between two elements.
func TestReadAttributes_truncated(t *testing.T) {
	everyEncoding(t, func(t *testing.T, uid UID, undefined bool) {
		e := sample(uid, undefined)
		dataset := e.dataset(t)
		end := len(dataset)
		if !e.ts.Deflated {
			end = bytes.Index(dataset, []byte("\x01\x02\x03\x04"))
			if e.ts.Encapsulated {
				end = bytes.Index(dataset, []byte("first"))
			}
		}
		clean := 0
		for n := range end {
			a, err := ReadAttributes(bytes.NewReader(dataset[:n]), e.ts)
			require.NotNil(t, a)
			if err == nil {
				clean++
				continue
			}
			assert.ErrorIs(t, err, io.ErrUnexpectedEOF, "cut at %d", n)
		}
		if !e.ts.Deflated {
			assert.LessOrEqual(t, clean, 40)
		}
	})
}

func TestReadAttributes_sourceError(t *testing.T) {
	e := sample(ExplicitVRLittleEndian, false)
	_, err := ReadAttributes(io.MultiReader(bytes.NewReader(e.Bytes()[:40]), iotest.ErrReader(io.ErrClosedPipe)), e.ts)
	assert.ErrorIs(t, err, io.ErrClosedPipe)
}

func TestReadAttributes_nestedTooDeep(t *testing.T) {
	for _, undefined := range []bool{true, false} {
		e := newEncoder(ExplicitVRLittleEndian, undefined)
		nest(e, maxDepth+1)
		_, err := ReadAttributes(bytes.NewReader(e.Bytes()), e.ts)
		assert.ErrorIs(t, err, ErrTooLarge)
	}
	e := newEncoder(ExplicitVRLittleEndian, true)
	nest(e, keptDepth)
	a, err := ReadAttributes(bytes.NewReader(e.Bytes()), e.ts)
	require.NoError(t, err)
	for range keptDepth {
		a = a.Item(ContentSequence, 0)
	}
	assert.Equal(t, "bottom", a.Text(CodeValue))

	e = newEncoder(ExplicitVRLittleEndian, true)
	nest(e, 40*keptDepth)
	e.text(PatientID, "LO", "ID-1")
	a, remarks, err := ReadWhole(bytes.NewReader(e.Bytes()), e.ts)
	require.NoError(t, err)
	assert.Equal(t, []string{RemarkDepth}, remarks)
	assert.Equal(t, "ID-1", a.Text(PatientID), "what is behind the sequence is read")
	for range keptDepth {
		a = a.Item(ContentSequence, 0)
		require.NotNil(t, a)
	}
	assert.Nil(t, a.Item(ContentSequence, 0))
}

func nest(e *encoder, depth int) {
	content := newEncoder(e.ts.UID, e.undefined).text(CodeValue, "SH", "bottom").Bytes()
	for range depth {
		outer := newEncoder(e.ts.UID, e.undefined)
		outer.sequence(ContentSequence, func(i *encoder) { i.Write(content) })
		content = outer.Bytes()
	}
	e.Write(content)
}

// Megabytes of values and a hundred thousand items stay out of memory, and what comes after them is found.
func TestReadAttributes_bounded(t *testing.T) {
	big := newEncoder(ExplicitVRLittleEndian, true)
	big.text(SpecificCharacterSet, "CS", "ISO_IR 192")
	big.head(0x00091010, "OB", 16<<20).Write(make([]byte, 16<<20))
	items := make([]func(*encoder), 100_000)
	for i := range items {
		items[i] = func(*encoder) {}
	}
	big.sequence(SourceImageSequence, items...)
	for i := range 100 {
		big.head(Tag(0x00091100+i), "OB", 64<<10).Write(make([]byte, 64<<10))
	}
	big.text(PatientID, "LO", "after")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	a, err := ReadAttributes(bytes.NewReader(big.Bytes()), big.ts)
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(2*maxKept+1<<20))
	assert.Equal(t, "after", a.Text(PatientID), "neither items nor private values take the last of the budget")
	_, kept := a.Get(0x00091010)
	assert.False(t, kept, "a value over the bound is passed over")
}

// What sequences hold leaves room for the elements of the data set that follow them.
func TestReadAttributes_sequencesLeaveRoom(t *testing.T) {
	e := newEncoder(ExplicitVRLittleEndian, true)
	items := make([]func(*encoder), 100)
	for i := range items {
		items[i] = func(item *encoder) { item.text(0x00091010, "UT", strings.Repeat("x", 100<<10)) }
	}
	e.sequence(SourceImageSequence, items...).text(PatientID, "LO", "after")
	a, err := ReadAttributes(bytes.NewReader(e.Bytes()), e.ts)
	require.NoError(t, err)
	assert.Equal(t, "after", a.Text(PatientID))
	sequence, _ := a.Get(SourceImageSequence)
	assert.Len(t, sequence.Items, len(items), "items are kept, without the values that do not fit")
}

func TestHeader_Validate(t *testing.T) {
	good := Header{SOPInstance: SOPInstance{"1.2", "1.3", "1.4", "1.5"}}
	assert.NoError(t, good.Validate())
	good.SOPInstanceUID = "1.02"
	assert.NoError(t, good.Validate(), "devices send leading zeros")
	for _, bad := range []UID{"", "../2", ".2", "hello/world", "hello^world", " 1.2", "1.2\x00\x01", UID(strings.Repeat("1", MaxFileable+1))} {
		h := good
		h.StudyInstanceUID = bad
		err := h.Validate()
		require.Error(t, err, "%q", bad)
		assert.Contains(t, err.Error(), "Study Instance UID")
		assert.NotContains(t, err.Error(), "hello", "no value of the data set in an error")
		for _, fault := range err.(*UIDError).Faults {
			assert.LessOrEqual(t, len(fault), 64, "it is an Error Comment")
		}
	}
	for uid, want := range map[UID]string{
		"1..2": "is not digits and dots", "1.2.x": "is not digits and dots", "1.2.": "is not digits and dots",
		UID(strings.Repeat("1", MaxFileable)): "has 128 characters, 64 are allowed", "1.02": "", "1.2": "",
	} {
		h := good
		h.SeriesInstanceUID = uid
		require.NoError(t, h.Validate(), "devices send them, archives keep them")
		if want == "" {
			assert.Empty(t, h.BadUIDs())
		} else {
			assert.Equal(t, []string{"Series Instance UID " + want}, h.BadUIDs())
		}
	}
}
