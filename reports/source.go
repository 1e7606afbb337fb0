package reports

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
)

// Source is an instance that the gateway received, as far as derived objects copy from it.
type Source struct {
	Attributes        *dicom.Attributes
	TransferSyntaxUID dicom.UID
	Size              int64 // bytes of the data set; gives the compression ratio when the source states none

	// Moving is how many frames the stream of a video has, whatever Number of Frames says; 0: it is none.
	Moving int

	// Stream is the shape of the pixels of a video as the video has it; zero: it is none, or does not say.
	Stream dicom.Aspect

	// Order is the one that the study was made for; nil where nobody says. It fills in what the source does not say of the
	// request; patient and study are those of the source all the same, as the other instances of the study have them.
	Order *ledger.Order

	// Study is what all instances of an examination together say of patient and study: it fills in what this one does not say in
	// what is made of all of them.
	Study dicom.Header
}

// maxCopyDepth bounds sequences copied from a source.
const maxCopyDepth = 4

var (
	sexValue  = regexp.MustCompile(`^[MFO]$`)
	zoneValue = regexp.MustCompile(`^[+-](0\d|1[0-4])[0-5]\d$`)
)

func tagOf(t tag.Tag) dicom.Tag { return dicom.Tag(t.Uint32()) }

// text returns the first value of t in UTF-8, without control characters, as well as it can be read.
func (s Source) text(t tag.Tag) string { return textOf(s.Attributes, t) }

// whole is all that an attribute of one value has.
func (s Source) whole(t tag.Tag) []string {
	text, _ := dicom.Reading(s.Attributes.Whole(tagOf(t)))
	return strings.Split(printable(text), `\`)
}

func textOf(a *dicom.Attributes, t tag.Tag) string {
	text, _ := dicom.Reading(a.Reading(tagOf(t)))
	return printable(text)
}

// copier copies from a source into one object.
type copier struct {
	Source
	keeps bool // its bytes and its character set
}

func (s Source) copier() copier { return copier{s, s.keeps()} }

// value returns the value of t as an object copies it.
func (s copier) value(t tag.Tag) any {
	e, ok := s.Attributes.Get(tagOf(t))
	switch {
	case ok && s.keeps && len(e.Value) > 0 && (strings.Trim(s.text(t), "^= ") != "" || s.fromStudy(t) == ""):
		return kept{e.Value, printable(s.Attributes.Whole(tagOf(t)))}
	case strings.Trim(s.text(t), "^= ") != "":
		return s.whole(t)
	case s.fromStudy(t) != "":
		return strings.Split(s.fromStudy(t), `\`)
	case s.text(t) != "":
		return s.whole(t)
	}
	return []string{}
}

// fromStudy is what other instances of the examination say of t, and may be said in the object's character set.
func (s copier) fromStudy(t tag.Tag) string {
	v, doubtful := dicom.Reading(map[tag.Tag]string{
		tag.PatientName: s.Study.PatientName, tag.PatientID: s.Study.PatientID, tag.IssuerOfPatientID: s.Study.IssuerOfPatientID,
		tag.PatientBirthDate: s.Study.PatientBirthDate, tag.PatientSex: s.Study.PatientSex, tag.AccessionNumber: s.Study.AccessionNumber,
		tag.StudyDate: s.Study.StudyDate, tag.StudyTime: s.Study.StudyTime, tag.StudyDescription: s.Study.StudyDescription,
	}[t])
	if doubtful || s.keeps && dicom.ASCII(v) != v {
		return ""
	}
	return printable(v)
}

// matching returns the value of t when it matches, else "".
func (s Source) matching(t tag.Tag, pattern *regexp.Regexp) string {
	if v := s.text(t); pattern.MatchString(v) {
		return v
	}
	return ""
}

// valid returns the value of t when it keeps the rules of its VR, else "".
func (s Source) valid(t tag.Tag) string {
	if v := s.text(t); dicom.CheckText(vr(t), v) == nil {
		return v
	}
	return ""
}

func (s Source) instance() dicom.SOPInstance { return s.Attributes.Header().SOPInstance }

// Aspect is the shape of its pixels.
func (s Source) Aspect() dicom.Aspect { return cmp.Or(s.Attributes.Aspect(), s.Stream) }

// aspect says of what has the rows and columns of the source which shape its pixels have.
func (s Source) aspect(ds dataset) {
	if texts := s.Aspect().Texts(); texts != nil {
		ds.set(tag.PixelAspectRatio, texts...)
	}
}

// frames is the number of frames; 1 where the attribute is absent.
func (s Source) frames() int {
	if s.Moving > 0 {
		return s.Moving
	}
	if n, ok := s.Attributes.Int(tagOf(tag.NumberOfFrames)); ok && n > 1 {
		return n
	}
	return 1
}

// zone is the time zone that the times of the source are in: a data set has one Timezone Offset From UTC for all.
func (s Source) zone(fallback *time.Location) *time.Location {
	v := s.matching(tag.TimezoneOffsetFromUTC, zoneValue)
	if v == "" {
		if fallback == nil {
			return time.UTC
		}
		return fallback
	}
	hours, _ := strconv.Atoi(v[1:3])
	minutes, _ := strconv.Atoi(v[3:])
	seconds := hours*3600 + minutes*60
	if v[0] == '-' {
		seconds = -seconds
	}
	return time.FixedZone("", seconds)
}

// patientAndStudy copies the Patient and General Study modules (PS3.3 C.7.1.1, C.7.2.1). They must equal those of the
// other instances of the study, so names and numbers are copied whole even where they break a limit of their VR.
// Type 2 attributes that the source lacks become zero-length.
func (s copier) patientAndStudy(ds dataset) {
	for _, t := range []tag.Tag{
		tag.PatientName, tag.PatientID, tag.StudyID, tag.AccessionNumber, tag.ReferringPhysicianName,
	} {
		ds[t] = s.value(t)
	}
	ds.set(tag.StudyInstanceUID, string(s.instance().StudyInstanceUID))
	for _, t := range []tag.Tag{tag.PatientBirthDate, tag.StudyDate, tag.StudyTime} {
		v := s.valid(t)
		if other := s.fromStudy(t); v == "" && dicom.CheckText(vr(t), other) == nil {
			v = other
		}
		ds.set(t, v)
	}
	sex := s.matching(tag.PatientSex, sexValue)
	if sex == "" && sexValue.MatchString(s.fromStudy(tag.PatientSex)) {
		sex = s.fromStudy(tag.PatientSex)
	}
	ds.set(tag.PatientSex, sex)
	ds.optional(tag.PatientAge, s.valid(tag.PatientAge))
	for _, t := range []tag.Tag{tag.StudyDescription, tag.IssuerOfPatientID} {
		if v := s.value(t); !empty(v) {
			ds[t] = v
		}
	}
	for _, t := range []tag.Tag{
		tag.IssuerOfPatientIDQualifiersSequence, tag.OtherPatientIDsSequence, tag.IssuerOfAccessionNumberSequence,
		tag.ProcedureCodeSequence,
	} {
		if items := s.items(s.Attributes, t, maxCopyDepth); len(items) > 0 {
			ds.items(t, items...)
		}
	}
}

// items copies the text attributes of a sequence; private and binary ones stay behind.
func (s copier) items(from *dicom.Attributes, t tag.Tag, depth int) []dataset {
	e, ok := from.Get(tagOf(t))
	if !ok || depth == 0 {
		return nil
	}
	var items []dataset
	for _, item := range e.Items {
		ds := dataset{}
		for it := range item.Tags() {
			s.element(ds, item, tag.Tag{Group: it.Group(), Element: it.Element()}, depth)
		}
		if len(ds) > 0 {
			items = append(items, ds)
		}
	}
	return items
}

func (s copier) element(ds dataset, from *dicom.Attributes, t tag.Tag, depth int) {
	e, _ := from.Get(tagOf(t))
	switch vr(t) {
	case "SQ":
		if items := s.items(from, t, depth-1); len(items) > 0 {
			ds.items(t, items...)
		}
	case "LO", "LT", "PN", "SH", "ST", "UC", "UT":
		if s.keeps && len(e.Value) > 0 {
			ds[t] = kept{e.Value, printable(from.Reading(tagOf(t)))}
			return
		}
		fallthrough
	case "AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR":
		switch {
		case t != tag.SpecificCharacterSet:
			var values []string
			for _, v := range from.Texts(tagOf(t)) {
				values = append(values, printable(v))
			}
			ds.set(t, values...)
		case s.keeps: // an item may have one of its own (PS3.3 C.12.1.1.2)
			ds[t] = kept{e.Value, printable(from.Reading(tagOf(t)))}
		}
	}
}

// request fills Referenced Request Sequence (PS3.3 table C.17-2) when the source knows the order it belongs to.
func (s copier) request(ds dataset) {
	requests := s.items(s.Attributes, tag.RequestAttributesSequence, maxCopyDepth)
	accession := s.value(tag.AccessionNumber)
	if len(requests) == 0 && empty(accession) && s.Order == nil {
		return
	}
	if len(requests) == 0 {
		requests = []dataset{{}}
	}
	var items []dataset
	for _, r := range requests {
		items = append(items, s.requestItem(r, accession))
	}
	ds.items(tag.ReferencedRequestSequence, items...)
}

func (s copier) requestItem(r dataset, accession any) dataset {
	item := dataset{}
	if set, own := r[tag.SpecificCharacterSet]; own {
		item[tag.SpecificCharacterSet] = set
	}
	take := func(t tag.Tag, otherwise any) {
		if item[t] = r[t]; empty(r[t]) {
			item[t] = otherwise
		}
	}
	item.set(tag.StudyInstanceUID, string(s.instance().StudyInstanceUID))
	item.items(tag.ReferencedStudySequence)
	take(tag.AccessionNumber, accession)
	for _, t := range []tag.Tag{
		tag.PlacerOrderNumberImagingServiceRequest, tag.FillerOrderNumberImagingServiceRequest,
		tag.RequestedProcedureID, tag.RequestedProcedureDescription,
	} {
		take(t, s.value(t))
	}
	item.items(tag.RequestedProcedureCodeSequence, r.sequence(tag.RequestedProcedureCodeSequence)...)
	if number := item.text(tag.AccessionNumber); s.Order != nil && (number == "" || s.Order.Names(number)) {
		s.fill(item, *s.Order)
	}
	return item
}

// fill gives a request what its order says and the source does not. What does not keep the rules of its VR is left out: it
// must not be cut, or written in letters that the item's character set may lack.
func (s copier) fill(item dataset, o ledger.Order) {
	says := func(t, v string) bool {
		return v != "" && dicom.CheckText(t, v) == nil && (dicom.ASCII(v) == v || !s.keeps)
	}
	for t, v := range map[tag.Tag]string{
		tag.AccessionNumber: o.Accession, tag.PlacerOrderNumberImagingServiceRequest: o.Placer.ID,
		tag.FillerOrderNumberImagingServiceRequest: o.Filler.ID, tag.RequestedProcedureID: o.RequestedProcedureID,
		tag.RequestedProcedureDescription: o.Service.Meaning, tag.ReasonForTheRequestedProcedure: o.Reason,
	} {
		if item.text(t) == "" && says(vr(t), v) {
			item.set(t, v)
		}
	}
	authority := func(number, issuer tag.Tag, i ledger.Identifier) {
		if item.text(number) == i.ID && says("UT", i.Authority) {
			item.items(issuer, dataset{tag.LocalNamespaceEntityID: []string{i.Authority}})
		}
	}
	authority(tag.PlacerOrderNumberImagingServiceRequest, tag.OrderPlacerIdentifierSequence, o.Placer)
	authority(tag.FillerOrderNumberImagingServiceRequest, tag.OrderFillerIdentifierSequence, o.Filler)
	if len(item.sequence(tag.RequestedProcedureCodeSequence)) == 0 && whole(o.Service) {
		item.items(tag.RequestedProcedureCodeSequence, coded(o.Service))
	}
}

// anatomy says what part of the body a picture shows (PS3.3 C.7.3.1, C.7.6.1): what its source says. Where that says
// nothing, it is the site of the class that the picture explains, which has to be one that is known. Nothing else is
// stated: a part that a network was not made for, or that is not known, has no Body Part Examined (type 3).
//
// Laterality (type 2C) must be absent for a part that is not paired. Of any other it is that of the source, and
// zero-length, which is unknown, where the source has none.
func (s Source) anatomy(ds dataset, site dicom.Code) {
	part := strings.ToUpper(s.text(tag.BodyPartExamined))
	if dicom.CheckText("CS", part) != nil {
		part = ""
	}
	region, stated := s.region()
	known := bodyPartsOfSCT[site.Value]
	switch {
	case stated && part == "":
		part = bodyPartsOfSCT[region.Value]
	case !stated && part == "":
		part, region = known, site
	case !stated && part == known:
		region = site
	}
	ds.optional(tag.BodyPartExamined, part)
	if region != (dicom.Code{}) {
		ds.items(tag.AnatomicRegionSequence, coded(region))
	}
	if slices.Contains(unpaired, part) || stated && bodyPartsOfSCT[region.Value] != "" {
		return
	}
	if laterality := s.text(tag.Laterality); laterality == "R" || laterality == "L" {
		ds.set(tag.Laterality, laterality)
	} else {
		ds.set(tag.Laterality)
	}
}

// region is the Anatomic Region Sequence of the source, as far as it is a whole code.
func (s Source) region() (dicom.Code, bool) {
	item := s.Attributes.Item(tagOf(tag.AnatomicRegionSequence), 0)
	if item == nil {
		return dicom.Code{}, false
	}
	c := dicom.Code{
		Value: textOf(item, tag.CodeValue), Scheme: textOf(item, tag.CodingSchemeDesignator), Meaning: textOf(item, tag.CodeMeaning),
	}
	if !whole(c) {
		return dicom.Code{}, false
	}
	return c, true
}

// whole says whether a code is one that an object may have.
func whole(c dicom.Code) bool {
	return c.Value != "" && c.Scheme != "" && c.Meaning != "" && len(c.Value) <= 16 && len(c.Scheme) <= 16 &&
		!strings.ContainsFunc(c.Value+c.Scheme+c.Meaning, forbidden)
}

// printable is s without what no text has.
func printable(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s))
}
