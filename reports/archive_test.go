package reports

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
	"endogate/reports/draft"
)

// TestSignedReport_archive: an archive takes what is signed, into the study, and gives the PDF back as it was.
func TestSignedReport_archive(t *testing.T) {
	o := peers.StartOrthanc(t)
	pdf := []byte("%PDF-1.4\n1 0 obj <</Type /Catalog>> endobj\ntrailer <</Root 1 0 R>>\n%%EOF\n")
	var files []string
	for _, doc := range []draft.Document{document(t, draft.Signed, true), document(t, draft.Amended, true), document(t, draft.Withdrawn, false)} {
		threeD, plain := signedObjects(t, doc)
		paper, err := testBuilder().EncapsulatedPDF(sourceOf(t, endoscopic("1")), doc, pdf)
		require.NoError(t, err)
		for _, object := range []Object{threeD, plain, paper} {
			files = append(files, writeFile(t, object))
		}
	}
	o.Upload(t, files...)
	assert.Equal(t, []string{testStudy}, o.Studies(t), "all of it is in the study")
	assert.Equal(t, len(files), o.Count(t))
	modalities := map[string]int{}
	for _, s := range o.Series(t, testStudy) {
		modalities[s.Modality] += len(s.Instances)
		for _, i := range s.Instances {
			tags := o.Tags(t, i.ID)
			if dicom.UID(i.SOPClassUID) != dicom.EncapsulatedPDFStorage {
				assert.Equal(t, "COMPLETE", tags["CompletionFlag"])
				continue
			}
			response, err := http.Get(o.URL + "/instances/" + i.ID + "/pdf")
			require.NoError(t, err)
			got, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			assert.Equal(t, string(pdf), string(got[:len(pdf)]))
		}
	}
	assert.Equal(t, map[string]int{"SR": 6, "DOC": 3}, modalities)
}
