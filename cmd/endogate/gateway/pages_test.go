package gateway

import (
	"context"
	"encoding/json"
	"image"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/reports/draft"
	"endogate/reports/pdf"
)

// TestPages_viewer finds in the PDF the links that reports.viewer asks for.
func TestPages_viewer(t *testing.T) {
	text, err := os.ReadFile("../../../testdata/drafts/decided.json")
	require.NoError(t, err)
	var doc draft.Document
	require.NoError(t, json.Unmarshal(text, &doc))
	require.NotEmpty(t, doc.ShownImages())
	study, instance := string(doc.Study), string(doc.ShownImages()[0].Frame.Instance.SOPInstanceUID)
	fonts, err := pdf.OpenFonts("")
	require.NoError(t, err)
	templates, err := draft.Load("")
	require.NoError(t, err)
	for viewer, want := range map[string][]string{
		"":                                      nil,
		"https://viewer.example/?study={study}": {"https://viewer.example/?study=" + study},
		"http://pacs:8042/{study}#{instance}":   {"http://pacs:8042/" + study + "#" + instance}, // once: all key images are of one instance
	} {
		pages := Pages{Fonts: fonts, Templates: templates, Viewer: viewer, Frame: func(context.Context, dicom.UID, int) (image.Image, error) {
			return nil, pdf.ErrNoPicture
		}}
		b, err := pages.Render(t.Context(), doc)
		require.NoError(t, err)
		var got []string
		for _, m := range regexp.MustCompile(`/S\s*/URI\s*/URI\s*\(([^)]*)\)`).FindAllSubmatch(b, -1) {
			got = append(got, string(m[1]))
		}
		require.Equal(t, want, got, viewer)
	}
}
