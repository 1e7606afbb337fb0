package dicomtest_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
)

var syntaxes = []dicom.UID{
	dicom.ImplicitVRLittleEndian, dicom.ExplicitVRLittleEndian, dicom.ExplicitVRBigEndian,
	dicom.DeflatedExplicitVRLittleEndian, dicom.JPEGBaseline8Bit, dicom.RLELossless,
}

func TestEndoscopic_sameOptionsSameBytes(t *testing.T) {
	for _, ts := range syntaxes {
		a, ha := dicomtest.Endoscopic(dicomtest.Options{TransferSyntax: ts})
		b, hb := dicomtest.Endoscopic(dicomtest.Options{TransferSyntax: ts})
		require.True(t, bytes.Equal(a, b), ts)
		require.Equal(t, ha, hb)
		require.Zero(t, len(a)%2, "a data set has an even length")
	}
	_, h1 := dicomtest.Endoscopic(dicomtest.Options{})
	_, h2 := dicomtest.Endoscopic(dicomtest.Options{Instance: 2})
	require.NotEqual(t, h1.SOPInstanceUID, h2.SOPInstanceUID)
	require.Equal(t, h1.SeriesInstanceUID, h2.SeriesInstanceUID)
}

// DCMTK reads what is built, and decodes its pixels, in every transfer syntax.
func TestEndoscopic_readByDCMTK(t *testing.T) {
	installed.Require(t, "dcmdump", "dcmconv", "dcmdjpeg", "dcmdrle")
	decoder := map[dicom.UID]string{dicom.JPEGBaseline8Bit: "dcmdjpeg", dicom.RLELossless: "dcmdrle"}
	for _, ts := range syntaxes {
		ds, h := dicomtest.Endoscopic(dicomtest.Options{TransferSyntax: ts, Frames: 2})
		file := filepath.Join(t.TempDir(), "ds.dcm")
		var part10 bytes.Buffer
		require.NoError(t, dicom.WriteFileMeta(&part10, dicom.FileMeta{SOPClassUID: h.SOPClassUID, SOPInstanceUID: h.SOPInstanceUID, TransferSyntaxUID: ts}))
		part10.Write(ds)
		require.NoError(t, os.WriteFile(file, part10.Bytes(), 0o600))

		dump, err := exec.Command("dcmdump", "--search", "SOPInstanceUID", "--search", "NumberOfFrames", file).CombinedOutput()
		require.NoError(t, err, string(dump))
		require.Contains(t, string(dump), string(h.SOPInstanceUID), ts)
		require.Contains(t, string(dump), "[2]", ts)
		require.False(t, strings.Contains(string(dump), "W:"), "%s: %s", ts, dump)

		tool := "dcmconv"
		if d := decoder[ts]; d != "" {
			tool = d
		}
		out, err := exec.Command(tool, file, filepath.Join(t.TempDir(), "out.dcm")).CombinedOutput()
		require.NoError(t, err, "%s: %s", ts, out)
	}
}
