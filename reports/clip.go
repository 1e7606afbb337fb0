package reports

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"slices"
	"strconv"
	"strings"

	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
	"endogate/explain/picture"
	"endogate/inference/analysis"
)

// MostClipFrames is how many frames a clip has at most: viewers take more of them for a video that they do not play.
const MostClipFrames = 89

// clipQuality is that of the JPEG streams of a clip: letters stay sharp, and mucosa shows no blocks.
const clipQuality = 90

// Clip is a multi-frame picture of the frames around a finding in a video, each with its map and a legend below it. It is made frame by
// frame, so that none is kept but as it is encoded.
type Clip struct {
	b      *Builder
	about  Heatmap
	rate   float64 // frames per second
	bottom int     // row below the legend
	frames encapsulated
	from   []int // frames of the source
	raw    int   // bytes of the frames, before they are encoded
	size   image.Point
}

// ClipFrame is a frame of a clip.
type ClipFrame struct {
	Number      int         // of the source, from 1
	At          float64     // seconds since the first of the source
	Overlay     *image.RGBA // with its map, or the frame as it is where it has none
	Probability float64     // of the class in it
	Note        string      // why it has no map; "" where it has one
	Masked      bool        // part of it is hatched
}

// Clip begins a clip about a finding, as the heatmap of its peak is, at so many frames per second. Pixels and Overlay of the heatmap are
// not looked at.
func (b *Builder) Clip(about Heatmap, rate float64) (*Clip, error) {
	if rate <= 0 || rate > 1000 {
		return nil, fmt.Errorf("reports: clip: %g frames per second", rate)
	}
	return &Clip{b: b, about: about, rate: rate}, about.Algorithm.Validate()
}

// Add adds a frame behind those before it, of their size.
func (c *Clip) Add(f ClipFrame) error {
	if len(c.frames) == MostClipFrames {
		return fmt.Errorf("reports: clip: more than %d frames", MostClipFrames)
	}
	h := c.about
	h.Probability, h.Masked = f.Probability, f.Masked
	h = h.discreet()
	words := h.words()
	words.Note = f.Note
	words.Remark = strings.TrimSuffix(fmt.Sprintf("frame %d, %s; %s", f.Number, analysis.Clock(f.At), words.Remark), "; ")
	if c.bottom == 0 {
		c.size, c.bottom = f.Overlay.Rect.Size(), picture.LegendHeight(f.Overlay.Rect.Size(), words)
	}
	if f.Overlay.Rect.Size() != c.size {
		return fmt.Errorf("reports: clip: a frame of %v, the others of %v", f.Overlay.Rect.Size(), c.size)
	}
	drawn := picture.LegendTo(f.Overlay, words, c.bottom)
	var stream bytes.Buffer
	if err := jpeg.Encode(&stream, drawn, &jpeg.Options{Quality: clipQuality}); err != nil {
		return fmt.Errorf("reports: clip: %w", err)
	}
	c.frames, c.from, c.raw = append(c.frames, stream.Bytes()), append(c.from, f.Number), c.raw+3*drawn.Rect.Dx()*drawn.Rect.Dy()
	return nil
}

// Object makes the Multi-frame True Color Secondary Capture (PS3.3 A.8.5) of the frames.
func (c *Clip) Object() (Object, error) {
	if len(c.frames) == 0 {
		return Object{}, fmt.Errorf("reports: clip: it has no frames")
	}
	return finish(c.dataset(), nil)
}

// instance names the clip: what tells it from others is what tells the heatmap of its peak from others.
func (c *Clip) instance() dicom.SOPInstance {
	h, source := c.about, c.about.Source.instance()
	return dicom.SOPInstance{
		SOPClassUID: dicom.MultiFrameTrueColorSecondaryCapture,
		SOPInstanceUID: dicom.DerivedUID("inst", string(dicom.MultiFrameTrueColorSecondaryCapture), string(source.SOPInstanceUID),
			strconv.Itoa(h.Frame), h.Algorithm.Name, h.Algorithm.Version, h.Algorithm.Digest, purposeOf(h.Algorithm.Explain), h.question(), strconv.Itoa(h.Revision)),
		SeriesInstanceUID: seriesUID(source.StudyInstanceUID, dicom.MultiFrameTrueColorSecondaryCapture, purposeOf(h.Algorithm.Explain), h.Algorithm),
		StudyInstanceUID:  source.StudyInstanceUID,
	}
}

func (c *Clip) dataset() dataset {
	ds, h := dataset{}, c.about
	c.b.identify(ds, h.Source, c.instance(), h.At, contributor{h.Algorithm.Model, Explained(h.Algorithm.Explain)})
	said := h.discreet()
	h.describe(ds)
	ds.set(tag.SeriesNumber, number(h.Algorithm.series(seriesClip)))
	ds.set(tag.SeriesDescription, unique("AI heatmap clips "+h.Algorithm.Name+" "+h.Algorithm.Version))
	said.derivation(ds)
	text := fmt.Sprintf("%d frames from %d to %d: %s", len(c.from), c.from[0], c.from[len(c.from)-1], ds.text(tag.DerivationDescription))
	ds.set(tag.DerivationDescription, clip(text, 1024))
	for _, source := range ds.sequence(tag.SourceImageSequence) {
		if source.has(tag.ReferencedFrameNumber) {
			var numbers []string
			for _, n := range slices.Compact(slices.Clone(c.from)) {
				numbers = append(numbers, strconv.Itoa(n))
			}
			source.set(tag.ReferencedFrameNumber, numbers...)
		}
	}
	ds.set(tag.ImageComments, clip(fmt.Sprintf("AI, not verified; not for primary diagnosis. %s, at most %s. The legend stands below each frame.", said.words().Class, said.words().Probability), 10240))

	size := image.Pt(max(c.size.X, picture.LegendWidth(c.size.X)), c.bottom)
	ds.ints(tag.SamplesPerPixel, 3)
	ds.set(tag.PhotometricInterpretation, "YBR_FULL_422") // PS3.5 8.2.1
	ds.ints(tag.PlanarConfiguration, 0)
	ds.ints(tag.Rows, size.Y)
	ds.ints(tag.Columns, size.X)
	ds.ints(tag.BitsAllocated, 8)
	ds.ints(tag.BitsStored, 8)
	ds.ints(tag.HighBit, 7)
	ds.ints(tag.PixelRepresentation, 0)
	ds[tag.PixelData] = c.frames
	ds.set(tag.NumberOfFrames, strconv.Itoa(len(c.frames)))
	ds.set(tag.FrameTime, decimal(1000/c.rate, 3))
	ds[tag.FrameIncrementPointer] = []tag.Tag{tag.FrameTime}
	ds.set(tag.CineRate, strconv.Itoa(max(1, int(c.rate+0.5))))

	encodedBytes := 0
	for _, f := range c.frames {
		encodedBytes += len(f)
	}
	h.Source.lossy(ds) // and once more here
	ds.set(tag.LossyImageCompression, "01")
	ratios, methods := ds.strings(tag.LossyImageCompressionRatio), ds.strings(tag.LossyImageCompressionMethod)
	ds.set(tag.LossyImageCompressionRatio, append(slices.Clone(ratios), decimal(max(1, float64(c.raw)/float64(max(encodedBytes, 1))), 2))...)
	if delete(ds, tag.LossyImageCompressionMethod); len(methods) == len(ratios) {
		ds.set(tag.LossyImageCompressionMethod, append(slices.Clone(methods), "ISO_10918_1")...)
	}

	ds.set(tag.BurnedInAnnotation, "YES")
	ds.set(tag.RecognizableVisualFeatures, "NO")
	ds.set(tag.ContentQualification, "RESEARCH")
	return ds
}
