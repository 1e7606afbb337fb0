package dicom

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func syntax(uid UID) TransferSyntax {
	ts, ok := LookupTransferSyntax(uid)
	if !ok {
		panic("unknown transfer syntax " + uid)
	}
	return ts
}

// written is what the reader makes of ds.
func written(t testing.TB, ds Dataset, uid UID) *Attributes {
	t.Helper()
	b, err := ds.Append(nil, syntax(uid))
	require.NoError(t, err)
	a, err := ReadAttributes(bytes.NewReader(b), syntax(uid))
	require.NoError(t, err)
	return a
}

func TestAppend_bytes(t *testing.T) {
	for _, row := range []struct {
		name               string
		tag                Tag
		value              Value
		explicit, implicit string // what follows the tag
	}{
		{"text", PatientID, Text{"EG0001"}, "LO\x06\x00EG0001", "\x06\x00\x00\x00EG0001"},
		{"odd text", ImageType, Text{"DERIVED", "OTHER", ""}, "CS\x0e\x00DERIVED\\OTHER\\", "\x0e\x00\x00\x00DERIVED\\OTHER\\"},
		{"padded text", Modality, Text{"ES", "X"}, "CS\x04\x00ES\\X", "\x04\x00\x00\x00ES\\X"},
		{"text of a space", Modality, Text{"ESX"}, "CS\x04\x00ESX ", "\x04\x00\x00\x00ESX "},
		{"UID", SOPInstanceUID, Text{"1.2.3"}, "UI\x06\x001.2.3\x00", "\x06\x00\x00\x001.2.3\x00"},
		{"no value", PatientName, Text{}, "PN\x00\x00", "\x00\x00\x00\x00"},
		{"empty value", PatientName, Text{""}, "PN\x00\x00", "\x00\x00\x00\x00"},
		{"long text", 0x0040A160, Text{"a\\b"}, "UT\x00\x00\x04\x00\x00\x00a\\b ", "\x04\x00\x00\x00a\\b "},
		{"US", Rows, Ints{258, 3}, "US\x04\x00\x02\x01\x03\x00", "\x04\x00\x00\x00\x02\x01\x03\x00"},
		{"SS", 0x00280120, As{VR: "SS", Value: Ints{-2}}, "SS\x02\x00\xfe\xff", "\x02\x00\x00\x00\xfe\xff"},
		{"IS", InstanceNumber, Ints{-7, 12}, "IS\x06\x00-7\\12 ", "\x06\x00\x00\x00-7\\12 "},
		{"SL", 0x00186020, Ints{-1}, "SL\x04\x00\xff\xff\xff\xff", "\x04\x00\x00\x00\xff\xff\xff\xff"},
		{"UV", ExtendedOffsetTable, As{VR: "UV", Value: Ints{1}}, "UV\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00", "\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"},
		{"FL", 0x00700022, Floats{1.5}, "FL\x04\x00\x00\x00\xc0\x3f", "\x04\x00\x00\x00\x00\x00\xc0\x3f"},
		{"FD", 0x00089459, As{VR: "FD", Value: Floats{-2}}, "FD\x08\x00\x00\x00\x00\x00\x00\x00\x00\xc0", "\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xc0"},
		{"AT", 0x00280009, Tags{PatientName}, "AT\x04\x00\x10\x00\x10\x00", "\x04\x00\x00\x00\x10\x00\x10\x00"},
		{"odd bytes", 0x00282000, Bytes("icc"), "OB\x00\x00\x04\x00\x00\x00icc\x00", "\x04\x00\x00\x00icc\x00"},
		{"pixels", PixelData, Bytes("\x01\x02"), "OW\x00\x00\x02\x00\x00\x00\x01\x02", "\x02\x00\x00\x00\x01\x02"},
		{"encoded text", PatientName, Bytes("M\xfcller"), "PN\x06\x00M\xfcller", "\x06\x00\x00\x00M\xfcller"},
		{"private", 0x00090010, Text{"ENDOGATE"}, "LO\x08\x00ENDOGATE", "\x08\x00\x00\x00ENDOGATE"},
		{"private of a VR", 0x00091001, As{VR: "SH", Value: Text{"x"}}, "SH\x02\x00x ", "\x02\x00\x00\x00x "},
		{"verbatim", StudyDate, As{Verbatim: true, Value: Text{"20260101-"}}, "DA\x0a\x0020260101- ", "\x0a\x00\x00\x0020260101- "},
		{"no items", ContentSequence, Items{}, "SQ\x00\x00\xff\xff\xff\xff\xfe\xff\xdd\xe0\x00\x00\x00\x00", "\xff\xff\xff\xff\xfe\xff\xdd\xe0\x00\x00\x00\x00"},
		{"zero-length sequence", ContentSequence, Bytes{}, "SQ\x00\x00\x00\x00\x00\x00", "\x00\x00\x00\x00"},
		{
			"items", ContentSequence,
			Items{{Modality: Text{"SR"}, StudyID: Text{}}, {}},
			"SQ\x00\x00\xff\xff\xff\xff" +
				"\xfe\xff\x00\xe0\xff\xff\xff\xff\x08\x00\x60\x00CS\x02\x00SR\x20\x00\x10\x00SH\x00\x00\xfe\xff\x0d\xe0\x00\x00\x00\x00" +
				"\xfe\xff\x00\xe0\xff\xff\xff\xff\xfe\xff\x0d\xe0\x00\x00\x00\x00\xfe\xff\xdd\xe0\x00\x00\x00\x00",
			"\xff\xff\xff\xff" +
				"\xfe\xff\x00\xe0\xff\xff\xff\xff\x08\x00\x60\x00\x02\x00\x00\x00SR\x20\x00\x10\x00\x00\x00\x00\x00\xfe\xff\x0d\xe0\x00\x00\x00\x00" +
				"\xfe\xff\x00\xe0\xff\xff\xff\xff\xfe\xff\x0d\xe0\x00\x00\x00\x00\xfe\xff\xdd\xe0\x00\x00\x00\x00",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			tag := string([]byte{byte(row.tag >> 16), byte(row.tag >> 24), byte(row.tag), byte(row.tag >> 8)})
			for uid, want := range map[UID]string{ExplicitVRLittleEndian: row.explicit, ImplicitVRLittleEndian: row.implicit} {
				got, err := Dataset{row.tag: row.value}.Append([]byte("before"), syntax(uid))
				require.NoError(t, err)
				assert.Equal(t, "before"+tag+want, string(got), uid)
			}
		})
	}
}

func TestAppend_sorted(t *testing.T) {
	a := written(t, Dataset{PixelData: Bytes{}, Rows: Ints{1}, SOPClassUID: Text{"1.2"}, PatientName: Text{"A"}}, ExplicitVRLittleEndian)
	var tags []Tag
	for tag := range a.Tags() {
		tags = append(tags, tag)
	}
	assert.Equal(t, []Tag{SOPClassUID, PatientName, Rows}, tags)
}

func TestAppend_encapsulated(t *testing.T) {
	ds := Dataset{PixelData: Encapsulate([]byte("odd"), []byte("even"))}
	got, err := ds.Append(nil, syntax(JPEGBaseline8Bit))
	require.NoError(t, err)
	assert.Equal(t, "\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff"+
		"\xfe\xff\x00\xe0\x08\x00\x00\x00\x00\x00\x00\x00\x0c\x00\x00\x00"+
		"\xfe\xff\x00\xe0\x04\x00\x00\x00odd\x00"+
		"\xfe\xff\x00\xe0\x04\x00\x00\x00even"+
		"\xfe\xff\xdd\xe0\x00\x00\x00\x00", string(got))
}

func TestAppend_bigEndian(t *testing.T) {
	got, err := Dataset{Rows: Ints{258}, 0x00280009: Tags{PatientName}, PixelData: Bytes{1, 2, 3}, ContentSequence: Items{{}}}.Append(nil, syntax(ExplicitVRBigEndian))
	require.NoError(t, err)
	assert.Equal(t, "\x00\x28\x00\x09AT\x00\x04\x00\x10\x00\x10"+
		"\x00\x28\x00\x10US\x00\x02\x01\x02"+
		"\x00\x40\xa7\x30SQ\x00\x00\xff\xff\xff\xff\xff\xfe\xe0\x00\xff\xff\xff\xff\xff\xfe\xe0\x0d\x00\x00\x00\x00\xff\xfe\xe0\xdd\x00\x00\x00\x00"+
		"\x7f\xe0\x00\x10OW\x00\x00\x00\x00\x00\x04\x02\x01\x00\x03", string(got))
}

func TestAppend_deflated(t *testing.T) {
	ds := Dataset{PatientName: Text{"Müller^Jörg"}, PixelData: Bytes(bytes.Repeat([]byte{1, 2}, 5000))}
	for _, before := range []string{"", "odd"} {
		got, err := ds.Append([]byte(before), syntax(DeflatedExplicitVRLittleEndian))
		require.NoError(t, err)
		assert.Less(t, len(got), 200)
		assert.Zero(t, (len(got)-len(before))%2)
		a, err := ReadAttributes(strings.NewReader(strings.TrimPrefix(string(got), before)), syntax(DeflatedExplicitVRLittleEndian))
		require.NoError(t, err)
		assert.Equal(t, "Müller^Jörg", a.Text(PatientName))
	}
}

func TestAppend_characterSets(t *testing.T) {
	for _, row := range []struct {
		charset, name, want string // want is empty where the set does not have the name, or is only read
	}{
		{"", "Mueller", "Mueller "},
		{"ISO_IR 192", "Müller^山田", "Müller^山田 "},
		{"ISO_IR 100", "Müller", "M\xfcller"},
		{"ISO_IR 100", "Łukasz", ""},
		{"ISO_IR 101", "Łukasz", "\xa3ukasz"},
		{"ISO_IR 144", "Лук", "\xbb\xe3\xda "},
		{"ISO_IR 166", "ก", "\xa1 "},
		{"ISO_IR 166", "…", ""},
		{"GB18030", "王^小东", "\xcd\xf5^\xd0\xa1\xb6\xab "},
		{"GBK", "王€", "\xcd\xf5\x80 "},
		{"ISO_IR 13", "Yamada", "Yamada"},
		{"ISO_IR 13", "A~B", ""},
		{"ISO_IR 13", "ﾔﾏﾀﾞ", ""},
		{`ISO 2022 IR 6\ISO 2022 IR 87`, "Yamada", "Yamada"},
		{`ISO 2022 IR 6\ISO 2022 IR 87`, "山田", ""},
		{"NONE OF THEM", "Müller", ""},
	} {
		t.Run(row.charset+" "+row.name, func(t *testing.T) {
			ds := Dataset{PatientName: Text{row.name}, SpecificCharacterSet: Text(strings.Split(row.charset, `\`))}
			b, err := ds.Append(nil, syntax(ExplicitVRLittleEndian))
			if row.want == "" {
				require.ErrorContains(t, err, "(0010,0010): a character")
				return
			}
			require.NoError(t, err)
			a, err := ReadAttributes(bytes.NewReader(b), syntax(ExplicitVRLittleEndian))
			require.NoError(t, err)
			e, _ := a.Get(PatientName)
			assert.Equal(t, strings.TrimSuffix(row.want, " "), strings.TrimSuffix(string(e.Value), " "))
			assert.Equal(t, row.name, a.Text(PatientName))
		})
	}
}

func TestAppend_characterSetByDefault(t *testing.T) {
	other := Dataset{SpecificCharacterSet: Text{"ISO_IR 100"}, PatientID: Text{"ü"}}
	for _, row := range []struct {
		name string
		ds   Dataset
		want string
	}{
		{"ASCII", Dataset{PatientName: Text{"A"}}, ""},
		{"text", Dataset{PatientName: Text{"Ü"}}, "ISO_IR 192"},
		{"text in an item", Dataset{OtherPatientIDsSequence: Items{{PatientID: Text{"ü"}}}}, "ISO_IR 192"},
		{"an item with a set of its own", Dataset{OtherPatientIDsSequence: Items{other}}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := len(row.ds)
			a := written(t, row.ds, ExplicitVRLittleEndian)
			assert.Equal(t, row.want, a.Text(SpecificCharacterSet))
			assert.Len(t, row.ds, before, "the data set is the caller's")
			if item := a.Item(OtherPatientIDsSequence, 0); item != nil {
				assert.Equal(t, "ü", item.Text(PatientID))
			}
		})
	}
}

func TestAppend_refuses(t *testing.T) {
	deep := Dataset{}
	for range keptDepth + 1 {
		deep = Dataset{ContentSequence: Items{deep}}
	}
	for _, row := range []struct {
		name string
		tag  Tag
		v    Value
		want string
	}{
		{"command", 0x00000100, Ints{1}, "(0000,0100) does not stand in a data set"},
		{"file meta", transferSyntaxUID, Text{"1.2"}, "(0002,0010) does not stand"},
		{"group length", 0x00080000, Ints{1}, "(0008,0000) does not stand"},
		{"item", Item, Bytes{}, "does not stand"},
		{"group FFFF", 0xFFFF0010, Bytes{}, "does not stand"},
		{"private below its creators", 0x00090002, As{VR: "LO", Value: Text{}}, "does not stand"},
		{"no VR", 0x00091001, Text{"x"}, "(0009,1001): text for UN"},
		{"unknown VR", PatientID, As{VR: "XY", Value: Text{"x"}}, `"XY" is no VR`},
		{"no value", PatientID, nil, "no value for LO"},
		{"long LO", PatientID, Text{strings.Repeat("ü", 65)}, "(0010,0020): 65 characters, LO allows 64"},
		{"long PN", PatientName, Text{strings.Repeat("x", 65)}, "65 characters in a component group"},
		{"PN groups", PatientName, Text{"a=b=c=d"}, "4 component groups"},
		{"PN components", PatientName, Text{"a^b^c^d^e^f"}, "6 components"},
		{"CS", Modality, Text{"es"}, "a value that is none of CS"},
		{"DA", StudyDate, Text{"2026-01-02"}, "a value that is none of DA"},
		{"TM", StudyTime, Text{"10:15"}, "a value that is none of TM"},
		{"DS", WindowCenter, Text{"1,5"}, "a value that is none of DS"},
		{"IS", InstanceNumber, Text{"1.5"}, "a value that is none of IS"},
		{"IS by number", InstanceNumber, Ints{math.MaxInt32 + 1}, "a number outside IS"},
		{"AE", 0x00020016, nil, "does not stand"},
		{"UI", StudyInstanceUID, Text{"1..2"}, "a value that is no UID"},
		{"backslash", PatientID, Text{`a\b`}, "a backslash within a value"},
		{"backslash, verbatim", PatientID, As{Verbatim: true, Value: Text{`a\b`}}, "a backslash within a value"},
		{"control", PatientID, Text{"a\x1bb"}, "a control character"},
		{"two values of one", 0x0040A160, Text{"a", "b"}, "2 values for UT"},
		{"US", Rows, Ints{65536}, "a number outside US"},
		{"US below", Rows, Ints{-1}, "a number outside US"},
		{"FL", 0x00700022, Floats{1e40}, "a number outside FL"},
		{"text for numbers", Rows, Text{"1"}, "text for US"},
		{"numbers for text", PatientID, Ints{1}, "whole numbers for LO"},
		{"floats for text", PatientID, Floats{1}, "floating point numbers for LO"},
		{"tags for text", PatientID, Tags{1}, "tags for LO"},
		{"bytes for items", ContentSequence, Bytes{1, 2}, "a sequence has items"},
		{"half a number", Rows, Bytes{1}, "1 bytes for US"},
		{"16-bit length", PatientID, As{Verbatim: true, Value: Text{strings.Repeat("x", 65535)}}, "65536 bytes do not fit into the length of LO"},
		{"16-bit length of bytes", 0x00280009, Bytes(make([]byte, 65536)), "65536 bytes do not fit into the length of AT"},
		{"fragments", PixelData, Fragments{nil}, "fragments in a transfer syntax that does not encapsulate"},
		{"fragments elsewhere", PatientID, Fragments{nil}, "only Pixel Data has fragments"},
		{"item", ContentSequence, Items{{}, {Modality: Text{"es"}}}, "(0040,A730) item 2: (0008,0060): a value"},
		{"character set", SpecificCharacterSet, Ints{100}, "(0008,0005): whole numbers for CS"},
		{"depth", ContentSequence, deep[ContentSequence], "nested deeper"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := Dataset{row.tag: row.v}.Append(nil, syntax(ExplicitVRLittleEndian))
			require.ErrorContains(t, err, "dicom: write: ")
			assert.ErrorContains(t, err, row.want)
		})
	}
	for name, pixels := range map[string]Value{"native": Bytes{1, 2}, "Basic Offset Table": Fragments{}} {
		_, err := Dataset{PixelData: pixels}.Append(nil, syntax(RLELossless))
		assert.ErrorContains(t, err, name)
	}
}

// A value of an Implicit VR data set has a 32-bit length whatever its VR.
func TestAppend_longInImplicitVR(t *testing.T) {
	long := As{Verbatim: true, Value: Text{strings.Repeat("x", 65536)}}
	assert.Len(t, written(t, Dataset{PatientID: long}, ImplicitVRLittleEndian).Text(PatientID), 65536)
}

func TestAppendCommand(t *testing.T) {
	got, err := Dataset{
		0x00000100: Ints{0x8030}, 0x00000002: Text{"1.2.840.10008.1.1"}, 0x00000120: Ints{1}, 0x00000800: Ints{0x0101}, 0x00000900: Ints{0},
	}.AppendCommand(nil)
	require.NoError(t, err)
	assert.Equal(t, "\x00\x00\x00\x00\x04\x00\x00\x00\x42\x00\x00\x00"+
		"\x00\x00\x02\x00\x12\x00\x00\x001.2.840.10008.1.1\x00"+
		"\x00\x00\x00\x01\x02\x00\x00\x00\x30\x80"+
		"\x00\x00\x20\x01\x02\x00\x00\x00\x01\x00"+
		"\x00\x00\x00\x08\x02\x00\x00\x00\x01\x01"+
		"\x00\x00\x00\x09\x02\x00\x00\x00\x00\x00", string(got))
	_, err = Dataset{PatientName: Text{"A"}}.AppendCommand(nil)
	assert.ErrorContains(t, err, "(0010,0010) does not stand in group 0000")
}
