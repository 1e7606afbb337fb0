package reports

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"strconv"
	"strings"
	"time"

	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
	"endogate/explain"
	"endogate/explain/picture"
	"endogate/inference/analysis"
)

// Heatmap is what an overlay Secondary Capture is made of.
type Heatmap struct {
	Source      Source
	Frame       int                // 1-based frame of the source
	Pixels      *image.RGBA        // the frame as the network's user sees it
	Overlay     *image.RGBA        // the same frame with the map blended in; the label is drawn into a copy
	Colours     *explain.ColourMap // of the overlay
	Opacity     float64            // of the map in the overlay, 0..1
	Masked      bool               // part of the overlay is hatched: the network did not see it
	Algorithm   Algorithm
	Class       string           // of Algorithm.Classes
	Against     string           // the class it is contrasted with, "" for none
	Variant     string           // what is not as the gateway makes it, such as other colours; part of the UID
	Outline     analysis.Outline // drawn into the overlay, but for a hot region
	Number      int              // of a box among those of the class in the frame; 0 for none
	Probability float64
	At          time.Time // of inference, as stored
	Revision    int       // of the content: higher when the same frame is explained anew with another outcome

	worded string // the class as a clinician reads it
}

// HeatmapInstance is the heatmap of a frame as it is named before it is made: the name, which stands in the place of its SOP
// Instance UID, follows from source, frame, algorithm (with its weights and its way to explain), class and revision.
func HeatmapInstance(source dicom.SOPInstance, frame int, a Algorithm, class string, revision int) dicom.SOPInstance {
	return dicom.SOPInstance{
		SOPClassUID: dicom.SecondaryCaptureImageStorage,
		SOPInstanceUID: dicom.DerivedUID("inst", string(dicom.SecondaryCaptureImageStorage), string(source.SOPInstanceUID),
			strconv.Itoa(frame), a.Name, a.Version, a.Digest, purposeOf(a.Explain), class, strconv.Itoa(revision)),
		SeriesInstanceUID: seriesUID(source.StudyInstanceUID, dicom.SecondaryCaptureImageStorage, purposeOf(a.Explain), a),
		StudyInstanceUID:  source.StudyInstanceUID,
	}
}

// seriesUID is the series of the objects of one purpose that an algorithm gets in a study.
func seriesUID(study, sopClass dicom.UID, purpose string, a Algorithm) dicom.UID {
	return dicom.DerivedUID("series", string(study), string(sopClass), purpose, a.Name, a.Version)
}

// Heatmap makes the overlay of one frame as single-frame Secondary Capture (PS3.3 A.8.1) with the rows and columns of
// the source, native RGB.
func (b *Builder) Heatmap(h Heatmap) (Object, error) {
	if err := h.validate(); err != nil {
		return Object{}, err
	}
	return finish(b.heatmap(h), nil)
}

func (b *Builder) heatmap(h Heatmap) dataset {
	ds := dataset{}
	source := h.Source.instance()
	b.identify(ds, h.Source, HeatmapInstance(source, h.Frame, h.Algorithm, h.question(), h.Revision), h.At, contributor{h.Algorithm.Model, Explained(h.Algorithm.Explain)})
	said := h.discreet()
	h.describe(ds)
	ds.set(tag.SeriesDescription, unique(said.seriesDescription()))
	said.derivation(ds)
	inscribed := said.pixels(ds)
	said.comments(ds, inscribed)
	h.Source.lossy(ds)

	ds.set(tag.BurnedInAnnotation, "YES") // a source that does not say NO may have names in its pixels
	if inscribed == picture.Nothing && !h.Masked && h.Outline == analysis.HotRegion && h.Source.text(tag.BurnedInAnnotation) == "NO" {
		ds.set(tag.BurnedInAnnotation, "NO")
	}
	ds.set(tag.RecognizableVisualFeatures, "NO")
	ds.set(tag.ContentQualification, "RESEARCH") // until somebody has it certified
	return ds
}

func (h Heatmap) validate() error {
	if h.Overlay == nil || h.Pixels == nil || h.Overlay.Rect.Empty() || h.Overlay.Rect.Size() != h.Pixels.Rect.Size() {
		return fmt.Errorf("reports: heatmap: frame and overlay must be pictures of one size")
	}
	return h.Algorithm.Validate()
}

// question is what tells maps of one frame by one method apart.
func (h Heatmap) question() string {
	q := h.Class
	if h.Against != "" || h.Variant != "" || h.Number > 0 {
		q += "\\" + h.Against + "\\" + h.Variant
	}
	if h.Number > 0 {
		q += "\\box " + strconv.Itoa(h.Number)
	}
	return q
}

// discreet is h with what may be said of it.
func (h Heatmap) discreet() Heatmap {
	patient := h.Source.discreet()
	label := func(class string) string {
		c, _ := h.Algorithm.class(class)
		return patient.label(class, c.Finding.Meaning)
	}
	class, _ := h.Algorithm.class(h.Class)
	if class.Name == "" {
		class.Name = h.Class
	}
	h.worded = patient.label(class.Worded(), class.Finding.Meaning)
	h.Class, h.Against = label(h.Class), label(h.Against)
	h.Variant = patient.text(h.Variant)
	h.Algorithm.Explain.Layer, h.Algorithm.Explain.Fallback = patient.text(h.Algorithm.Explain.Layer), patient.text(h.Algorithm.Explain.Fallback)
	return h
}

// describe sets General Series, SC Equipment and General Image.
func (h Heatmap) describe(ds dataset) {
	modality := cmp.Or(h.Source.valid(tag.Modality), "ES")
	ds.set(tag.Modality, modality) // that of the source: another one splits the series off the exam's hanging protocol
	ds.set(tag.ConversionType, "WSD")
	ds.set(tag.ImageType, "DERIVED", "SECONDARY", "OTHER", imageFlavour(h.Algorithm.Explain))
	ds.set(tag.SeriesNumber, number(h.Algorithm.heatmapSeries()))
	ds.set(tag.InstanceNumber, number(h.instanceNumber()))
	ds.set(tag.PatientOrientation)
	h.Source.anatomy(ds, h.site())
}

// instanceNumber keeps the order of the sources; frames of one source follow each other.
func (h Heatmap) instanceNumber() int {
	n, ok := h.Source.Attributes.Int(tagOf(tag.InstanceNumber))
	if !ok || n < 1 || n > 99_999 {
		n = 1
	}
	if h.Source.frames() > 1 {
		return n*10_000 + h.Frame
	}
	return n
}

// site is where the class is found; a class without a site has none.
func (h Heatmap) site() dicom.Code {
	c, _ := h.Algorithm.class(h.Class)
	return c.Site
}

// words are the legend.
func (h Heatmap) words() picture.Words {
	w := picture.Words{
		Class: h.worded, Plain: h.Class, Probability: "p = " + decimal(h.Probability, 2), Method: describe(h.Algorithm.Explain),
		Model: h.Algorithm.Name + " " + h.Algorithm.Version, Remark: h.Algorithm.Explain.Fallback, Masked: h.Masked, Colours: h.Colours,
	}
	switch {
	case methodOf(h.Algorithm.Explain).NoClass:
		w.Class, w.Plain, w.Probability = "", "", ""
	case h.Against != "":
		w.Class, w.Plain = w.Class+" rather than "+h.Against, w.Plain+" rather than "+h.Against
	}
	if h.Number > 0 {
		box := ", box " + strconv.Itoa(h.Number)
		w.Class, w.Plain = w.Class+box, w.Plain+box
	}
	if h.Outline != analysis.HotRegion {
		w.Remark = strings.TrimSuffix(picture.OutlineWords+": "+h.Outline.Worded()+", not the border of a lesion; "+w.Remark, "; ")
	}
	return w
}

// derivation says what was done to which source.
func (h Heatmap) derivation(ds dataset) {
	source, frame := h.Source.instance(), 0
	if h.Source.frames() > 1 {
		frame = h.Frame
	}
	about := fmt.Sprintf(" for class %q p=%s", h.Class, decimal(h.Probability, 2))
	if h.Number > 0 {
		about = fmt.Sprintf(" for class %q, box %d, p=%s", h.Class, h.Number, decimal(h.Probability, 2))
	}
	switch {
	case methodOf(h.Algorithm.Explain).NoClass:
		about = ""
	case h.Against != "":
		about += fmt.Sprintf(" rather than %q", h.Against)
	}
	if h.Variant != "" {
		about += "; " + h.Variant
	}
	text := fmt.Sprintf("%s%s, alpha %s over source frame %d; %s %s",
		describe(h.Algorithm.Explain), about, decimal(h.Opacity, 2), h.Frame, h.Algorithm.Name, h.Algorithm.Version)
	if why := h.Algorithm.Explain.Fallback; why != "" {
		text += "; " + why
	}
	ds.set(tag.DerivationDescription, clip(text, 1024))
	ds.items(tag.DerivationCodeSequence, coded(derivationOf(h.Algorithm.Explain)))

	image := reference(source, frame)
	image.items(tag.PurposeOfReferenceCodeSequence, coded(imageProcessingSource))
	ds.items(tag.SourceImageSequence, image)

	series := dataset{}
	series.set(tag.SeriesInstanceUID, string(source.SeriesInstanceUID))
	series.items(tag.ReferencedInstanceSequence, reference(source, 0))
	ds.items(tag.ReferencedSeriesSequence, series) // PS3.3 C.12.2: agrees with Source Image Sequence
}

// comments has all of the legend, whatever of it there was room for in the picture.
func (h Heatmap) comments(ds dataset, inscribed picture.Inscribed) {
	w := h.words()
	text := "AI, not verified; not for primary diagnosis."
	if w.Class != "" {
		text += fmt.Sprintf(" %s, %s.", w.Class, w.Probability)
	}
	text += fmt.Sprintf(" Colours: %s. %s; %s.", w.Meaning(), w.Method, w.Model)
	if w.Remark != "" {
		text += " " + w.Remark
	}
	if h.Masked {
		text += " Hatched: masked, not seen by the network."
	}
	if inscribed < picture.Whole {
		text += " The picture has no room for all of this outside the field of view."
	}
	ds.set(tag.ImageComments, clip(text, 10240))
}

// pixels sets Image Pixel and reports how much of the legend was drawn.
func (h Heatmap) pixels(ds dataset) picture.Inscribed {
	size := h.Overlay.Rect.Size()
	overlay := interleave(h.Overlay)
	inscribed := picture.Inscribe(overlay, atOrigin(h.Pixels), h.words())

	samplesOf(ds, size, overlay)
	h.Source.aspect(ds)
	if profile, ok := h.Source.Attributes.Get(tagOf(tag.ICCProfile)); ok && len(profile.Value) > 0 {
		ds[tag.ICCProfile] = profile.Value
	}
	return inscribed
}

// samplesOf sets Image Pixel.
func samplesOf(ds dataset, size image.Point, m interleaved) {
	ds.ints(tag.SamplesPerPixel, 3)
	ds.set(tag.PhotometricInterpretation, "RGB")
	ds.ints(tag.PlanarConfiguration, 0)
	ds.ints(tag.Rows, size.Y)
	ds.ints(tag.Columns, size.X)
	ds.ints(tag.BitsAllocated, 8)
	ds.ints(tag.BitsStored, 8)
	ds.ints(tag.HighBit, 7)
	ds.ints(tag.PixelRepresentation, 0)
	ds[tag.PixelData] = m.samples
}

// atOrigin is m with its top-left corner at (0,0); the pixels are shared.
func atOrigin(m *image.RGBA) *image.RGBA {
	return &image.RGBA{
		Pix:    m.Pix[m.PixOffset(m.Rect.Min.X, m.Rect.Min.Y):],
		Stride: m.Stride, Rect: image.Rectangle{Max: m.Rect.Size()},
	}
}

// interleaved is an image of three samples a pixel, row after row.
type interleaved struct {
	width   int
	samples []byte
}

// interleave drops the fourth channel.
func interleave(m *image.RGBA) interleaved {
	size := m.Rect.Size()
	out := interleaved{size.X, make([]byte, 3*size.X*size.Y, 3*size.X*size.Y+1)} // and a pad, where it is odd
	explain.Bands(size.Y, func(top, bottom int) {
		for y := top; y < bottom; y++ {
			out.take(m.Pix[y*m.Stride:][:4*size.X], y)
		}
	})
	return out
}

// take drops the fourth channel of a row.
func (m interleaved) take(from []byte, y int) {
	to := m.samples[3*y*m.width:][:3*m.width]
	for ; len(from) >= 16 && len(to) >= 12; from, to = from[16:], to[12:] { // four pixels of 32 bits are twelve samples
		a, b := binary.LittleEndian.Uint64(from), binary.LittleEndian.Uint64(from[8:])
		const three = 1<<24 - 1
		third := b & three
		binary.LittleEndian.PutUint64(to, a&three|a>>32&three<<24|third<<48)
		binary.LittleEndian.PutUint32(to[8:], uint32(third>>16|b>>32<<8))
	}
	for ; len(to) > 0; from, to = from[4:], to[3:] {
		copy(to, from[:3])
	}
}

// SetRGBA sets a pixel, whatever its opacity.
func (m interleaved) SetRGBA(x, y int, c color.RGBA) {
	*(*[3]byte)(m.samples[3*(y*m.width+x):]) = [3]byte{c.R, c.G, c.B}
}
