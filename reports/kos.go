package reports

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

const defaultKeyFrames = 5

// KeyObjects makes the Key Object Selection of an exam: the frames with the highest probability of each class to look
// at, and their heatmaps. Without such a frame there is no object, and ok is false.
func (b *Builder) KeyObjects(e Exam) (o Object, ok bool, err error) {
	if err := e.validate(); err != nil {
		return Object{}, false, err
	}
	frames := e.keyFrames(cmp.Or(b.KeyFrames, defaultKeyFrames))
	if len(frames) == 0 {
		return Object{}, false, nil
	}
	o, err = finish(b.keyObjects(e, frames), nil)
	return o, err == nil, err
}

func (b *Builder) keyObjects(e Exam, frames []seen) dataset {
	ds := dataset{}
	b.identify(ds, e.Source, e.documentInstance(dicom.KeyObjectSelectionDocumentStorage, "kos", e.Revision), e.At, e.contributors()...)
	ds.set(tag.SeriesDescription, unique("AI key frames "+e.Algorithm.Name+" "+e.Algorithm.Version))
	documentHeader(ds, e.Source, "KO", "2010", e.Algorithm.series(seriesKOS), max(e.Revision, 1), b.keyObjectSelection(e, frames))
	return ds
}

// keyFrames returns the n best frames of each class to look at, in the order of classes and probabilities.
func (e Exam) keyFrames(n int) []seen {
	byClass := map[string][]seen{}
	var classes []string
	for _, s := range e.findings() {
		if s.finding.Role != analysis.RoleFinding || !s.key() {
			continue
		}
		if _, ok := byClass[s.finding.Class]; !ok {
			classes = append(classes, s.finding.Class)
		}
		byClass[s.finding.Class] = append(byClass[s.finding.Class], s)
	}
	slices.Sort(classes)
	var out []seen
	for _, class := range classes {
		frames := byClass[class]
		slices.SortStableFunc(frames, func(a, b seen) int {
			return cmp.Compare(b.finding.Probability, a.finding.Probability)
		})
		frames = onceEach(frames)
		out = append(out, frames[:min(n, len(frames))]...)
	}
	return out
}

// onceEach leaves of what was seen in one frame the first.
func onceEach(all []seen) (once []seen) {
	done := map[string]bool{}
	for _, s := range all {
		frame := fmt.Sprint(s.instance.SOPInstanceUID, s.result.Span)
		if !done[frame] {
			done[frame], once = true, append(once, s)
		}
	}
	return once
}

// keyObjectSelection is TID 2010. The title is always "Of Interest": others are orders to an archive to hide or delete.
func (b *Builder) keyObjectSelection(e Exam, frames []seen) ContentItem {
	items := []ContentItem{codeItem(HasConceptMod, language, english)}
	items = append(items, b.observer(e.Algorithm.Model)...)
	items = append(items, textItem(Contains, keyObjectDescription,
		fmt.Sprintf("%s Frames with the highest probability per class by %s %s, and their heatmaps.", notVerified, e.Algorithm.Name, e.Algorithm.Version)))
	done := map[ImageRef]bool{}
	for _, s := range frames {
		for _, ref := range []ImageRef{s.ref(), {Instance: s.heatmap()}} {
			if ref.Instance.SOPInstanceUID == "" || done[ref] {
				continue
			}
			done[ref] = true
			items = append(items, imageItem(Contains, dicom.Code{}, ref))
		}
	}
	return container("", ofInterest, items...)
}
