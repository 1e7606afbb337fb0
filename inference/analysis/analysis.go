package analysis

import (
	"image"
	"time"

	"endogate/dicomnode/dicom"
)

// Role says what a class is good for in a report.
type Role string

// The roles of a class. Only a finding is explained by a map.
const (
	RoleFinding  Role = "finding"
	RoleLandmark Role = "landmark"
	RoleNormal   Role = "normal"
	RoleQuality  Role = "quality"
)

// Class is an output of a network. Site is zero where the manifest has none.
type Class struct {
	Name      string     `json:"name"`
	Role      Role       `json:"role"`
	Threshold float64    `json:"threshold"` // in (0,1]; a probability of at least this much is a finding
	Finding   dicom.Code `json:"finding"`
	Site      dicom.Code `json:"site"`
}

// Seen is the finding that c is with a probability.
func (c Class) Seen(probability float64) Finding {
	return Finding{
		Class: c.Name, Role: c.Role, Probability: probability, Threshold: c.Threshold, Finding: c.Finding, Site: c.Site,
	}
}

// Explanation says how a finding is explained.
type Explanation struct {
	Method string `json:"method"`
	Layer  string `json:"layer"` // "last", or the name of a node or tensor
	// Fallback says in words, in one sentence, why this is another method or layer than was asked for; empty: it is not.
	// Whatever is made of the explanation says so too.
	Fallback string `json:"fallback,omitempty"`
}

// Model names the network that said something, as it was then.
type Model struct {
	Manufacturer string `json:"manufacturer"`
	Name         string `json:"name"`
	Version      string `json:"version"` // changes with every retraining and every change of a threshold
	Digest       string `json:"digest"`  // SHA-256 of the weights, hexadecimal
}

// Span is frames of an instance that follow one another.
type Span struct {
	First    int           `json:"first"` // from 1
	Count    int           `json:"count"`
	Start    time.Duration `json:"start_ns"` // since the first frame of the instance; 0 where frames have no time
	Duration time.Duration `json:"duration_ns"`
}

// Still is the span of one frame, from 1.
func Still(frame int) Span { return Span{First: frame, Count: 1} }

// Frame is the number of the frame where s is one of a still; else 0.
func (s Span) Frame() int {
	if s.Count != 1 {
		return 0
	}
	return s.First
}

// Finding is a class that reached its threshold.
type Finding struct {
	Class       string     `json:"class"`
	Role        Role       `json:"role"`
	Probability float64    `json:"probability"` // 0..1
	Threshold   float64    `json:"threshold"`   // 0..1
	Finding     dicom.Code `json:"finding"`
	Site        dicom.Code `json:"site"`
	// Heatmap is the SOP Instance UID of its heatmap; empty where there is none.
	Heatmap dicom.UID `json:"heatmap"`
	// Sheet is the SOP Instance UID of the sheet of the clip that it is found in; empty where there is none.
	Sheet dicom.UID `json:"sheet,omitempty"`
	// Contours enclose what Outline says: closed polygons of (column, row) in the frame's pixel corners, from 0 to
	// columns and rows.
	Contours [][][2]float64 `json:"contours"`
	Outline  Outline        `json:"outline,omitempty"`
	// Number tells boxes of one class in one frame apart, the most probable first, from 1; 0 where there is one finding of a class.
	Number int `json:"number,omitempty"`
	// Share is the part of the frame that a box or a mask covers, 0..1.
	Share float64 `json:"share,omitempty"`
	// Drawn is the map that heatmap and contours show; nil where there is none.
	Drawn *Drawn `json:"drawn,omitempty"`
}

// Outline says what the contours of a finding enclose.
type Outline string

// The outlines. None is the border of a lesion that somebody has seen.
const (
	HotRegion   Outline = ""     // where a map has at least half of its maximum
	NetworkBox  Outline = "box"  // a box that the network itself gives
	NetworkMask Outline = "mask" // the part of the frame that the network itself takes for the class
)

// MaxDrawn is how many rows and columns of a map are kept beside its picture: as many as the layers have that gateways
// explain. Maps of pixels have more.
const MaxDrawn = 32

// Drawn is a map as it was drawn over a frame.
type Drawn struct {
	Explanation
	Region *Explanation `json:"region,omitempty"` // of the contours, where it is another one
	Crop   [4]int       `json:"crop"`             // left, top, right, bottom in the frame's pixels: where the map lies
	Masked [][4]int     `json:"masked,omitempty"` // of the frame, what the network did not see
	Width  int          `json:"width,omitempty"`  // of the map; 0 where it is too large to be kept
	Height int          `json:"height,omitempty"`
	Values []byte       `json:"values,omitempty"` // row by row, 255 is the maximum
}

// Edges are left, top, right and bottom of r.
func Edges(r image.Rectangle) [4]int { return [4]int{r.Min.X, r.Min.Y, r.Max.X, r.Max.Y} }

// Sample is what a model sees at once: the frames of a span, decoded.
type Sample struct {
	Span   Span
	Frames []*image.RGBA // of one size
	Pose
	Numbers  []int     // of Frames in their instance, where they do not follow one another; nil where they do
	Prepared *Prepared // in place of Frames: what the model's preparation made of the first
	Note     string    // what is wrong with the frames all the same
}

// Number is that of the i-th of Frames, from 0, in its instance.
func (s Sample) Number(i int) int {
	if s.Numbers != nil {
		return s.Numbers[i]
	}
	return s.Span.First + i
}

// Prepared is a frame as a network takes it, but for normalisation.
type Prepared struct {
	Geometry Geometry
	Pixels   []uint8 // of the size of the input, row by row as RGB
}

// Result is what a model says about one span.
type Result struct {
	Span     Span               `json:"span"`
	Rows     int                `json:"rows"` // of a source frame, pixels
	Columns  int                `json:"columns"`
	Peak     int                `json:"peak,omitempty"` // of a span of several frames, the one that counts most, which maps are of
	Scores   map[string]float64 `json:"scores"`         // probability by class, 0..1
	Findings []Finding          `json:"findings"`       // in the order of the model's classes
	Notes    []string           `json:"notes"`          // what a reader should know, such as why there is no heatmap
}

// Shown is the frame that maps are of.
func (r Result) Shown() int {
	if r.Peak > 0 {
		return r.Peak
	}
	return r.Span.First
}

// Map is what speaks for a class in a sample, in the values and the size of the layer that was explained.
type Map struct {
	Class  string `json:"class"`            // of one of the findings
	Number int    `json:"number,omitempty"` // as that finding's
	Explanation
	Wished bool      `json:"wished"` // to be shown in place of the model's own
	Width  int       `json:"width"`
	Height int       `json:"height"`
	Values []float32 `json:"-"` // row by row
	Extent Extent    `json:"extent,omitzero"`
}

// Extent is the part of the network's input that a map covers, as fractions of its height and width, which can reach beyond it;
// zero is all of it.
type Extent struct {
	Top    float64 `json:"top"`
	Left   float64 `json:"left"`
	Bottom float64 `json:"bottom"`
	Right  float64 `json:"right"`
}

// Part is a result with what a picture of it takes besides the source. Findings have no heatmap yet, and no contours but those of
// boxes and masks: whoever has the source makes them of the maps.
type Part struct {
	Result   Result   `json:"result"`
	Geometry Geometry `json:"geometry"`
	Maps     []Map    `json:"maps"` // of each finding to explain: the model's own, then those that were wished
	Quality  *Quality `json:"quality,omitempty"`

	// Embedding and Clip are of a video under way, by a model that looks across time: what its encoder makes of the frame, and what it
	// says of the clip that begins with it.
	Embedding []float32          `json:"embedding,omitempty"`
	Clip      map[string]float64 `json:"clip,omitempty"`
}

// Quality is how well a frame of a video can be seen.
type Quality struct {
	Sharpness float64 `json:"sharpness"`
	Poor      string  `json:"poor,omitempty"` // in a word or two, why the frame is discounted; "" where it counts
}

// Analysis is all that a model says about an instance, without a word of whose it is.
type Analysis struct {
	Model Model  `json:"model"`
	Parts []Part `json:"parts"` // in the order of their spans
	// NotAnalysed says why the instance, or which of its frames and why, was not analysed; or it is "".
	NotAnalysed string `json:"not_analysed"`
	// Moving is what is said of a video as a whole; nil of what is none.
	Moving *Moving `json:"moving,omitempty"`
	// Sheets are of clips of a video that were explained.
	Sheets []Sheet `json:"sheets,omitempty"`
}

// Sheet is a clip that was explained for a class: how much its frames count, and where in each.
type Sheet struct {
	Class       string  `json:"class"`
	Probability float64 `json:"probability"` // of the clip
	First       int     `json:"first"`       // frame
	Last        int     `json:"last"`
	Frames      int     `json:"frames"` // that the clip has
	By          string  `json:"by"`     // what tells how much they count, in words
	Explanation
	Moments []SheetFrame `json:"moments"` // the frames that count most, in their order
}

// SheetFrame is a frame of a sheet.
type SheetFrame struct {
	Frame  int     `json:"frame"`
	At     float64 `json:"time_s"` // since the first of the video
	Counts float64 `json:"counts"`
	Map    *Map    `json:"map,omitempty"` // nil: none is made
}
