package picture_test

import (
	"image"
	"image/color"
	"image/draw"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/explain/picture"
)

func sampleTimeline() picture.Timeline {
	frame := image.NewRGBA(image.Rect(0, 0, 320, 240))
	draw.Draw(frame, frame.Rect, image.NewUniform(color.RGBA{200, 80, 60, 255}), image.Point{}, draw.Src)
	t := picture.Timeline{
		Title: "Over time: demo-colon", Remark: "12 of 48 frames analysed", Length: 300,
		Quality: []picture.Stretch{{From: 40, To: 90, Text: "blurred"}, {From: 250, To: 251, Text: "too dark"}},
		Spans:   []picture.Stretch{{From: 5, To: 120, Text: "insertion (estimate) 01:55.0"}},
		Weights: []picture.Point{{At: 10, Value: 0.2}, {At: 100, Value: 0.7}},
	}
	for i, name := range []string{"polyp", "cecum: landmark image"} {
		lane := picture.Lane{Name: name, Threshold: 0.5, Tone: i, Persists: []picture.Stretch{{From: 60, To: 160}}}
		for at := range 100 {
			lane.Points = append(lane.Points, picture.Point{At: 3 * float64(at), Value: float64(at%17) / 17, Discounted: at > 13 && at < 30})
		}
		t.Lanes = append(t.Lanes, lane)
	}
	for at := range 14 {
		t.Marks = append(t.Marks, picture.Mark{At: 100 + 3*float64(at), Caption: []string{"301  01:40.0", "polyp 0.92"}, Frame: frame})
	}
	return t
}

// A timeline has its size, the colours of its frames, and its places: more frames than there is room for are spread, none lies over
// another, and an empty one is a picture too.
func TestTimeline(t *testing.T) {
	all := sampleTimeline()
	dark := all.Draw()
	assert.Equal(t, picture.TimelineWidth, dark.Rect.Dx())
	all.Light = true
	paper := all.Draw()
	assert.Equal(t, color.RGBA{255, 255, 255, 255}, paper.RGBAAt(1, 1))
	frames, inside := 0, false
	for x := range paper.Rect.Dx() {
		is := paper.RGBAAt(x, paper.Rect.Dy()-60) == color.RGBA{200, 80, 60, 255}
		if is && !inside {
			frames++
		}
		inside = is
	}
	assert.Equal(t, picture.MostMarks, frames)
	require.NotPanics(t, func() { picture.Timeline{}.Draw() })
	require.NotPanics(t, func() {
		picture.Timeline{Lanes: []picture.Lane{{Points: []picture.Point{{At: 5, Value: 2}}}}, Marks: []picture.Mark{{At: -1}}}.Draw()
	})
}
