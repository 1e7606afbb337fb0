package gateway

import (
	"context"
	"errors"
	"fmt"
	"image"
	"testing"

	"github.com/stretchr/testify/assert"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
	"endogate/reports/pdf"
)

// What keeps a frame back for a while leaves its place empty on the page, and is no reason to print it so.
func TestTimelines_marks(t *testing.T) {
	full := errors.New("the disk is full")
	for _, row := range []struct {
		name  string
		err   error
		paper bool
		want  error
	}{
		{"on the page", full, false, nil}, {"on paper", full, true, full}, {"gone", fmt.Errorf("%w: erased", pdf.ErrNoPicture), true, nil},
	} {
		lines := timelines{frame: func(context.Context, dicom.UID, int) (image.Image, error) { return nil, row.err }}
		marks, err := lines.marks(t.Context(), "1.2", []analysis.KeyFrame{{Frame: 3, Class: "polyp"}}, row.paper)
		assert.Equal(t, row.want, err, row.name)
		if row.want == nil {
			assert.Len(t, marks, 1, row.name)
			assert.Nil(t, marks[0].Frame, row.name)
		}
	}
}
