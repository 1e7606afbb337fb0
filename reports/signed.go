package reports

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
	"endogate/reports/draft"
)

// errUnsigned keeps what nobody signed from looking like a finished report.
var errUnsigned = permanentError{errors.New("reports: only a signed, amended or withdrawn report becomes a structured report of its own; sign it first")}

// SignedReport makes the structured report of a signed, amended or withdrawn document, twice as [Builder.Report] does. It is
// COMPLETE, and VERIFIED with its observer and FINAL where the person's signature is verified; else it is UNVERIFIED and
// PRELIMINARY (PS3.3 C.17.2). It names its predecessor. s is an instance of the study.
//
// It has groups for the findings that stand, in the frames chosen as their key images; what was decided about each is said
// in the evaluations, of those that do not stand as well.
func (b *Builder) SignedReport(s Source, doc draft.Document) (comprehensive3D, comprehensive Object, err error) {
	r := signed{doc: doc, source: s, zone: s.zone(b.Location)}
	if doc.Signature == nil || doc.Editable() {
		return Object{}, Object{}, errUnsigned
	}
	for _, m := range r.models() {
		if err := validate(m); err != nil {
			return Object{}, Object{}, err
		}
	}
	root, frames := r.measurementReport(), r.sizes()
	if comprehensive3D, err = finish(b.signedReport(r, dicom.Comprehensive3DSRStorage, root), frames); err != nil {
		return Object{}, Object{}, err
	}
	if comprehensive, err = finish(b.signedReport(r, dicom.ComprehensiveSRStorage, root), frames); err != nil {
		return Object{}, Object{}, err
	}
	return comprehensive3D, comprehensive, nil
}

// signed is a document that a person signed, to be written as structured report.
type signed struct {
	doc    draft.Document
	source Source
	zone   *time.Location
}

// instance is the report that the document is signed as, with its name in the place of the SOP Instance UID.
func (r signed) instance(sopClass dicom.UID) dicom.SOPInstance {
	return r.report(sopClass, draft.ReportName(r.doc.Study, r.doc.Number, r.doc.Version, sopClass))
}

// report is a signed report on the study.
func (r signed) report(sopClass, uid dicom.UID) dicom.SOPInstance {
	study := r.doc.Study
	return dicom.SOPInstance{
		SOPClassUID: sopClass, SOPInstanceUID: uid, SeriesInstanceUID: signedSeries(study, sopClass), StudyInstanceUID: study,
	}
}

// reports are those that a version was signed as.
func (r signed) reports(version draft.Reference) (all []dicom.SOPInstance) {
	if version.Report != "" {
		all = append(all, r.report(dicom.Comprehensive3DSRStorage, version.Report))
	}
	if version.Alternate != "" {
		all = append(all, r.report(dicom.ComprehensiveSRStorage, version.Alternate))
	}
	return all
}

// signedSeries is the series of all signed reports, or PDFs, of a study.
func signedSeries(study, sopClass dicom.UID) dicom.UID {
	return dicom.DerivedUID("series", string(study), string(sopClass), "report of a person")
}

// models are those that looked at the study, each once.
func (r signed) models() []analysis.Model { return modelsOf(r.doc) }

func modelsOf(doc draft.Document) []analysis.Model {
	var models []analysis.Model
	add := func(m analysis.Model) {
		if m.Name != "" && !slices.Contains(models, m) {
			models = append(models, m)
		}
	}
	for _, m := range doc.Disclosure.Models {
		add(m.Model)
	}
	for _, f := range doc.Findings {
		add(f.Model)
	}
	return models
}

// contributorsOf are the models of a document, with what it says of their maps.
func contributorsOf(doc draft.Document) (all []contributor) {
	for _, m := range modelsOf(doc) {
		var explained []string
		for _, f := range doc.Findings { // of the maps that are shown: how the model explains by now is another matter
			for _, frame := range f.Frames {
				if f.Model == m && frame.Explained != "" && !slices.Contains(explained, frame.Explained) {
					explained = append(explained, frame.Explained)
				}
			}
		}
		all = append(all, contributor{m, strings.Join(explained, "; ")})
	}
	return all
}

func (b *Builder) signedReport(r signed, sopClass dicom.UID, root ContentItem) dataset {
	ds, d, by := dataset{}, r.doc, r.doc.Signature
	b.identify(ds, r.source, r.instance(sopClass), by.At, contributorsOf(r.doc)...)
	undated(ds)
	ds.set(tag.SeriesDescription, "Reports on the study")
	ds.set(tag.CompletionFlag, "COMPLETE")
	ds.set(tag.CompletionFlagDescription, clip(r.standing(), 64))
	ds.set(tag.VerificationFlag, "UNVERIFIED")
	ds.set(tag.PreliminaryFlag, "PRELIMINARY")
	if by.Verified && !d.Author.System { // else it is not as the person signed it: a result was taken back since
		ds.set(tag.VerificationFlag, "VERIFIED")
		ds.set(tag.PreliminaryFlag, "FINAL")
		ds.items(tag.VerifyingObserverSequence, b.verifyingObserver(r))
	}
	authors := []dataset{b.personAuthor(by.By)}
	for _, m := range r.models() {
		authors = append(authors, b.author(m))
	}
	ds.items(tag.AuthorObserverSequence, authors...)
	ds.items(tag.PerformedProcedureCodeSequence, ds.sequence(tag.ProcedureCodeSequence)...)
	if p := d.Predecessor; p != nil {
		predecessor(ds, r.reports(*p), sopClass)
	}
	documentHeader(ds, r.source, "SR", "1500", seriesSigned, instanceNumber(d), root)
	return ds
}

// undated leaves out when the models contributed: a document gathers results of many times.
func undated(ds dataset) {
	for _, item := range ds.sequence(tag.ContributingEquipmentSequence) {
		delete(item, tag.ContributionDateTime)
	}
}

// instanceNumber rises with every version of a study's documents: there are never a thousand of one.
func instanceNumber(d draft.Document) int { return 1000*(d.Number-1) + d.Version }

func (r signed) standing() string {
	switch r.doc.Standing {
	case draft.Amended:
		return "Signed again after a correction"
	case draft.Withdrawn:
		return "Withdrawn"
	}
	return "Signed"
}

// verifyingObserver is PS3.3 table C.17-2's item. The organisation is type 1.
func (b *Builder) verifyingObserver(r signed) dataset {
	ds := dataset{}
	ds.set(tag.VerifyingObserverName, personName(r.doc.Signature.By.Name))
	ds.items(tag.VerifyingObserverIdentificationCodeSequence)
	ds.set(tag.VerifyingOrganization, cmp.Or(clip(b.Equipment.InstitutionName, 64), clip(r.source.text(tag.InstitutionName), 64), "not stated"))
	ds.set(tag.VerificationDateTime, r.doc.Signature.At.In(r.zone).Format("20060102150405-0700"))
	return ds
}

// personAuthor is the item of Author Observer Sequence for who signed (PS3.3 table C.17-3b).
func (b *Builder) personAuthor(a draft.Author) dataset {
	ds := dataset{}
	ds.set(tag.ObserverType, "PSN")
	ds.set(tag.PersonName, personName(a.Name))
	ds.items(tag.PersonIdentificationCodeSequence)
	if name := clip(b.Equipment.InstitutionName, 64); name != "" {
		ds.set(tag.InstitutionName, name)
	} else {
		ds.set(tag.InstitutionName) // type 2
	}
	ds.items(tag.InstitutionCodeSequence)
	return ds
}

// personName is a name as PN can hold it: clients name people as they like.
func personName(name string) string {
	name = strings.ReplaceAll(printable(name), `\`, "/")
	if dicom.CheckText("PN", name) != nil {
		name = clip(strings.NewReplacer("=", " ", "^", " ").Replace(name), 64)
	}
	return cmp.Or(name, "not stated")
}

// sizes are of the frames that contours are drawn on.
func (r signed) sizes() sizes {
	out := sizes{}
	for _, f := range r.doc.Shown() {
		for _, frame := range r.shown(f) {
			ref := r.ref(frame)
			out[frameKey{ref.Instance.SOPInstanceUID, ref.Frame}] = [2]int{frame.Columns, frame.Rows}
		}
	}
	return out
}

// ref names a frame in its instance, or the whole of it where that has one frame, or the finding is of several.
func (r signed) ref(f draft.Frame) ImageRef {
	ref := ImageRef{Instance: f.Instance}
	for _, i := range r.doc.Examination.Instances {
		if i.Instance.SOPInstanceUID == f.Instance.SOPInstanceUID && i.Frames > 1 {
			ref.Frame = f.Span.Frame()
		}
	}
	return ref
}

// shown are the frames that stand for a finding: its key images, or else that of the highest probability.
func (r signed) shown(f draft.Finding) []draft.Frame {
	var out []draft.Frame
	for _, k := range r.doc.KeyImages {
		if k.Finding == f.ID {
			out = append(out, k.Frame)
		}
	}
	if len(out) == 0 && len(f.Frames) > 0 {
		out = f.Frames[:1]
	}
	return out
}

func described(f draft.Finding) string {
	text := cmp.Or(f.Code.Meaning, f.Class)
	if f.Model.Name != "" {
		text += fmt.Sprintf(" (%s %s, probability %s)", f.Model.Name, f.Model.Version, decimal(f.Probability, 2))
	}
	return printable(text)
}
