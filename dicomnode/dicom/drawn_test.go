package dicom

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"endogate/cmd/endogate/installed"
)

// drawnText has a pattern of good values for a tag of each character VR.
var drawnText = map[Tag]string{
	0x00080054:            `[A-Z][A-Z0-9_]{0,15}`,                       // AE
	PatientAge:            `\d{3}[DWMY]`,                                // AS
	ImageType:             `[A-Z0-9_]{1,16}`,                            // CS
	StudyDate:             `20\d\d0[1-9](1\d|2[0-8])`,                   // DA
	WindowCenter:          `-?\d{1,4}(\.\d{1,3})?`,                      // DS
	0x0008002A:            `20\d\d0[1-9]1[0-9](0\d([0-5]\d)?)?`,         // DT
	InstanceNumber:        `-?[1-9]\d{0,8}`,                             // IS
	PatientID:             `([a-zÄöß山田]([a-z äöü山]{0,20}[a-zŁ花])?)?`,    // LO
	0x001021B0:            `[a-zé]([a-z\\ä,\n]{0,100}[a-z])?`,           // LT
	PatientName:           `[A-Zä]{1,20}(\^[a-zö]{0,20})?(=[山田\^]{4})?`, // PN
	StudyID:               `([a-zÄß]([a-zé (),.]{0,14}[a-z])?)?`,        // SH
	0x00080081:            `[a-z]([a-z \\]{0,100}[a-z])?`,               // ST
	StudyTime:             `1\d[0-5]\d(0\d(\.\d{1,6})?)?`,               // TM
	LongCodeValue:         `[a-z0-9ä]{0,100}`,                           // UC
	SOPInstanceUID:        `[12](\.[1-9]\d{0,8}){1,6}`,                  // UI
	URNCodeValue:          `urn:[a-z0-9]{1,60}`,                         // UR
	0x0040A160:            `[a-z]([a-z \\ü]{0,300}[a-z])?`,              // UT
	StudyDescription:      `[a-zäö]{0,64}`,
	ManufacturerModelName: `[!-\[]([ -\[\]-~]{0,20}[a-z])?`,
}

// drawnNumbers has the bounds of the numbers for a tag of each binary VR.
var drawnNumbers = map[Tag][2]int{
	Rows:       {0, 65535},
	0x00189219: {-32768, 32767},       // SS
	0x0040DB73: {0, 1<<32 - 1},        // UL
	0x00186020: {-1 << 31, 1<<31 - 1}, // SL
	0x00720082: {-1 << 62, 1<<62 - 1}, // SV
	0x00720083: {0, 1<<62 - 1},        // UV
}

// drawDataset draws a data set of values that are all allowed.
func drawDataset(t *rapid.T, depth int) Dataset {
	ds := Dataset{}
	pick := func(tag Tag) bool { return rapid.IntRange(0, 3).Draw(t, tag.String()) == 0 }
	for tag, pattern := range ordered(drawnText) {
		if !pick(tag) {
			continue
		}
		values := Text{rapid.StringMatching(pattern).Draw(t, "text")}
		if info := vrOf(VROf(tag)); !info.single && tag != PatientID && pick(tag) {
			values = append(values, rapid.StringMatching(pattern).Draw(t, "second"))
		}
		ds[tag] = values
	}
	for tag, bounds := range ordered(drawnNumbers) {
		if pick(tag) {
			ds[tag] = Ints(rapid.SliceOfN(rapid.IntRange(bounds[0], bounds[1]), 0, 3).Draw(t, "numbers"))
		}
	}
	if pick(0x00700022) {
		ds[0x00700022] = Floats(rapid.SliceOfN(rapid.Float64Range(-1e6, 1e6), 0, 4).Draw(t, "floats"))
	}
	if pick(0x00282000) {
		ds[0x00282000] = Bytes(rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "bytes"))
	}
	for _, tag := range []Tag{ContentSequence, OtherPatientIDsSequence} {
		if depth < 3 && pick(tag) {
			items := Items{}
			for range rapid.IntRange(0, 2).Draw(t, "items") {
				items = append(items, drawDataset(t, depth+1))
			}
			ds[tag] = items
		}
	}
	return ds
}

// ordered ranges over a map in the order of its tags, so that equal draws make equal data sets.
func ordered[V any](m map[Tag]V) func(func(Tag, V) bool) {
	return func(yield func(Tag, V) bool) {
		for _, tag := range slices.Sorted(maps.Keys(m)) {
			if !yield(tag, m[tag]) {
				return
			}
		}
	}
}

// What is written is read, and what was read is written as it was.
func TestAppend_drawn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ds := drawDataset(t, 0)
		uid := rapid.SampledFrom([]UID{ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}).Draw(t, "syntax")
		first, err := ds.Append(nil, syntax(uid))
		require.NoError(t, err)
		a, err := ReadAttributes(bytes.NewReader(first), syntax(uid))
		require.NoError(t, err)
		sameTexts(t, ds, a)
		if _, stated := ds[SpecificCharacterSet]; !stated && a.Text(SpecificCharacterSet) == "" {
			return // Dataset states one
		}
		second, err := a.Dataset().Append(nil, syntax(uid))
		require.NoError(t, err)
		assert.Equal(t, first, second)
	})
}

func sameTexts(t require.TestingT, ds Dataset, a *Attributes) {
	for tag, value := range ds {
		switch v := value.(type) {
		case Text:
			assert.Equal(t, strings.Join(v, "|"), strings.Join(a.Texts(tag), "|"), tag)
		case Ints:
			assert.Equal(t, fmt.Sprint(v), strings.ReplaceAll(fmt.Sprint(a.Texts(tag)), ",", " "), tag)
		case Items:
			for i, item := range v {
				sameTexts(t, item, a.Item(tag, i))
			}
		}
	}
}

// pydicom reads from what is written what we read from it.
func TestAppend_readByPydicom(t *testing.T) {
	installed.RequirePython(t, "pydicom")
	dir := t.TempDir()
	drawn := rapid.Custom(func(t *rapid.T) Dataset { return drawDataset(t, 0) })
	args := []string{"testdata/pydicom/dump.py"}
	want := map[string]string{}
	for i := range 100 {
		uid := encodings[i%len(encodings)]
		ds := drawn.Example(i)
		ds[PixelData] = Bytes{1, 2, 3, 4}
		if syntax(uid).Encapsulated {
			ds[PixelData] = Encapsulate([]byte("frame"))
		}
		var file bytes.Buffer
		require.NoError(t, WriteFileMeta(&file, FileMeta{VLEndoscopicImageStorage, "1.2.3.4", uid, ""}))
		encoded, err := ds.Append(nil, syntax(uid))
		require.NoError(t, err)
		file.Write(encoded)
		name := filepath.Join(dir, fmt.Sprintf("%d.dcm", i))
		require.NoError(t, os.WriteFile(name, file.Bytes(), 0o600))
		args = append(args, name)
		a, err := readFile(t, name)
		require.NoError(t, err)
		var text strings.Builder
		dump(&text, a, 0)
		want[name] = text.String()
		sameTexts(t, ds, a)
	}
	out, err := exec.Command(installed.Python, args...).CombinedOutput()
	require.NoError(t, err, string(out))
	for name, text := range want {
		got, err := os.ReadFile(strings.TrimSuffix(name, ".dcm") + ".txt")
		require.NoError(t, err)
		assert.Equal(t, text, string(got), name)
	}
}
