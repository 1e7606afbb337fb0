package reports

import (
	"slices"

	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
)

// utf8Set is the Specific Character Set of what is made here.
const utf8Set = "ISO_IR 192"

// fromSource are the texts that objects copy from their source, beside the sequences.
var fromSource = []tag.Tag{
	tag.PatientName, tag.PatientID, tag.IssuerOfPatientID, tag.StudyID, tag.AccessionNumber, tag.ReferringPhysicianName, tag.StudyDescription,
	tag.PlacerOrderNumberImagingServiceRequest, tag.FillerOrderNumberImagingServiceRequest, tag.RequestedProcedureID,
	tag.RequestedProcedureDescription,
}

// sequencesFromSource are the sequences that objects copy from their source.
var sequencesFromSource = []tag.Tag{
	tag.IssuerOfPatientIDQualifiersSequence, tag.OtherPatientIDsSequence, tag.IssuerOfAccessionNumberSequence, tag.ProcedureCodeSequence,
	tag.RequestAttributesSequence,
}

// keeps says that objects made of s keep its bytes and its character set. Otherwise they are in UTF-8: what is copied says the
// same in it as in the source. Where a value is not of the set that the source states, it would not: a PACS that shows the
// source by a rule of its own would have a second patient in the study.
func (s Source) keeps() bool {
	return slices.ContainsFunc(fromSource, func(t tag.Tag) bool { return !s.Attributes.Exact(tagOf(t)) }) ||
		slices.ContainsFunc(sequencesFromSource, func(t tag.Tag) bool { return !exactItems(s.Attributes, t, maxCopyDepth) })
}

func exactItems(a *dicom.Attributes, t tag.Tag, depth int) bool {
	e, _ := a.Get(tagOf(t))
	if depth == 0 {
		return true
	}
	for _, item := range e.Items {
		for it := range item.Tags() {
			if !item.Exact(it) || !exactItems(item, tag.Tag{Group: it.Group(), Element: it.Element()}, depth-1) {
				return false
			}
		}
	}
	return true
}

// characterSet sets the one that ds, an object of s, is in.
func (s copier) characterSet(ds dataset) {
	if !s.keeps {
		ds.set(tag.SpecificCharacterSet, utf8Set)
	} else if e, ok := s.Attributes.Get(tagOf(tag.SpecificCharacterSet)); ok {
		ds[tag.SpecificCharacterSet] = kept{e.Value, printable(string(e.Value))}
	}
}

// keeps says whether ds, a whole object, is in the character set of its source.
func (ds dataset) keeps() bool {
	_, stated := ds[tag.SpecificCharacterSet].(kept)
	return stated || !ds.has(tag.SpecificCharacterSet)
}

// settle writes what is ours in the default repertoire, which every character set has: without diacritics in the data set
// itself, and in items that have nothing of the source in UTF-8, which an item may state for itself (PS3.3 C.12.1.1.2).
func (ds dataset) settle() {
	for _, v := range ds {
		switch v := v.(type) {
		case []string:
			for i := range v {
				v[i] = dicom.ASCII(v[i])
			}
		case []dataset:
			for _, item := range v {
				if item.beyondASCII() && !item.mixed() {
					item.set(tag.SpecificCharacterSet, utf8Set)
				} else {
					item.settle()
				}
			}
		}
	}
}

// beyondASCII says whether texts of ours in ds are beyond the default repertoire.
func (ds dataset) beyondASCII() (beyond bool) {
	ds.walk(func(item dataset) {
		for t := range item {
			beyond = beyond || slices.ContainsFunc(item.strings(t), func(s string) bool { return dicom.ASCII(s) != s })
		}
	})
	return beyond
}

// mixed says whether ds has texts of the source.
func (ds dataset) mixed() (mixed bool) {
	ds.walk(func(item dataset) {
		for _, v := range item {
			_, taken := v.(kept)
			mixed = mixed || taken
		}
	})
	return mixed
}
