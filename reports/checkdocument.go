package reports

import (
	"slices"

	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
)

// report holds what is said about an SR: it is a draft, unless a person signed it.
func (f *faults) report(ds dataset) {
	f.need(ds, reportType1...)
	f.need2(ds, tag.PerformedProcedureCodeSequence)
	if got := ds.text(tag.Modality); got != "SR" {
		f.add("Modality is %q, not SR", got)
	}
	if ds.text(tag.CompletionFlag) == "COMPLETE" {
		f.signed(ds)
	} else {
		f.draft(ds)
	}
	f.title(ds, measurementReportTitle)
	f.template(ds, "1500")
	f.sameAlgorithm(ds)
}

// draft holds what nobody signed to its flags.
func (f *faults) draft(ds dataset) {
	for _, flag := range []struct {
		tag  tag.Tag
		want string
	}{{tag.CompletionFlag, "PARTIAL"}, {tag.VerificationFlag, "UNVERIFIED"}, {tag.PreliminaryFlag, "PRELIMINARY"}} {
		if got := ds.text(flag.tag); got != flag.want {
			f.add("%s is %q, a draft has %s", keyword(flag.tag), got, flag.want)
		}
	}
	if ds.has(tag.VerifyingObserverSequence) {
		f.add("VerifyingObserverSequence must be absent from a draft")
	}
}

// signed holds what is complete to a person: its first author is one, and it is VERIFIED, has an observer and is FINAL
// together or not at all (PS3.3 C.17.2).
func (f *faults) signed(ds dataset) {
	if authors := ds.sequence(tag.AuthorObserverSequence); len(authors) == 0 || authors[0].text(tag.ObserverType) != "PSN" {
		f.add("CompletionFlag is COMPLETE and no person is the author")
	}
	verification, preliminary := "UNVERIFIED", "PRELIMINARY"
	if ds.has(tag.VerifyingObserverSequence) {
		verification, preliminary = "VERIFIED", "FINAL"
	}
	if got := ds.text(tag.VerificationFlag); got != verification {
		f.add("VerificationFlag is %q, its observers make it %s", got, verification)
	}
	if got := ds.text(tag.PreliminaryFlag); got != preliminary {
		f.add("PreliminaryFlag is %q, its observers make it %s", got, preliminary)
	}
	for _, o := range ds.sequence(tag.VerifyingObserverSequence) {
		f.need(o, tag.VerifyingObserverName, tag.VerifyingOrganization, tag.VerificationDateTime)
		f.need2(o, tag.VerifyingObserverIdentificationCodeSequence)
	}
}

func (f *faults) keyObjects(ds dataset) {
	if ds.text(tag.Modality) != "KO" {
		f.add("Modality is %q, not KO", ds.text(tag.Modality))
	}
	f.need(ds, tag.CurrentRequestedProcedureEvidenceSequence)
	// Other titles tell an archive to hide or delete (IHE IOCM): a person alone may want that, and of what is ours.
	if rejects(ds.text(tag.SeriesNumber)) {
		f.title(ds, rejected)
		f.derived(ds)
	} else {
		f.title(ds, ofInterest)
	}
	f.template(ds, "2010")
}

// derived wants every object that a document refers to to be of a class that this gateway makes.
func (f *faults) derived(ds dataset) {
	ours := []dicom.UID{
		dicom.SecondaryCaptureImageStorage, dicom.Comprehensive3DSRStorage, dicom.ComprehensiveSRStorage, dicom.KeyObjectSelectionDocumentStorage,
		dicom.EncapsulatedPDFStorage, dicom.MultiFrameTrueColorSecondaryCapture, dicom.VideoEndoscopicImageStorage, dicom.VideoPhotographicImageStorage,
	}
	for _, item := range ds.sequence(tag.ContentSequence) {
		for _, ref := range item.sequence(tag.ReferencedSOPSequence) {
			if class := dicom.UID(ref.text(tag.ReferencedSOPClassUID)); !slices.Contains(ours, class) {
				f.add("a rejection note names an object of class %s, which this gateway does not make", class)
			}
		}
	}
}

func (f *faults) title(ds dataset, want dicom.Code) {
	for _, c := range ds.sequence(tag.ConceptNameCodeSequence) {
		if c.text(tag.CodeValue) == want.Value && c.text(tag.CodingSchemeDesignator) == want.Scheme {
			return
		}
	}
	f.add("the document's title is not (%s,%s)", want.Value, want.Scheme)
}

func (f *faults) template(ds dataset, want string) {
	for _, t := range ds.sequence(tag.ContentTemplateSequence) {
		if t.text(tag.TemplateIdentifier) == want && t.text(tag.MappingResource) == "DCMR" {
			return
		}
	}
	f.add("ContentTemplateSequence does not name TID %s", want)
}

// sameAlgorithm is the rule of IHE AI Results: an algorithm has the same names wherever the object speaks of it. Two
// versions that share an exam are two contributors.
func (f *faults) sameAlgorithm(ds dataset) {
	contributors := ds.contributors()
	same := map[string]tag.Tag{
		deviceManufacturer.Value: tag.Manufacturer, deviceModel.Value: tag.ManufacturerModelName, deviceUID.Value: tag.DeviceUID,
		algorithmName.Value: tag.ManufacturerModelName, algorithmVersion.Value: tag.SoftwareVersions,
	}
	ds.walk(func(item dataset) {
		t, ok := same[conceptOf(item)]
		if !ok {
			return
		}
		got := item.text(tag.TextValue) + item.text(tag.UID)
		if !slices.ContainsFunc(contributors, func(c dataset) bool { return c.text(t) == got }) {
			f.add("concept %s is %q, no algorithm in ContributingEquipmentSequence has it", conceptOf(item), got)
		}
	})
}

func conceptOf(item dataset) string {
	if names := item.sequence(tag.ConceptNameCodeSequence); len(names) > 0 {
		return names[0].text(tag.CodeValue)
	}
	return ""
}

// document holds the content tree, its contours and the evidence to each other.
func (f *faults) document(ds dataset, frames sizes) {
	f.need(ds, documentType1...)
	f.need2(ds, tag.ReferencedPerformedProcedureStepSequence)
	references := map[string]bool{}
	f.items(ds, frames, references)
	f.evidence(ds, references)
}

var relationships = []RelationshipType{Contains, HasObsContext, HasAcqContext, HasConceptMod, SelectedFrom, InferredFrom}

// items walks the content tree and gathers what it refers to.
func (f *faults) items(parent dataset, frames sizes, references map[string]bool) {
	for _, item := range parent.sequence(tag.ContentSequence) {
		rel, kind := RelationshipType(item.text(tag.RelationshipType)), item.text(tag.ValueType)
		above := parent.text(tag.ValueType)
		if !slices.Contains(relationships, rel) || (rel == SelectedFrom) != (above == "SCOORD" || above == "TCOORD") || rel == InferredFrom && above != "NUM" {
			f.add("%s below %s is related by %q", kind, above, rel)
		}
		f.item(item, kind, frames)
		for _, ref := range item.sequence(tag.ReferencedSOPSequence) {
			references[ref.text(tag.ReferencedSOPInstanceUID)] = true
		}
		f.items(item, frames, references)
	}
}

// valueOf says where the value of each type of content item stands.
var valueOf = map[string]tag.Tag{
	"CONTAINER": tag.ContinuityOfContent, "TEXT": tag.TextValue, "CODE": tag.ConceptCodeSequence, "UIDREF": tag.UID, "PNAME": tag.PersonName,
	"NUM": tag.MeasuredValueSequence, "IMAGE": tag.ReferencedSOPSequence, "COMPOSITE": tag.ReferencedSOPSequence, "SCOORD": tag.GraphicData, "TCOORD": tag.ReferencedTimeOffsets,
}

func (f *faults) item(item dataset, kind string, frames sizes) {
	t, ok := valueOf[kind]
	if !ok || empty(item[t]) {
		f.add("content item %s %q has no value", kind, conceptOf(item))
	}
	if kind != "IMAGE" && kind != "COMPOSITE" && conceptOf(item) == "" {
		f.add("content item %s has no concept name", kind)
	}
	for _, c := range append(item.sequence(tag.ConceptNameCodeSequence), item.sequence(tag.ConceptCodeSequence)...) {
		if empty(c[tag.CodeValue]) && empty(c[tag.LongCodeValue]) || empty(c[tag.CodingSchemeDesignator]) || empty(c[tag.CodeMeaning]) {
			f.add("content item %s has a code without value, scheme or meaning", kind)
		}
	}
	if kind == "NUM" {
		for _, v := range item.sequence(tag.MeasuredValueSequence) {
			f.need(v, tag.NumericValue, tag.MeasurementUnitsCodeSequence)
		}
	}
	if kind == "SCOORD" {
		f.polyline(item, frames)
	}
}

// polyline wants what PS3.16 TID 1410 needs for an area: closed, and inside the frame that it is selected from.
func (f *faults) polyline(item dataset, frames sizes) {
	points, _ := item[tag.GraphicData].([]float64)
	n := len(points)
	if item.text(tag.GraphicType) != "POLYLINE" || n%2 != 0 || n < 8 {
		f.add("SCOORD is no POLYLINE of at least four points")
		return
	}
	if points[0] != points[n-2] || points[1] != points[n-1] {
		f.add("POLYLINE is open")
	}
	size, ok := frames[selected(item)]
	if !ok {
		f.add("POLYLINE is selected from a frame of unknown size")
		return
	}
	for i, v := range points {
		if !(v >= 0 && v <= float64(size[i%2])) {
			f.add("POLYLINE leaves its frame of %d columns and %d rows", size[0], size[1])
			return
		}
	}
}

// selected is the frame that a SCOORD is selected from.
func selected(scoord dataset) frameKey {
	for _, image := range scoord.sequence(tag.ContentSequence) {
		for _, ref := range image.sequence(tag.ReferencedSOPSequence) {
			return frameKey{dicom.UID(ref.text(tag.ReferencedSOPInstanceUID)), integer(ref.text(tag.ReferencedFrameNumber))}
		}
	}
	return frameKey{}
}

// evidence must list exactly what the tree refers to (PS3.3 C.17.2.3), all of it of this study.
func (f *faults) evidence(ds dataset, references map[string]bool) {
	listed := map[string]bool{}
	for _, study := range ds.sequence(tag.CurrentRequestedProcedureEvidenceSequence) {
		if study.text(tag.StudyInstanceUID) != ds.text(tag.StudyInstanceUID) {
			f.add("evidence is of another study")
		}
		for _, series := range study.sequence(tag.ReferencedSeriesSequence) {
			f.need(series, tag.SeriesInstanceUID)
			for _, i := range series.sequence(tag.ReferencedSOPSequence) {
				listed[i.text(tag.ReferencedSOPInstanceUID)] = true
			}
		}
	}
	for uid := range references {
		if !listed[uid] {
			f.add("evidence lacks instance %s", uid)
		}
	}
	for uid := range listed {
		if !references[uid] {
			f.add("evidence lists instance %s, which nothing refers to", uid)
		}
	}
}
