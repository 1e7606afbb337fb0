package gateway

import (
	"context"
	"errors"
	"fmt"
	"image"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/explain/picture"
	"endogate/inference/analysis"
	"endogate/reports/draft"
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
		language := map[bool]string{true: "nb"}[row.paper]
		lines := timelines{classes: func(string) []analysis.Class { return nil }, frames: func(_ context.Context, _ dicom.UID, numbers []int, take func(int, image.Image, error) error) error {
			return take(numbers[0], nil, row.err)
		}}
		marks, err := lines.marks(t.Context(), "1.2", ledger.Video{Moving: &analysis.Moving{KeyFrames: []analysis.KeyFrame{{Frame: 3, Class: "polyp"}}}}, language)
		assert.Equal(t, row.want, err, row.name)
		if row.want == nil {
			assert.Len(t, marks, 1, row.name)
			assert.Nil(t, marks[0].Frame, row.name)
		}
	}
}

// On paper a timeline says everything in the language of the report.
func TestTimelines_language(t *testing.T) {
	words, err := draft.Load("")
	require.NoError(t, err)
	lines := timelines{words: words, classes: func(string) []analysis.Class {
		return []analysis.Class{{Name: "polyp", Role: analysis.RoleFinding, Threshold: 0.5, Finding: dicom.Code{Value: "68496003", Scheme: "SCT", Meaning: "Polyp"}}}
	}}
	v := ledger.Video{Model: "demo", Moving: &analysis.Moving{
		Frames: 9, Analysed: 4, Discounted: 1, Poor: []analysis.Stretch{{Why: "blurred"}}, Course: &analysis.Course{Insertion: &analysis.Estimate{Seconds: 61}},
	}}
	de := lines.line(v, nil, "de")
	assert.Equal(t, "Im zeitlichen Verlauf: demo", de.Title)
	assert.Equal(t, "4 von 9 Einzelbildern analysiert, 1 nicht gezählt. Bänder: wo eine Klasse anhält. Hohl: nicht gezählt.", de.Remark)
	assert.Equal(t, "unscharf", de.Quality[0].Text)
	assert.Equal(t, "Einführen (Schätzung) 01:01.0", de.Spans[0].Text)
	assert.Equal(t, "KI, nicht überprüft; nicht zur Primärdiagnostik", de.Words.Unverified)
	assert.Equal(t, picture.English, lines.line(v, nil, "").Words, "on a screen")
	for _, language := range words.Languages() {
		drawn := lines.line(v, nil, language)
		for _, text := range []string{drawn.Title, drawn.Remark, drawn.Words.Unverified, drawn.Words.Threshold, drawn.Words.Weights, drawn.Words.Discounted, drawn.Words.None, drawn.Lanes[0].Name} {
			assert.NotEmpty(t, text, language)
		}
	}
}
