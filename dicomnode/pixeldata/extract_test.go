package pixeldata

import (
	"bytes"
	"testing"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// That an extract decodes to the same frames every test of decoding holds; here is what it leaves out.
func TestExtract_leavesOutWhoseItIs(t *testing.T) {
	for _, syntax := range []dicom.UID{
		dicom.ExplicitVRLittleEndian, dicom.ImplicitVRLittleEndian, dicom.ExplicitVRBigEndian, dicom.DeflatedExplicitVRLittleEndian,
		dicom.RLELossless, dicom.JPEGBaseline8Bit,
	} {
		t.Run(string(syntax), func(t *testing.T) {
			content, header := dicomtest.Endoscopic(dicomtest.Options{TransferSyntax: syntax, Frames: 3, More: dicom.Dataset{
				0x00204000: dicom.Text{"Yamada, seen by Dr. Who."},
				0xFFFCFFFC: dicom.Bytes("Yamada behind the pixels"),
			}})
			ts, _ := dicom.LookupTransferSyntax(syntax)
			i, err := Open(bytes.NewReader(content), ts, Options{})
			require.NoError(t, err)
			e, err := i.Extract()
			require.NoError(t, err)
			var b bytes.Buffer
			_, err = e.WriteTo(&b)
			require.NoError(t, err)
			attributes, err := dicom.ReadAttributes(bytes.NewReader(b.Bytes()), e.TransferSyntax)
			require.NoError(t, err)
			for tag := range attributes.Tags() {
				assert.EqualValues(t, 0x0028, tag.Group(), "%v", tag)
			}
			for _, secret := range []string{
				"Yamada", header.PatientID, string(header.StudyInstanceUID), string(header.SOPInstanceUID), header.AccessionNumber,
			} {
				require.NotEmpty(t, secret)
				assert.NotContains(t, b.String(), secret)
			}
			images, err := framesOf(t, b.Bytes(), e.TransferSyntax, Options{})
			require.NoError(t, err)
			assert.Len(t, images, 3)
		})
	}
}
