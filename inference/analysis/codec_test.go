package analysis

import (
	"bytes"
	"encoding/binary"
	"image"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"endogate/dicomnode/dicom"
)

// said is an analysis with something of everything.
func said() Analysis {
	finding := Class{
		Name: "polyp", Role: RoleFinding, Threshold: 0.5,
		Finding: dicom.Code{Value: "68496003", Scheme: "SCT", Meaning: "Polyp of colon"}, Site: dicom.Code{Value: "71854001", Scheme: "SCT", Meaning: "Colon"},
	}.Seen(0.75)
	g := Geometry{Rows: 20, Columns: 30, Crop: image.Rect(2, 3, 28, 19), Masked: []image.Rectangle{image.Rect(2, 10, 5, 19)}}
	result := Result{
		Span: Still(1), Rows: 20, Columns: 30, Scores: map[string]float64{"polyp": 0.75, "normal": 0.25},
		Findings: []Finding{finding}, Notes: []string{"a", "b"},
	}
	box := finding
	box.Outline, box.Number, box.Share = NetworkBox, 1, 0.04
	box.Contours = [][][2]float64{{{3, 4}, {9, 4}, {9, 8}, {3, 8}, {3, 4}}}
	second := box
	second.Number, second.Probability = 2, 0.5
	mask := box
	mask.Class, mask.Outline, mask.Number = "ulcer", NetworkMask, 0
	clip := result
	clip.Span = Span{First: 2, Count: 16, Start: 1e9, Duration: 5e8}
	return Analysis{
		Model: Model{Manufacturer: "endogate", Name: "demo", Version: "1.0", Digest: strings.Repeat("ab", 32)},
		Parts: []Part{
			{Result: result, Geometry: g, Maps: []Map{
				{Class: "polyp", Explanation: Explanation{Method: "gradcam", Layer: "last"}, Width: 2, Height: 1, Values: []float32{0, 1.5}, Extent: Extent{-0.25, 0, 1.25, 0.5}},
				{Class: "polyp", Explanation: Explanation{Method: "lrp-epsilon"}, Wished: true, Width: 1, Height: 3, Values: []float32{-1, 2, float32(math.Inf(1))}},
			}},
			{Result: clip, Geometry: g},
			{Result: Result{Span: Still(30), Rows: 20, Columns: 30, Findings: []Finding{box, second, mask}}, Geometry: g, Maps: []Map{
				{Class: "polyp", Number: 2, Explanation: Explanation{Method: "gradcam", Layer: "last"}, Width: 1, Height: 1, Values: []float32{1}},
			}},
		},
		NotAnalysed: "only the first 17 frames are analysed",
	}
}

// watched is an analysis of a video of which clips were explained.
func watched() Analysis {
	a := said()
	a.Parts[1].Result.Span = Still(2)
	a.Moving = &Moving{Frames: 40, Analysed: 3, Segments: []Segment{{Class: "polyp", Role: RoleFinding, FirstFrame: 1, LastFrame: 30, PeakFrame: 2, End: 1.5, Probability: 0.75}}}
	a.Sheets = []Sheet{{
		Class: "polyp", Probability: 0.75, First: 1, Last: 30, Frames: 3, By: "attention", Explanation: Explanation{Method: "gradcam", Layer: "last"},
		Moments: []SheetFrame{{Frame: 1, Counts: 0.25}, {Frame: 30, At: 1.5, Counts: 0.5, Map: &Map{Class: "polyp", Width: 2, Height: 1, Values: []float32{0.5, 2}}}},
	}}
	return a
}

func TestEncode_refusesSheets(t *testing.T) {
	for name, change := range map[string]func(*Analysis){
		"sheets that it cannot have":    func(a *Analysis) { a.Moving = nil },
		"it is of frames 3 to 2":        func(a *Analysis) { a.Sheets[0].First, a.Sheets[0].Last = 3, 2 },
		"it shows frame 3":              func(a *Analysis) { a.Sheets[0].Moments[0].Frame = 3 }, // of which nothing is said
		"it shows frame 30":             func(a *Analysis) { a.Sheets[0].Last = 29 },
		"it shows frame 1":              func(a *Analysis) { a.Sheets[0].Moments[0].Counts = math.NaN() },
		"a map of 0 x 1":                func(a *Analysis) { m := a.Sheets[0].Moments[1].Map; m.Width, m.Values = 0, nil },
		"a map of 2 x 1 has 1 values":   func(a *Analysis) { m := a.Sheets[0].Moments[1].Map; m.Values = m.Values[:1] },
		"it is of frames 1 to 30, 0 of": func(a *Analysis) { a.Sheets[0].Frames = 0 },
		"frame 30: the video has 29":    func(a *Analysis) { a.Moving.Frames, a.Moving.Segments = 29, nil },
	} {
		a := watched()
		change(&a)
		require.ErrorContains(t, a.Encode(io.Discard), name)
	}
}

func encoded(t testing.TB, a Analysis) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, a.Encode(&b))
	return b.Bytes()
}

func TestDecode(t *testing.T) {
	for _, a := range []Analysis{said(), watched(), {NotAnalysed: "video"}, {}} {
		sent := encoded(t, a)
		got, err := Decode(iotest.OneByteReader(bytes.NewReader(sent)))
		require.NoError(t, err)
		require.Equal(t, a, got)
		require.Equal(t, sent, encoded(t, got), "the same again")
	}
}

func TestDecode_anyLayer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := said()
		m := &a.Parts[0].Maps[0]
		m.Width, m.Height = rapid.IntRange(1, 200).Draw(t, "width"), rapid.IntRange(1, 200).Draw(t, "height")
		m.Values = rapid.SliceOfN(rapid.Float32(), m.Width*m.Height, m.Width*m.Height).Draw(t, "values")
		var b bytes.Buffer
		require.NoError(t, a.Encode(&b))
		got, err := Decode(&b)
		require.NoError(t, err)
		require.Equal(t, a, got)
	})
}

func TestDecode_refuses(t *testing.T) {
	good := encoded(t, said())
	for n := range good {
		_, err := Decode(bytes.NewReader(good[:n]))
		require.ErrorIs(t, err, ErrFormat, "cut off at %d", n)
	}
	for name, b := range map[string][]byte{
		"more":            append(bytes.Clone(good), 0),
		"another kind":    append([]byte("something"), good...),
		"a later version": append([]byte("endoan2\n"), good[8:]...),
		"no JSON":         append(binary.LittleEndian.AppendUint32([]byte(magic), 2), "{!"...),
		"a long text":     binary.LittleEndian.AppendUint32([]byte(magic), math.MaxUint32),
	} {
		_, err := Decode(bytes.NewReader(b))
		require.ErrorIs(t, err, ErrFormat, name)
	}
	_, err := Decode(iotest.ErrReader(io.ErrClosedPipe))
	require.ErrorIs(t, err, io.ErrClosedPipe)
	require.NotErrorIs(t, err, ErrFormat, "the reader's own")
}

// A length that nothing follows takes no memory.
func TestDecode_lengthsAlone(t *testing.T) {
	a := said()
	m := &a.Parts[0].Maps[0]
	m.Width, m.Height = 5000, 5000
	m.Values = make([]float32, 5000*5000)
	sent := encoded(t, a)
	sent = sent[:len(sent)-4*len(m.Values)]
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Decode(bytes.NewReader(sent))
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, ErrFormat)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
}

func TestEncode_refuses(t *testing.T) {
	for name, change := range map[string]func(*Part){
		"it is about":         func(p *Part) { p.Result.Span.First = 0 },
		"{First:1 Count:0":    func(p *Part) { p.Result.Span.Count = 0 },
		"Start:-1ns":          func(p *Part) { p.Result.Span.Start = -1 },
		"geometry of 30 x 20": func(p *Part) { p.Result.Rows = 7 },
		"a frame of 0 x 20":   func(p *Part) { p.Result.Columns, p.Geometry.Columns = 0, 0 },
		"65535 x 65535": func(p *Part) {
			p.Result.Columns, p.Result.Rows = 65535, 65535
			p.Geometry.Columns, p.Geometry.Rows = 65535, 65535
		},
		"crop (0,0)-(31,20)": func(p *Part) { p.Geometry.Crop = image.Rect(0, 0, 31, 20) },
		"crop (5,5)-(5,5)":   func(p *Part) { p.Geometry.Crop = image.Rect(5, 5, 5, 5) },
		"box (0,0)-(3,21)":   func(p *Part) { p.Geometry.Masked = []image.Rectangle{image.Rect(0, 0, 3, 21)} },
		"box (9,0)-(3,5)":    func(p *Part) { p.Geometry.Masked = []image.Rectangle{{Min: image.Pt(9, 0), Max: image.Pt(3, 5)}} },
		"a score of 2":       func(p *Part) { p.Result.Scores = map[string]float64{"polyp": 2} },
		"a score of NaN":     func(p *Part) { p.Result.Scores = map[string]float64{"polyp": math.NaN()} },
		"a finding that":     func(p *Part) { p.Result.Findings[0].Heatmap = "1.2" },
		"no probability":     func(p *Part) { p.Result.Findings[0].Probability = -1 },
		"a map of a class":   func(p *Part) { p.Maps[0].Class = "cecum" },
		"a map of 0 x 1":     func(p *Part) { p.Maps[0].Width, p.Maps[0].Values = 0, nil },
		"2 x 1 has 1 values": func(p *Part) { p.Maps[0].Values = p.Maps[0].Values[:1] },
	} {
		a := said()
		change(&a.Parts[0])
		require.ErrorContains(t, a.Encode(io.Discard), name)
	}
	for name, change := range map[string]func(*Part){
		"twice there":                  func(p *Part) { p.Result.Findings[1].Number = 1 },
		"an outline of another kind":   func(p *Part) { p.Result.Findings[0].Outline = "circle" },
		"a place that it cannot have":  func(p *Part) { p.Result.Findings[2].Outline = HotRegion },
		"a place that it cannot":       func(p *Part) { p.Result.Findings[0].Contours = nil },
		"a finding with a place":       func(p *Part) { p.Result.Findings[0].Share = 1.5 },
		"with a place that":            func(p *Part) { p.Result.Findings[2].Number = 3 },
		"a finding beside the frame":   func(p *Part) { p.Result.Findings[0].Contours[0][0][0] = 31 },
		"a map of a class that was no": func(p *Part) { p.Maps[0].Number = 3 },
	} {
		a := said()
		change(&a.Parts[2])
		require.ErrorContains(t, a.Encode(io.Discard), name)
	}
	a := said()
	a.Parts[1].Result.Span.First = 1
	require.ErrorContains(t, a.Encode(io.Discard), "part of frame 1: it is about", "two parts of one frame")
}

func FuzzDecode(f *testing.F) {
	f.Add(encoded(f, said()))
	f.Add(encoded(f, Analysis{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := Decode(bytes.NewReader(b))
		if err != nil {
			require.ErrorIs(t, err, ErrFormat)
			return
		}
		again, err := Decode(bytes.NewReader(encoded(t, a)))
		require.NoError(t, err)
		require.Equal(t, encoded(t, a), encoded(t, again))
	})
}
