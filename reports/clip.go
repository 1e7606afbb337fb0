package reports

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
	"endogate/explain/picture"
	"endogate/inference/analysis"
)

// MostClipFrames is how many frames a clip has at most: viewers take more of them for a video that they do not play.
const MostClipFrames = 89

// clipQuality is that of the JPEG streams of a clip: letters stay sharp, and mucosa shows no blocks.
const clipQuality = 90

// Clip is a picture that moves, of the frames around a finding in a video, each with its map and a legend below it. It is made frame by
// frame, so that none is kept but as it is encoded.
type Clip struct {
	b       *Builder
	about   Heatmap
	form    ClipForm
	rate    float64 // frames per second
	bottom  int     // row below the legend
	fitted  image.Point
	encoder Encoder
	on      *image.RGBA // the frame before, which is encoded
	scaled  *image.RGBA // the same without its legend, where it is scaled
	from    []int       // frames of the source
	poor    []ClipFrame
	masked  []int
	raw     int // bytes of the frames, before they are encoded
	size    image.Point
}

// ClipForm is what a clip is, as a SOP Instance. The zero value is not one.
type ClipForm struct {
	// Class is Multi-frame True Color Secondary Capture, whose frames are JPEG streams, or Video Endoscopic or Photographic Image, which are H.264.
	Class dicom.UID
	// Encode begins a video of frames of a size, so far apart; for a video.
	Encode func(size image.Point, apart time.Duration) (Encoder, error)
	// Fits reports whether frames of a size can be encoded; larger ones are scaled down. nil: any can.
	Fits func(size image.Point) bool
}

// video reports whether it is one, rather than pictures.
func (f ClipForm) video() bool { return f.Class != dicom.MultiFrameTrueColorSecondaryCapture }

// Encoder makes a stream of the frames of a clip.
type Encoder interface {
	Add(*image.RGBA) error // the picture is the caller's again when it returns
	// Stream ends it; of pictures there is none.
	Stream() ([]byte, error)
}

// ClipFrame is a frame of a clip.
type ClipFrame struct {
	Number      int         // of the source, from 1
	At          float64     // seconds since the first of the source
	Overlay     *image.RGBA // with its map, or the frame as it is where it has none
	Probability float64     // of the class in it
	Note        string      // why it has no map; "" where it has one
	Masked      bool        // part of it is hatched
	Poor        string      // in a word or two, why it was discounted, in place of Note; "" where it counts
}

// Clip begins a clip about a finding, as the heatmap of its peak is, at so many frames per second. Pixels and Overlay of the heatmap are
// not looked at.
func (b *Builder) Clip(about Heatmap, rate float64, form ClipForm) (*Clip, error) {
	if rate <= 0 || rate > 1000 {
		return nil, fmt.Errorf("reports: clip: %g frames per second", rate)
	}
	return &Clip{b: b, about: about, rate: rate, form: form}, about.Algorithm.Validate()
}

// Add adds a frame behind those before it, of their size.
func (c *Clip) Add(f ClipFrame) error {
	if len(c.from) == MostClipFrames {
		return fmt.Errorf("reports: clip: more than %d frames", MostClipFrames)
	}
	words := c.words(f)
	if c.encoder == nil {
		if err := c.begin(f.Overlay.Rect.Size(), words); err != nil {
			return err
		}
	}
	if f.Overlay.Rect.Size() != c.size {
		return fmt.Errorf("reports: clip: a frame of %v, the others of %v", f.Overlay.Rect.Size(), c.size)
	}
	if f.Poor != "" {
		f.Overlay = picture.Crossed(f.Overlay)
		c.poor = append(c.poor, ClipFrame{Number: f.Number, Poor: f.Poor})
	}
	if f.Masked {
		c.masked = append(c.masked, f.Number)
	}
	if c.fitted != c.size {
		c.scaled = picture.Fitted(c.scaled, f.Overlay, c.fitted)
		f.Overlay = c.scaled
	}
	drawn := picture.LegendTo(c.on, f.Overlay, words, c.bottom)
	c.on = drawn
	if err := c.encoder.Add(drawn); err != nil {
		return fmt.Errorf("reports: clip: %w", err)
	}
	c.from, c.raw = append(c.from, f.Number), c.raw+3*drawn.Rect.Dx()*drawn.Rect.Dy()
	return nil
}

// discounted begins what is said of a frame that does not count.
const discounted = "discounted, no map: "

// words are the legend of a frame.
func (c *Clip) words(f ClipFrame) picture.Words {
	h := c.about
	h.Probability, h.Masked = f.Probability, f.Masked
	words := h.discreet().words()
	words.Note = f.Note
	if f.Poor != "" {
		words.Note = discounted + f.Poor
	}
	words.Remark = strings.TrimSuffix(fmt.Sprintf("frame %d, %s; %s", f.Number, analysis.Clock(f.At), words.Remark), "; ")
	return words
}

// begin settles the size of the clip by its first frame.
func (c *Clip) begin(size image.Point, words picture.Words) (err error) {
	c.size, c.fitted = size, size
	words.Note = discounted + strings.Repeat("m", 16) // longer than any reason
	for c.bottom = picture.LegendHeight(c.fitted, words); c.form.Fits != nil && !c.form.Fits(c.drawn()); c.bottom = picture.LegendHeight(c.fitted, words) {
		if c.fitted.X < 64 || c.fitted.Y < 64 {
			return fmt.Errorf("reports: clip: frames of %v cannot be encoded", size)
		}
		c.fitted = image.Pt(c.fitted.X-c.fitted.X/32, c.fitted.Y-c.fitted.Y/32)
	}
	if c.encoder = Encoder(&streams{}); c.form.video() {
		c.encoder, err = c.form.Encode(c.drawn(), c.apart())
	}
	return err
}

// drawn is the size of a frame with its legend.
func (c *Clip) drawn() image.Point { return image.Pt(picture.LegendWidth(c.fitted.X), c.bottom) }

// apart is the time of a frame.
func (c *Clip) apart() time.Duration {
	return time.Duration(float64(time.Second) / c.rate).Round(time.Microsecond)
}

// streams are frames as JPEG streams.
type streams struct{ all encapsulated }

func (s *streams) Add(m *image.RGBA) error {
	var stream bytes.Buffer
	err := jpeg.Encode(&stream, m, &jpeg.Options{Quality: clipQuality})
	s.all = append(s.all, stream.Bytes())
	return err
}

func (s *streams) Stream() ([]byte, error) { return nil, nil }

// Object makes the Multi-frame True Color Secondary Capture (PS3.3 A.8.5), or the Video Endoscopic or Photographic Image (A.32.5, A.32.7), of the frames.
func (c *Clip) Object() (Object, error) {
	if len(c.from) == 0 {
		return Object{}, fmt.Errorf("reports: clip: it has no frames")
	}
	stream, err := c.encoder.Stream()
	if err != nil {
		return Object{}, fmt.Errorf("reports: clip: %w", err)
	}
	return finish(c.dataset(stream), nil)
}

// instance names the clip: what tells it from others is what tells the heatmap of its peak from others.
func (c *Clip) instance() dicom.SOPInstance {
	h, source := c.about, c.about.Source.instance()
	return dicom.SOPInstance{
		SOPClassUID: c.form.Class,
		SOPInstanceUID: dicom.DerivedUID("inst", string(c.form.Class), string(source.SOPInstanceUID),
			strconv.Itoa(h.Frame), h.Algorithm.Name, h.Algorithm.Version, h.Algorithm.Digest, purposeOf(h.Algorithm.Explain), h.question(), strconv.Itoa(h.Revision)),
		SeriesInstanceUID: seriesUID(source.StudyInstanceUID, c.form.Class, purposeOf(h.Algorithm.Explain), h.Algorithm),
		StudyInstanceUID:  source.StudyInstanceUID,
	}
}

func (c *Clip) dataset(stream []byte) dataset {
	ds, h := dataset{}, c.about
	c.b.identify(ds, h.Source, c.instance(), h.At, contributor{h.Algorithm.Model, Explained(h.Algorithm.Explain)})
	said := h.discreet()
	h.describe(ds)
	ds.set(tag.SeriesNumber, number(h.Algorithm.series(seriesClip)))
	ds.set(tag.SeriesDescription, unique("AI heatmap clips "+h.Algorithm.Name+" "+h.Algorithm.Version))
	said.derivation(ds)
	text := fmt.Sprintf("%d frames from %d to %d: %s", len(c.from), c.from[0], c.from[len(c.from)-1], ds.text(tag.DerivationDescription))
	if c.fitted != c.size {
		text += fmt.Sprintf("; frames scaled to %d x %d", c.fitted.X, c.fitted.Y)
	}
	ds.set(tag.DerivationDescription, clip(text, 1024))
	for _, source := range ds.sequence(tag.SourceImageSequence) {
		if source.has(tag.ReferencedFrameNumber) {
			source.set(tag.ReferencedFrameNumber, numbers(slices.Compact(slices.Clone(c.from)))...)
		}
	}
	ds.set(tag.ImageComments, clip(fmt.Sprintf("AI, not verified; not for primary diagnosis. %s, at most %s. The legend stands below each frame.%s",
		said.words().Class, said.words().Probability, c.marks()), 10240))

	size := c.drawn()
	ds.ints(tag.SamplesPerPixel, 3)
	ds.ints(tag.PlanarConfiguration, 0)
	ds.ints(tag.BitsAllocated, 8)
	ds.ints(tag.BitsStored, 8)
	ds.ints(tag.HighBit, 7)
	ds.ints(tag.PixelRepresentation, 0)
	ds.set(tag.NumberOfFrames, strconv.Itoa(len(c.from)))
	ds.set(tag.FrameTime, decimal(float64(c.apart())/float64(time.Millisecond), 3))
	ds[tag.FrameIncrementPointer] = []tag.Tag{tag.FrameTime}
	ds.set(tag.CineRate, strconv.Itoa(max(1, int(c.rate+0.5))))
	method, coded := "ISO_10918_1", len(stream)
	if pictures, ok := c.encoder.(*streams); ok {
		for _, one := range pictures.all {
			coded += len(one)
		}
		ds.set(tag.PhotometricInterpretation, "YBR_FULL_422") // PS3.5 8.2.1
		ds[tag.PixelData] = pictures.all
	} else {
		method, size = "ISO_14496_10", image.Pt(size.X+size.X%2, size.Y+size.Y%2)
		ds.set(tag.PhotometricInterpretation, "YBR_PARTIAL_420") // PS3.5 8.2.7
		ds[tag.PixelData] = movie(stream)
		c.visibleLight(ds)
	}
	ds.ints(tag.Rows, size.Y)
	ds.ints(tag.Columns, size.X)
	h.Source.aspect(ds)

	h.Source.lossy(ds) // and once more here
	ds.set(tag.LossyImageCompression, "01")
	ratios, methods := ds.strings(tag.LossyImageCompressionRatio), ds.strings(tag.LossyImageCompressionMethod)
	ds.set(tag.LossyImageCompressionRatio, append(slices.Clone(ratios), decimal(max(1, float64(c.raw)/float64(max(coded, 1))), 2))...)
	if delete(ds, tag.LossyImageCompressionMethod); len(methods) == len(ratios) {
		ds.set(tag.LossyImageCompressionMethod, append(slices.Clone(methods), method)...)
	}

	ds.set(tag.BurnedInAnnotation, "YES")
	ds.set(tag.RecognizableVisualFeatures, "NO")
	ds.set(tag.ContentQualification, "RESEARCH")
	return ds
}

// visibleLight has ds be a Video Endoscopic or Photographic Image in place of a Secondary Capture: each has a modality of its own (PS3.3
// A.32.5.3, A.32.7.3), and Acquisition Context (C.7.6.14) in place of SC Equipment.
func (c *Clip) visibleLight(ds dataset) {
	if ds.set(tag.Modality, "ES"); c.form.Class == dicom.VideoPhotographicImageStorage {
		ds.set(tag.Modality, "XC")
	}
	ds.set(tag.ImageType, "DERIVED", "SECONDARY") // a third value would speak of stereo (C.8.12.1.1.1)
	delete(ds, tag.ConversionType)
	ds.items(tag.AcquisitionContextSequence)
}

// marks say which frames do not count and why, and of which part is hidden.
func (c *Clip) marks() (text string) {
	by := map[string][]int{}
	for _, f := range c.poor {
		by[f.Poor] = append(by[f.Poor], f.Number)
	}
	for _, why := range slices.Sorted(maps.Keys(by)) {
		text += fmt.Sprintf(" Crossed out, as they were discounted (%s): frames %s.", why, strings.Join(numbers(by[why]), ", "))
	}
	if len(c.masked) > 0 {
		text += fmt.Sprintf(" Hatched: masked, not seen by the network: frames %s.", strings.Join(numbers(c.masked), ", "))
	}
	return text
}

func numbers(all []int) (texts []string) {
	for _, n := range all {
		texts = append(texts, strconv.Itoa(n))
	}
	return texts
}
