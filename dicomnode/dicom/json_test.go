package dicom

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
)

// The model that we write is the data set that pydicom reads, of its own test files, of which many are odd.
func TestAppendJSON_pydicom(t *testing.T) {
	installed.RequirePython(t, "pydicom")
	files, err := filepath.Glob("testdata/pydicom/*.dcm")
	require.NoError(t, err)
	args := []string{"testdata/pydicom/model.py"}
	for _, file := range files {
		if strings.Contains(file, "truncated") || strings.HasSuffix(file, "badVR.dcm") {
			continue // pydicom makes no model of half a value, and none of an Integer String of letters
		}
		a, err := readFile(t, file)
		require.NoError(t, err)
		model := filepath.Join(t.TempDir(), "model.json")
		require.NoError(t, os.WriteFile(model, a.AppendJSON(nil, func(string) string { return "http://x/" }), 0o600))
		args = append(args, file, model)
	}
	out, err := exec.Command(installed.Python, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Empty(t, string(out))
}

// Every kind of value stands in the model as PS3.18 F.2 has it.
func TestAppendJSON(t *testing.T) {
	long := bytes.Repeat([]byte{1, 2}, maxInline)
	ds := Dataset{
		SpecificCharacterSet: Text{"ISO_IR 100"}, ImageType: Text{"ORIGINAL", "", "X"}, PatientName: Text{"Müller^Jörg"}, PatientID: Text{""},
		0x00181310: Ints{1, 65535}, 0x00189074: Text{"20260102101500.5"}, 0x00280009: Tags{0x00181063}, 0x00089123: Text{"1.2.3"}, 0x00186020: Ints{-5},
		0x00200013: Bytes("+7"), 0x00101020: Bytes(`1.80\+1e2\01\x`), 0x00189087: Floats{0.1}, 0x00280106: As{VR: "SS", Value: Ints{-3}},
		0x00204000: Text{"<a&b>\t\"\\"}, 0x00091001: As{VR: "UN", Value: Bytes{1, 2}}, 0x00090010: Text{"X"}, 0x00091002: As{VR: "OW", Value: Bytes(long)},
		0x00091003: As{VR: "UV", Value: Bytes{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0, 0, 0, 0, 0}},
		0x00091004: As{VR: "FD", Value: Bytes{0, 0, 0, 0, 0, 0, 0xF8, 0x7F}},
		0x00400275: Items{{}, {StudyDescription: Text{"å"}, 0x00090010: Text{"X"}, 0x00091002: As{VR: "OB", Value: Bytes(long)}}}, 0x00081199: Items{},
	}
	const want = `{"00080005":{"vr":"CS","Value":["ISO_IR 192"]},"00080008":{"vr":"CS","Value":["ORIGINAL",null,"X"]},"00081199":{"vr":"SQ"},"00089123":{"vr":"UI","Value":["1.2.3"]},
		"00090010":{"vr":"LO","Value":["X"]},"00091001":{"vr":"UN","InlineBinary":"AQI="},"00091002":{"vr":"OW","BulkDataURI":"/00091002"},
		"00091003":{"vr":"UV","Value":["18446744073709551615",1]},"00091004":{"vr":"FD","Value":["NaN"]},
		"00100010":{"vr":"PN","Value":[{"Alphabetic":"Müller^Jörg"}]},"00100020":{"vr":"LO"},"00101020":{"vr":"DS","Value":[1.80,100,1,"x"]},
		"00181310":{"vr":"US","Value":[1,65535]},"00186020":{"vr":"SL","Value":[-5]},"00189074":{"vr":"DT","Value":["20260102101500.5"]},"00189087":{"vr":"FD","Value":[0.1]},
		"00200013":{"vr":"IS","Value":[7]},"00204000":{"vr":"LT","Value":["<a&b>\t\"\\"]},"00280009":{"vr":"AT","Value":["00181063"]},"00280106":{"vr":"SS","Value":[-3]},
		"00400275":{"vr":"SQ","Value":[{},{"00081030":{"vr":"LO","Value":["å"]},"00090010":{"vr":"LO","Value":["X"]},"00091002":{"vr":"OB","BulkDataURI":"/00400275.2.00091002"}}]}}`
	for _, uid := range []UID{ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian} {
		ts, _ := LookupTransferSyntax(uid)
		if !ts.ExplicitVR || ts.BigEndian {
			continue // private elements have no VR there, and this test's are Little Endian
		}
		b, err := ds.Append(nil, ts)
		require.NoError(t, err)
		a, err := ReadAttributes(bytes.NewReader(b), ts)
		require.NoError(t, err)
		got := a.AppendJSON(nil, func(path string) string { return "/" + path })
		assert.JSONEq(t, want, string(got), uid)
	}
	a, err := ReadAttributes(bytes.NewReader(nil), TransferSyntax{})
	require.NoError(t, err)
	assert.JSONEq(t, `{"00080005":{"vr":"CS","Value":["ISO_IR 192"]}}`, string(a.AppendJSON(nil, nil)))
}

// A value that is too long to be read is said to be there, and that more is there than could be noted too.
func TestAppendJSON_passed(t *testing.T) {
	ts, _ := LookupTransferSyntax(ExplicitVRLittleEndian)
	huge := Bytes(make([]byte, maxValue+2))
	b, err := Dataset{0x00420011: huge, 0x00400275: Items{{0x00420011: huge}}}.Append(nil, ts)
	require.NoError(t, err)
	a, err := ReadAttributes(bytes.NewReader(b), ts)
	require.NoError(t, err)
	require.False(t, a.Lacks())
	assert.JSONEq(t, `{"00080005":{"vr":"CS","Value":["ISO_IR 192"]},"00400275":{"vr":"SQ","Value":[{"00420011":{"vr":"OB","BulkDataURI":"00400275.1.00420011"}}]},
		"00420011":{"vr":"OB","BulkDataURI":"00420011"}}`, string(a.AppendJSON(nil, func(path string) string { return path })))

	many := Items{}
	for range maxKept / costPerEntry {
		many = append(many, Dataset{})
	}
	b, err = Dataset{0x00400275: many}.Append(nil, ts)
	require.NoError(t, err)
	a, err = ReadAttributes(bytes.NewReader(b), ts)
	require.NoError(t, err)
	require.True(t, a.Lacks())
}

// Whatever is read can be said in the model, which is JSON.
func FuzzAppendJSON(f *testing.F) {
	files, err := filepath.Glob("testdata/pydicom/*.dcm")
	require.NoError(f, err)
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(f, err)
		if len(b) > 132 && len(b) < 64<<10 {
			f.Add(b[132:], true)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, explicit bool) {
		a, _ := ReadAttributes(bytes.NewReader(b), TransferSyntax{ExplicitVR: explicit})
		require.True(t, json.Valid(a.AppendJSON(nil, func(path string) string { return path })))
	})
}
