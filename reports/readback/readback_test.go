package readback

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	godicom "github.com/grailbio/go-dicom"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
)

func syntax(t testing.TB, uid dicom.UID) dicom.TransferSyntax {
	t.Helper()
	ts, ok := dicom.LookupTransferSyntax(uid)
	require.True(t, ok)
	return ts
}

// everything has a value of each kind that the other parser knows.
func everything() dicom.Dataset {
	return dicom.Dataset{
		dicom.SpecificCharacterSet: dicom.Text{"ISO_IR 192"},
		dicom.ImageType:            dicom.Text{"DERIVED", "SECONDARY", ""},
		dicom.SOPInstanceUID:       dicom.Text{"1.2.3"},
		dicom.StudyDate:            dicom.Text{"20260102"},
		dicom.Modality:             dicom.Text{},
		dicom.PatientName:          dicom.Text{"Müller^Jörg=山田^花子"},
		dicom.PatientID:            dicom.Text{""},
		0x001021B0:                 dicom.Text{"a long text\nof two lines"}, // LT
		0x00104000:                 dicom.Text{`one\two`},                   // LT
		dicom.InstanceNumber:       dicom.Ints{-7, 12},
		dicom.Rows:                 dicom.Ints{258},
		0x00280009:                 dicom.Tags{dicom.PatientName, dicom.Rows},
		0x00280120:                 dicom.As{VR: "SS", Value: dicom.Ints{-2}},
		0x00280106:                 dicom.As{VR: "US", Value: dicom.Bytes{1, 2, 3, 4}},
		0x00282000:                 dicom.Bytes("icc"),
		0x0040A160:                 dicom.Text{`a\b`}, // UT
		dicom.ContentSequence: dicom.Items{
			{dicom.Modality: dicom.Text{"SR"}, 0x00700022: dicom.Floats{1.5, 1.0 / 3}},
			{},
			{dicom.ContentSequence: dicom.Items{{0x00189461: dicom.As{VR: "FD", Value: dicom.Floats{1.0 / 3}}}}},
		},
		0x00091001: dicom.As{VR: "UN", Value: dicom.Bytes("private")},
	}
}

func TestCheck(t *testing.T) {
	for _, uid := range []dicom.UID{dicom.ExplicitVRLittleEndian, dicom.ImplicitVRLittleEndian, dicom.JPEGBaseline8Bit} {
		t.Run(string(uid), func(t *testing.T) {
			ts := syntax(t, uid)
			ds := everything()
			ds[dicom.PixelData] = dicom.As{VR: "OB", Value: dicom.Bytes{1, 2, 3}}
			if ts.Encapsulated {
				ds[dicom.PixelData] = dicom.Encapsulate([]byte("odd"), []byte("even"))
			}
			encoded, err := ds.Append(nil, ts)
			require.NoError(t, err)
			require.NoError(t, Check(ds, encoded, ts))
		})
	}
}

func TestCheck_differs(t *testing.T) {
	ts := syntax(t, dicom.ExplicitVRLittleEndian)
	encoded, err := everything().Append(nil, ts)
	require.NoError(t, err)
	item := func(ds dicom.Dataset, i int) dicom.Dataset { return ds[dicom.ContentSequence].(dicom.Items)[i] }
	for _, row := range []struct {
		name   string
		change func(ds dicom.Dataset)
		want   string
	}{
		{"an element less", func(ds dicom.Dataset) { ds[dicom.StudyID] = dicom.Text{} }, "18 elements, 19 are meant"},
		{"another tag", func(ds dicom.Dataset) {
			delete(ds, dicom.Modality)
			ds[dicom.StudyID] = dicom.Text{}
		}, "element 5 is (0008,0060), (0009,1001) is meant"},
		{"text", func(ds dicom.Dataset) { ds[dicom.PatientName] = dicom.Text{"Müller^Jürg=山田^花子"} }, "(0010,0010) has other values"},
		{"number of values", func(ds dicom.Dataset) { ds[dicom.ImageType] = dicom.Text{"DERIVED", "SECONDARY"} }, "(0008,0008) has other values"},
		{"a number", func(ds dicom.Dataset) { ds[dicom.Rows] = dicom.Ints{257} }, "(0028,0010) has other values"},
		{"VR", func(ds dicom.Dataset) { ds[dicom.Rows] = dicom.As{VR: "SS", Value: dicom.Ints{258}} }, "(0028,0010) has VR US, SS is meant"},
		{"bytes", func(ds dicom.Dataset) { ds[0x00282000] = dicom.Bytes("icd") }, "(0028,2000)"},
		{"encoded numbers", func(ds dicom.Dataset) { ds[0x00280106] = dicom.As{VR: "US", Value: dicom.Bytes{1, 2}} }, "(0028,0106)"},
		{"encoded text", func(ds dicom.Dataset) { ds[0x00091001] = dicom.As{VR: "UN", Value: dicom.Bytes("Private")} }, "(0009,1001)"},
		{"items", func(ds dicom.Dataset) { ds[dicom.ContentSequence] = dicom.Items{} }, "(0040,A730) has 3 items, 0 are meant"},
		{"in an item", func(ds dicom.Dataset) { item(ds, 0)[0x00700022] = dicom.Floats{1.5, 0.25} }, "(0040,A730) item 1: "},
		{"in an item of an item", func(ds dicom.Dataset) { item(item(ds, 2), 0)[dicom.Modality] = dicom.Text{} }, "(0040,A730) item 3: (0040,A730) item 1: "},
	} {
		t.Run(row.name, func(t *testing.T) {
			ds := everything()
			row.change(ds)
			err := Check(ds, encoded, ts)
			require.ErrorIs(t, err, ErrDiffers)
			assert.ErrorContains(t, err, row.want)
			assert.NotContains(t, err.Error(), "Müller")
		})
	}
	assert.ErrorIs(t, Check(everything(), encoded[:len(encoded)-3], ts), ErrDiffers, "cut")
}

func TestCheck_unsupported(t *testing.T) {
	for _, uid := range []dicom.UID{dicom.ExplicitVRBigEndian, dicom.DeflatedExplicitVRLittleEndian} {
		assert.ErrorIs(t, Check(nil, nil, syntax(t, uid)), ErrUnsupported)
	}
	ts := syntax(t, dicom.ExplicitVRLittleEndian)
	assert.ErrorIs(t, Check(nil, make([]byte, MaxSize+1), ts), ErrUnsupported)
	ds := dicom.Dataset{dicom.ExtendedOffsetTable: dicom.As{VR: "OV", Value: dicom.Bytes(make([]byte, 8))}}
	encoded, err := ds.Append(nil, ts)
	require.NoError(t, err)
	assert.ErrorIs(t, Check(ds, encoded, ts), ErrUnsupported)
	ds = dicom.Dataset{dicom.SpecificCharacterSet: dicom.Text{"GB18030"}}
	encoded, err = ds.Append(nil, ts)
	require.NoError(t, err)
	assert.ErrorIs(t, Check(ds, encoded, ts), ErrUnsupported)
}

func TestBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		places := make(chan struct{}, 1)
		assert.NoError(t, bounded(places, time.Second, func() error { return nil }))
		err := bounded(places, time.Second, func() error { panic("Müller") })
		require.ErrorIs(t, err, ErrDiffers)
		assert.NotContains(t, err.Error(), "Müller")

		hangs := make(chan struct{})
		start := time.Now()
		assert.ErrorIs(t, bounded(places, time.Second, func() error { <-hangs; return nil }), ErrNoTime)
		assert.ErrorIs(t, bounded(places, time.Second, func() error { t.Error("there was no place"); return nil }), ErrNoPlace)
		assert.Equal(t, 2*time.Second, time.Since(start))
		close(hangs)
		synctest.Wait()
		assert.NoError(t, bounded(places, time.Second, func() error { return nil }), "the place is free again")
	})
}

// A length that leads nowhere costs no memory, whatever the parser thinks of it.
func TestParse_believesNoLength(t *testing.T) {
	data := binary.LittleEndian.AppendUint32([]byte("\x28\x00\x00\x20OB\x00\x00"), 0xFFFFFFF0)
	allocated := testing.AllocsPerRun(1, func() {
		_, err := parse(append(data, "four"...), syntax(t, dicom.ExplicitVRLittleEndian), true)
		assert.ErrorIs(t, err, ErrDiffers)
	})
	assert.Less(t, allocated, 200.0)
}

// The file meta information that we write is read by the other parser.
func TestFileMeta(t *testing.T) {
	var file bytes.Buffer
	meta := dicom.FileMeta{SOPClassUID: "1.2.3", SOPInstanceUID: "1.2.3.4", TransferSyntaxUID: dicom.ExplicitVRLittleEndian, SourceApplicationEntityTitle: "SCOPE1"}
	require.NoError(t, dicom.WriteFileMeta(&file, meta))
	groupLength := file.Len() - len("DICM") - 128 - 12 // the group length itself is not counted
	encoded, err := dicom.Dataset{dicom.PatientID: dicom.Text{"EG0001"}}.Append(nil, syntax(t, dicom.ExplicitVRLittleEndian))
	require.NoError(t, err)
	file.Write(encoded)
	ds, err := godicom.ReadDataSet(&file, godicom.ReadOptions{})
	require.NoError(t, err)
	var got []string
	for _, e := range ds.Elements {
		if e.VR != "UL" && e.VR != "OB" {
			got = append(got, read(e))
		}
	}
	assert.Equal(t, []string{
		"1.2.3", "1.2.3.4", string(dicom.ExplicitVRLittleEndian), string(dicom.ImplementationClassUID), dicom.ImplementationVersionName, "SCOPE1", "EG0001",
	}, got)
	assert.Equal(t, strconv.Itoa(groupLength), read(ds.Elements[0]))
}
