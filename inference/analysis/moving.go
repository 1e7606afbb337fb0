package analysis

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Moving is what is said of a video as a whole: what of it was looked at, and what its frames say together.
type Moving struct {
	Frames     int            `json:"frames"`     // that the video has
	Analysed   int            `json:"analysed"`   // of them; the others were skipped, as Selected says
	Discounted int            `json:"discounted"` // of those analysed: too poor to count
	Why        map[string]int `json:"discounted_why"`
	Selected   string         `json:"selected"` // in words, how frames were chosen
	Rule       string         `json:"rule"`     // in words, how frames were put together
	// Scores are what the video as a whole has of each class, by the rule.
	Scores    map[string]float64 `json:"scores"`
	Segments  []Segment          `json:"segments"`           // by time
	KeyFrames []KeyFrame         `json:"key_frames"`         // by number
	Length    float64            `json:"length_s,omitempty"` // when the last frame begins, in seconds since the first
	Poor      []Stretch          `json:"poor,omitempty"`     // where frames are discounted, by time
	Weights   []Weight           `json:"weights,omitempty"`  // of a model that looks across time: how much frames count, by number
	Course    *Course            `json:"course,omitempty"`   // nil where no frame counts
}

// Stretch is analysed frames that follow one another and are discounted for one reason.
type Stretch struct {
	Why        string  `json:"why"`
	FirstFrame int     `json:"first_frame"`
	LastFrame  int     `json:"last_frame"`
	Start      float64 `json:"start_s"`
	End        float64 `json:"end_s"` // of the last frame
	Frames     int     `json:"frames"`
}

// Weight is how much a frame counts in what a model says of a clip, such as by its attention, 0..1 of all.
type Weight struct {
	Frame int     `json:"frame"`
	At    float64 `json:"time_s"`
	Value float64 `json:"weight"`
}

// Segment is where a class persists.
type Segment struct {
	Class       string  `json:"class"`
	Role        Role    `json:"role"`
	FirstFrame  int     `json:"first_frame"` // that was analysed, as the last and the peak
	LastFrame   int     `json:"last_frame"`
	PeakFrame   int     `json:"peak_frame"`
	Start       float64 `json:"start_s"` // of the first frame, in seconds since the first of the video
	End         float64 `json:"end_s"`   // of the last
	Probability float64 `json:"probability"`
}

// KeyFrame is a frame to look at.
type KeyFrame struct {
	Frame       int     `json:"frame"`
	Class       string  `json:"class"`
	Reason      string  `json:"reason"` // in words
	At          float64 `json:"time_s"`
	Probability float64 `json:"probability"` // of the frame alone
}

// Key reports whether a frame is one to look at for a class.
func (m *Moving) Key(frame int, class string) bool {
	return slices.ContainsFunc(m.KeyFrames, func(k KeyFrame) bool { return k.Frame == frame && k.Class == class })
}

// Within reports whether a class persists where a frame is.
func (m *Moving) Within(frame int, class string) bool {
	return slices.ContainsFunc(m.Segments, func(s Segment) bool { return s.Class == class && s.FirstFrame <= frame && frame <= s.LastFrame })
}

// Counted says in words how many frames were analysed, skipped and discounted, and why.
func (m *Moving) Counted() string {
	text := fmt.Sprintf("%d of %d frames analysed (%s), %d skipped, %d discounted", m.Analysed, m.Frames, m.Selected, m.Frames-m.Analysed, m.Discounted)
	var why []string
	for reason, n := range m.Why {
		why = append(why, fmt.Sprintf("%d %s", n, reason))
	}
	if slices.Sort(why); len(why) > 0 {
		text += ": " + strings.Join(why, ", ")
	}
	return text
}

// String says in words where a class persists.
func (s Segment) String() string {
	return fmt.Sprintf("%s to %s (frames %d to %d, peak frame %d), probability %.2f", Clock(s.Start), Clock(s.End), s.FirstFrame, s.LastFrame, s.PeakFrame, s.Probability)
}

// Clock writes seconds as a video's player shows them.
func Clock(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second)).Round(100 * time.Millisecond)
	return fmt.Sprintf("%02d:%04.1f", int(d.Minutes()), (d % time.Minute).Seconds())
}

// Bounds of what a video has.
const (
	maxSegments  = 10_000
	maxKeyFrames = 10_000
)

// validate says what is wrong with m.
func (m *Moving) validate() error {
	if m == nil {
		return nil
	}
	if m.Frames < 1 || m.Frames > maxCount || m.Analysed < 0 || m.Analysed > m.Frames || m.Discounted < 0 || m.Discounted > m.Analysed ||
		len(m.Segments) > maxSegments || len(m.KeyFrames) > maxKeyFrames {
		return errors.New("a video with counts that it cannot have")
	}
	for _, s := range m.Segments {
		if s.FirstFrame < 1 || s.PeakFrame < s.FirstFrame || s.LastFrame < s.PeakFrame || s.LastFrame > m.Frames || !(s.Start >= 0 && s.End >= s.Start) || !isProbability(s.Probability) {
			return fmt.Errorf("a segment %+v", s)
		}
	}
	if !(m.Length >= 0) || len(m.Poor) > maxSegments || len(m.Weights) > maxKeyFrames {
		return errors.New("a video with a length, stretches or weights that it cannot have")
	}
	for _, p := range m.Poor {
		if p.FirstFrame < 1 || p.LastFrame < p.FirstFrame || p.LastFrame > m.Frames || p.Frames < 1 || !(p.Start >= 0 && p.End >= p.Start) {
			return fmt.Errorf("a stretch %+v", p)
		}
	}
	for _, w := range m.Weights {
		if w.Frame < 1 || w.Frame > m.Frames || !(w.At >= 0) || !isProbability(w.Value) {
			return fmt.Errorf("a weight %+v", w)
		}
	}
	for _, k := range m.KeyFrames {
		if k.Frame < 1 || k.Frame > m.Frames || !(k.At >= 0) || !isProbability(k.Probability) {
			return fmt.Errorf("a key frame %+v", k)
		}
	}
	return m.Course.validate(m.Frames)
}
