package inference

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

// How an examination went: times begin and end with frames that count, the cecum is where it persists, and what is discounted is said
// by stretches.
func TestTemporal_course(t *testing.T) {
	site := dicom.Code{Value: "32713005", Scheme: "SCT", Meaning: "Cecum"}
	classes := []analysis.Class{
		{Name: "cecum", Role: analysis.RoleLandmark, Threshold: 0.5, Site: site}, {Name: "stool", Role: analysis.RoleQuality, Threshold: 0.5},
	}
	frames := make([]watched, 301) // seconds
	for i := range frames {
		frames[i] = watched{number: 1 + 25*i, at: time.Duration(i) * time.Second, scores: map[string]float64{"cecum": 0.1, "stool": 0.1}}
		switch {
		case i < 10 || i > 290:
			frames[i].poor = "out of the body"
		case i >= 100 && i < 120:
			frames[i].scores["cecum"] = 0.9
		case i == 40:
			frames[i].scores["cecum"] = 0.9 // alone: it does not persist
		case i >= 200 && i < 230:
			frames[i].scores["stool"] = 0.8
		case i == 150:
			frames[i].poor = "blurred"
		}
	}
	m := DefaultTemporal().sum(classes, frames)
	c := m.Course
	require.NotNil(t, c)
	assert.Equal(t, []float64{10, 290}, []float64{c.First.At, c.Last.At})
	require.NotNil(t, c.Cecum)
	assert.Equal(t, []any{20, 100.0, 119.0}, []any{c.Cecum.Frames, c.Cecum.First.At, c.Cecum.Last.At})
	assert.InDelta(t, 90, c.Insertion.Seconds, 1e-9)
	assert.InDelta(t, 171, c.Withdrawal.Seconds, 1e-9)
	assert.Contains(t, c.Withdrawal.Computed, "2976", "the frame that it was computed from")
	require.Len(t, c.Preparation, 3, "280 s in parts of two minutes at most")
	flagged, counted := 0, 0
	for _, p := range c.Preparation {
		flagged, counted = flagged+p.Flagged, counted+p.Frames
	}
	assert.Equal(t, []int{30, 280}, []int{flagged, counted})
	assert.Equal(t, 30, c.Preparation[2].Flagged+c.Preparation[1].Flagged)
	require.Len(t, m.Poor, 3)
	assert.Equal(t, analysis.Stretch{Why: "blurred", FirstFrame: 3751, LastFrame: 3751, Start: 150, End: 150, Frames: 1}, m.Poor[1])
	assert.Len(t, c.Words(), 5)
}

// Without an image of the cecum nothing is estimated, and nothing is said of a model that has no such class.
func TestTemporal_courseWithout(t *testing.T) {
	site := dicom.Code{Value: "32713005", Scheme: "SCT"}
	landmark := []analysis.Class{{Name: "polyp", Role: analysis.RoleLandmark, Threshold: 0.5, Site: site}}
	c := DefaultTemporal().sum(landmark, second("010010")).Course
	require.NotNil(t, c.Cecum)
	assert.Zero(t, c.Cecum.Frames)
	assert.Nil(t, c.Insertion)
	assert.Nil(t, c.Withdrawal)
	assert.Contains(t, c.Words()[1], "says nothing of whether it was reached")
	assert.Nil(t, DefaultTemporal().sum(overTime, second("0990")).Course.Cecum)
	assert.Nil(t, DefaultTemporal().sum(overTime, second("xx")).Course, "no frame counts")
}

// A recording that begins or ends with the cecum gives no time for the way that it does not show, and a frame that two classes of the place
// have is counted once.
func TestTemporal_courseOfAPart(t *testing.T) {
	site := dicom.Code{Value: "32713005", Scheme: "SCT"}
	classes := []analysis.Class{{Name: "polyp", Role: analysis.RoleLandmark, Threshold: 0.5, Site: site}, {Name: "valve", Role: analysis.RoleLandmark, Threshold: 0.5, Site: site}}
	for frames, want := range map[string][2]bool{"99900": {false, true}, "00999": {true, false}, "99999": {}} {
		seen := second(frames)
		for i := range seen {
			seen[i].scores["valve"] = seen[i].scores["polyp"]
		}
		c := DefaultTemporal().sum(classes, seen).Course
		require.NotNil(t, c.Cecum)
		assert.Equal(t, strings.Count(frames, "9"), c.Cecum.Frames, frames)
		assert.Equal(t, want, [2]bool{c.Insertion != nil, c.Withdrawal != nil}, frames)
	}
}
