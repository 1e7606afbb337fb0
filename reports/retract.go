package reports

import (
	"slices"

	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
)

// withdrawnReport begins a report of which nothing stands.
const withdrawnReport = "AI RESULT WITHDRAWN by a person. Earlier revisions of this report, and the objects made with them, do not hold."

// withdrawn says why nothing of e stands any more; empty where something does, or nothing ever was.
func (e Exam) withdrawn() string {
	why := ""
	for _, i := range e.Instances {
		if len(i.Results) > 0 {
			return ""
		}
		if i.Retracted != "" {
			why = i.Retracted
		}
	}
	return why
}

// retracted reports whether anything of e was taken back.
func (e Exam) retracted() bool {
	return slices.ContainsFunc(e.Instances, func(i Instance) bool { return i.Retracted != "" })
}

// disowned reports whether o, an object of this gateway, says what was taken back: a heatmap or clip of such a source, an
// earlier revision of a document of the exam, or a report of the study that rests on it.
func (e Exam) disowned(o ledger.Object) bool {
	if o.Purpose == "heatmap" || o.Purpose == "clip" || o.Purpose == ledger.PurposeMap {
		return slices.ContainsFunc(e.Instances, func(i Instance) bool { return i.Retracted != "" && i.SOPInstanceUID == o.Source })
	}
	if o.Instance.SeriesInstanceUID == signedSeries(o.Instance.StudyInstanceUID, o.Instance.SOPClassUID) { // a report on the study, of before that
		return true
	}
	for revision := 1; revision < e.Revision; revision++ {
		for _, document := range []dicom.SOPInstance{
			e.documentInstance(dicom.Comprehensive3DSRStorage, "sr", revision), e.documentInstance(dicom.ComprehensiveSRStorage, "sr", revision),
			e.documentInstance(dicom.KeyObjectSelectionDocumentStorage, "kos", revision),
		} {
			if document.SOPInstanceUID == o.Name {
				return true
			}
		}
	}
	return false
}

// RejectionNote makes the Key Object Selection that tells an archive to hide objects (IHE IOCM), for one destination. Of
// made, which are this gateway's, it names those that say what a person took back; without such there is none, and ok is
// false.
func (b *Builder) RejectionNote(e Exam, destination string, made []ledger.Object) (o Object, ok bool, err error) {
	if err := e.validate(); err != nil {
		return Object{}, false, err
	}
	made = slices.DeleteFunc(slices.Clone(made), func(o ledger.Object) bool { return !e.retracted() || !e.disowned(o) })
	if len(made) == 0 {
		return Object{}, false, nil
	}
	items := append([]ContentItem{codeItem(HasConceptMod, language, english)}, b.observer(e.Algorithm.Model)...)
	items = append(items, textItem(Contains, keyObjectDescription, "A person retracted these AI results. All objects named were made by this gateway."))
	for _, m := range made {
		switch m.Instance.SOPClassUID {
		case dicom.SecondaryCaptureImageStorage, dicom.MultiFrameTrueColorSecondaryCapture, dicom.VideoEndoscopicImageStorage, dicom.VideoPhotographicImageStorage:
			items = append(items, imageItem(Contains, dicom.Code{}, ImageRef{Instance: m.Instance}))
		default:
			items = append(items, compositeItem(Contains, m.Instance))
		}
	}
	ds := dataset{}
	self := e.documentInstance(dicom.KeyObjectSelectionDocumentStorage, "rejection "+destination, e.Revision)
	b.identify(ds, e.Source, self, e.At, e.contributors()...)
	ds.set(tag.SeriesDescription, unique("Rejected AI objects "+e.Algorithm.Name+" "+e.Algorithm.Version))
	documentHeader(ds, e.Source, "KO", "2010", e.Algorithm.series(seriesRejection), max(e.Revision, 1), container("", rejected, items...))
	o, err = finish(ds, nil)
	return o, err == nil, err
}
