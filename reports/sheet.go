package reports

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
	"endogate/explain"
	"endogate/explain/picture"
	"endogate/inference/analysis"
)

// Sheet is what a clip of a video is shown by in four rows: attention, frames, attention over the frames, and where each frame speaks for
// the class.
type Sheet struct {
	Source    Source
	Clip      analysis.Sheet
	Moments   []picture.Moment   // of the moments of Clip, without captions
	Masked    bool               // part of a frame is hatched
	Times     [2]float64         // of its first and last frame, in seconds since the first of the video
	Colours   *explain.ColourMap // of the maps
	Opacity   float64            // of the maps, 0..1
	Algorithm Algorithm
	At        time.Time // of inference, as stored
	Revision  int
}

// Sheet makes a single-frame Secondary Capture (PS3.3 A.8.1) of a clip, native RGB. What it shows is written into it.
func (b *Builder) Sheet(s Sheet) (Object, error) {
	if len(s.Moments) == 0 || len(s.Moments) != len(s.Clip.Moments) {
		return Object{}, errors.New("reports: sheet: a picture for each frame of the clip is needed")
	}
	if err := s.Algorithm.Validate(); err != nil {
		return Object{}, err
	}
	return finish(b.sheet(s), nil)
}

func (b *Builder) sheet(s Sheet) dataset {
	ds := dataset{}
	h := Heatmap{
		Source: s.Source, Frame: s.Clip.First, Algorithm: s.Algorithm, Class: s.Clip.Class, Probability: s.Clip.Probability, At: s.At, Revision: s.Revision,
	}
	source := s.Source.instance()
	instance := HeatmapInstance(source, s.Clip.First, s.Algorithm, s.Clip.Class+"\\sheet\\"+strconv.Itoa(s.Clip.Last), s.Revision)
	instance.SeriesInstanceUID = seriesUID(source.StudyInstanceUID, dicom.SecondaryCaptureImageStorage, "sheet", s.Algorithm)
	b.identify(ds, s.Source, instance, s.At, contributor{s.Algorithm.Model, Explained(s.Algorithm.Explain)})
	h.describe(ds)
	ds.set(tag.SeriesNumber, number(s.Algorithm.series(seriesSheet)))
	ds.set(tag.SeriesDescription, unique("AI sheets "+s.Algorithm.Name+" "+s.Algorithm.Version))
	worded := h.discreet().worded
	s.derivation(ds, worded)
	drawn := s.film(worded).Draw()
	samplesOf(ds, drawn.Rect.Size(), interleave(drawn))
	ds.set(tag.ImageComments, clip("AI, not verified; not for primary diagnosis. "+s.about(worded), 10240))
	s.Source.lossy(ds)
	ds.set(tag.BurnedInAnnotation, "YES")
	ds.set(tag.RecognizableVisualFeatures, "NO")
	ds.set(tag.ContentQualification, "RESEARCH")
	return ds
}

// about says what is shown.
func (s Sheet) about(worded string) string {
	return fmt.Sprintf("%s, p = %s, in the clip of frames %d to %d (%s to %s); %s %s.", worded, decimal(s.Clip.Probability, 2),
		s.Clip.First, s.Clip.Last, analysis.Clock(s.Times[0]), analysis.Clock(s.Times[1]), s.Algorithm.Name, s.Algorithm.Version)
}

// film is what is drawn.
func (s Sheet) film(worded string) picture.Film {
	f := picture.Film{
		Title: s.about(worded), Moments: s.Moments, Colours: s.Colours,
		Rows: [4]string{s.Clip.By, "Frames", s.Clip.By + ", as light over the frames", describe(s.Algorithm.Explain) + ", of the clip's decision"},
	}
	for i, m := range s.Clip.Moments {
		f.Moments[i].Caption = fmt.Sprintf("%d  %s", m.Frame, analysis.Clock(m.At))
	}
	if n := len(s.Moments); n < s.Clip.Frames {
		f.Remark = fmt.Sprintf("the %d of %d frames that count most", n, s.Clip.Frames)
	}
	f.Remark = strings.TrimPrefix(f.Remark+"; one scale for all bars, and one for all maps", "; ")
	if s.Masked {
		f.Remark += "; " + picture.HatchedWords
	}
	return f
}

// derivation says what was done to which frames.
func (s Sheet) derivation(ds dataset, worded string) {
	text := fmt.Sprintf("%s, and %s with the gradient of the clip's decision, alpha %s. %s", s.Clip.By, describe(s.Algorithm.Explain), decimal(s.Opacity, 2), s.about(worded))
	if why := s.Source.discreet().text(s.Algorithm.Explain.Fallback); why != "" {
		text += " " + why
	}
	ds.set(tag.DerivationDescription, clip(text, 1024))
	ds.items(tag.DerivationCodeSequence, coded(derivationOf(s.Algorithm.Explain)))
	source := s.Source.instance()
	var images []dataset
	for _, m := range s.Clip.Moments {
		image := reference(source, m.Frame)
		image.items(tag.PurposeOfReferenceCodeSequence, coded(imageProcessingSource))
		images = append(images, image)
	}
	ds.items(tag.SourceImageSequence, images...)
	series := dataset{}
	series.set(tag.SeriesInstanceUID, string(source.SeriesInstanceUID))
	series.items(tag.ReferencedInstanceSequence, reference(source, 0))
	ds.items(tag.ReferencedSeriesSequence, series)
}
