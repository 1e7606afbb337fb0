package reports

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

// maxListed bounds the findings of a class that a report lists one by one: nobody reads more, and a report of a video
// would have thousands.
const maxListed = 200

// notVerified is said in every report.
const notVerified = "AI-generated draft. Not verified."

// Report makes the structured report of an exam twice: as Comprehensive 3D SR, which IHE AI Results wants, and as
// Comprehensive SR for peers that do not accept the first. The trees are the same, the UIDs are not.
func (b *Builder) Report(e Exam) (comprehensive3D, comprehensive Object, err error) {
	if err := e.validate(); err != nil {
		return Object{}, Object{}, err
	}
	root, frames := b.measurementReport(e), e.sizes()
	if comprehensive3D, err = finish(b.report(e, dicom.Comprehensive3DSRStorage, root), frames); err != nil {
		return Object{}, Object{}, err
	}
	if comprehensive, err = finish(b.report(e, dicom.ComprehensiveSRStorage, root), frames); err != nil {
		return Object{}, Object{}, err
	}
	return comprehensive3D, comprehensive, nil
}

// documentInstance is revision of a document about an exam, with its name in the place of the SOP Instance UID.
func (e Exam) documentInstance(sopClass dicom.UID, purpose string, revision int) dicom.SOPInstance {
	study := e.Source.instance().StudyInstanceUID
	return dicom.SOPInstance{
		SOPClassUID: sopClass,
		SOPInstanceUID: dicom.DerivedUID("inst", string(sopClass), string(study),
			e.Algorithm.Name, e.Algorithm.Version, e.Algorithm.Digest, purpose, e.Route, strconv.Itoa(revision)),
		SeriesInstanceUID: seriesUID(study, sopClass, purpose, e.Algorithm),
		StudyInstanceUID:  study,
	}
}

func (b *Builder) report(e Exam, sopClass dicom.UID, root ContentItem) dataset {
	ds := dataset{}
	b.identify(ds, e.Source, e.documentInstance(sopClass, "sr", e.Revision), e.At, e.contributors()...)
	ds.set(tag.SeriesDescription, unique("AI results "+e.Algorithm.Name+" "+e.Algorithm.Version))
	ds.set(tag.CompletionFlag, "PARTIAL")
	ds.set(tag.CompletionFlagDescription, "AI draft awaiting physician review")
	ds.set(tag.VerificationFlag, "UNVERIFIED")
	ds.set(tag.PreliminaryFlag, "PRELIMINARY")
	ds.items(tag.AuthorObserverSequence, b.author(e.Algorithm.Model))
	ds.items(tag.PerformedProcedureCodeSequence, ds.sequence(tag.ProcedureCodeSequence)...)
	predecessor(ds, e.Previous, sopClass)
	documentHeader(ds, e.Source, "SR", "1500", e.Algorithm.series(0), max(e.Revision, 1), root)
	return ds
}

// predecessor names in a document what it takes the place of: that of its own SOP class, where there is one.
func predecessor(ds dataset, previous []dicom.SOPInstance, sopClass dicom.UID) {
	for _, p := range previous {
		if p.SOPClassUID == sopClass {
			ds.items(tag.PredecessorDocumentsSequence, evidence([]dicom.SOPInstance{p})...)
		}
	}
}

// measurementReport is TID 1500.
func (b *Builder) measurementReport(e Exam) ContentItem {
	items := []ContentItem{codeItem(HasConceptMod, language, english)} // TID 1204
	items = append(items, b.observer(e.Algorithm.Model)...)            // TID 1001
	items = append(items,
		codeItem(HasConceptMod, procedureReported, imagingProcedure),
		e.imageLibrary(),
		e.imagingMeasurements(),
		e.evaluations(),
	)
	return container("", measurementReportTitle, items...)
}

// imageLibrary is TID 1600: every analysed instance, a group (TID 1602) for each modality.
func (e Exam) imageLibrary() ContentItem {
	var order []string
	groups := map[string][]ContentItem{}
	for _, i := range e.analysed() {
		if _, ok := groups[i.Modality]; !ok {
			order = append(order, i.Modality)
		}
		groups[i.Modality] = append(groups[i.Modality], imageItem(Contains, sourceImage, ImageRef{Instance: i.SOPInstance}))
	}
	library := container(Contains, imageLibraryTitle)
	for _, m := range order {
		items := []ContentItem{codeItem(HasAcqContext, modality, modalityCode(m))}
		if region := e.Algorithm.region(); region != (dicom.Code{}) {
			items = append(items, codeItem(HasAcqContext, targetRegion, region))
		}
		library.Items = append(library.Items, container(Contains, imageLibraryGroup, append(items, groups[m]...)...))
	}
	return library
}

func modalityCode(modality string) dicom.Code {
	if meaning, ok := modalityMeanings[modality]; ok {
		return dcm(modality, meaning)
	}
	return dcm("OT", modalityMeanings["OT"])
}

// imagingMeasurements holds a measurement group for every region of a finding, and one for every finding without.
// A normal frame gets none: "not flagged" is no measurement, the evaluations count it. Groups are numbered by class, and say
// where they were seen: nobody knows which of them are of one lesion.
func (e Exam) imagingMeasurements() ContentItem {
	measurements, patient := container(Contains, imagingMeasurements), e.Source.discreet()
	var classes []string
	image := map[dicom.UID]int{} // as the image library counts
	for i, instance := range e.analysed() {
		image[instance.SOPInstanceUID] = i + 1
	}
	add := func(group func(s seen, index int) ContentItem, s seen, index, of int) {
		item := group(s, index)
		if !slices.Contains(classes, s.finding.Class) {
			classes = append(classes, s.finding.Class)
		}
		id := fmt.Sprintf("AI-%d %s, %s", slices.Index(classes, s.finding.Class)+1,
			patient.label(s.finding.Worded(), s.finding.Finding.Meaning), s.place(image[s.instance.SOPInstanceUID], index, of))
		if len(s.regions()) > 0 {
			id += ", " + s.finding.Outline.Worded()
		}
		id += " (" + e.by(s.instance).Name + ")" // a viewer shows those of several models side by side
		item.Items = append([]ContentItem{
			textItem(HasObsContext, trackingIdentifier, id),
			uidItem(HasObsContext, trackingUID, e.tracking(s, index)),
		}, item.Items...)
		measurements.Items = append(measurements.Items, item)
	}
	for _, s := range e.listed() {
		regions := s.regions()
		for i := range regions {
			add(func(s seen, i int) ContentItem { return e.planarROI(s, regions[i]) }, s, i, len(regions))
		}
		if len(regions) == 0 {
			add(func(s seen, _ int) ContentItem { return e.measurementGroup(s) }, s, 0, 1)
		}
	}
	for _, instance := range e.analysed() {
		for _, s := range e.stretches(instance) {
			measurements.Items = append(measurements.Items, e.stretch(instance, s, image[instance.SOPInstanceUID], patient))
		}
	}
	return measurements
}

// place is where s was seen: the number of the image, its frame, and which region of several there.
func (s seen) place(image, region, regions int) string {
	at := fmt.Sprintf("image %d", image)
	if ref := s.ref(); ref.Frame > 0 {
		at += fmt.Sprintf(" frame %d", ref.Frame)
	}
	switch {
	case s.finding.Number > 0:
		at += fmt.Sprintf(" box %d", s.finding.Number)
	case regions > 1:
		at += fmt.Sprintf(" region %d", region+1)
	}
	return at
}

// listed returns the findings that get groups of their own: of each class the maxListed with the highest probability,
// in the order of the exam.
func (e Exam) listed() []seen {
	byClass := map[string][]float64{}
	findings := slices.DeleteFunc(e.findings(), func(s seen) bool { return !s.key() })
	for _, s := range findings {
		byClass[s.finding.Class] = append(byClass[s.finding.Class], s.finding.Probability)
	}
	least, room := map[string]float64{}, map[string]int{} // of the probability that is just listed, how many fit
	for class, p := range byClass {
		slices.SortFunc(p, func(a, b float64) int { return cmp.Compare(b, a) })
		p = p[:min(len(p), maxListed)]
		least[class] = p[len(p)-1]
		room[class] = len(p) - slices.Index(p, least[class])
	}
	return slices.DeleteFunc(findings, func(s seen) bool {
		class, p := s.finding.Class, s.finding.Probability
		if s.finding.Role == analysis.RoleNormal || p < least[class] {
			return true
		}
		if p > least[class] {
			return false
		}
		room[class]--
		return room[class] < 0
	})
}

// tracking is the Tracking Unique Identifier of a region: the same in every revision of the report.
func (e Exam) tracking(s seen, region int) dicom.UID {
	i, by := s.instance.SOPInstance, e.by(s.instance)
	return dicom.DerivedUID("tracking", string(i.StudyInstanceUID), string(i.SOPInstanceUID), strconv.Itoa(s.result.Span.First),
		by.Name, by.Version, s.finding.Class, strconv.Itoa(max(s.finding.Number-1, 0)+region))
}

// regions returns the contours of a finding to look at, thinned, the largest first.
func (s seen) regions() [][][2]float64 {
	if s.finding.Role != analysis.RoleFinding {
		return nil
	}
	var out [][][2]float64
	for _, r := range s.finding.Contours {
		if thin := simplify(r, s.result.Columns, s.result.Rows); thin != nil {
			out = append(out, thin)
		}
	}
	if s.finding.Outline == analysis.NetworkBox { // the most probable first
		return out[:min(len(out), maxBoxes)]
	}
	slices.SortStableFunc(out, func(a, b [][2]float64) int {
		return cmp.Compare(math.Abs(area(b)), math.Abs(area(a)))
	})
	return out[:min(len(out), maxRegions)]
}

// planarROI is TID 1410: a finding with a region. Its probability names the algorithm (TID 1419, 4019).
func (e Exam) planarROI(s seen, region [][2]float64) ContentItem {
	items := []ContentItem{
		codeItem(Contains, finding, s.finding.Finding),
		polylineItem(Contains, imageRegion, region, s.ref()),
	}
	if heatmap := s.heatmap(); heatmap.SOPInstanceUID != "" {
		items = append(items,
			imageItem(Contains, illustrationOfROI, ImageRef{Instance: heatmap}),
			imageItem(Contains, visualExplanation, ImageRef{Instance: heatmap}))
	}
	if s.finding.Site != (dicom.Code{}) {
		items = append(items, codeItem(HasConceptMod, findingSite, s.finding.Site))
	}
	items = append(items, s.probability(e.algorithm(s)...))
	return container(Contains, measurementGroupTitle, items...)
}

// measurementGroup is TID 1501: a result about the whole frame. Here TID 4019 hangs below the group. That the
// probability was inferred from the whole frame (TID 320) is also said as a region: OHIF draws no group without one.
func (e Exam) measurementGroup(s seen) ContentItem {
	what, site := s.finding.Coded()
	items := []ContentItem{codeItem(Contains, finding, what)}
	if site != (dicom.Code{}) {
		items = append(items, codeItem(HasConceptMod, findingSite, site))
	}
	items = append(items, e.algorithm(s)...)
	items = append(items,
		s.probability(polylineItem(InferredFrom, sourceOfMeasurement, s.outline(), s.ref())),
		imageItem(Contains, sourceOfMeasurement, s.ref()))
	if heatmap := s.heatmap(); heatmap.SOPInstanceUID != "" {
		items = append(items, imageItem(Contains, visualExplanation, ImageRef{Instance: heatmap}))
	}
	return container(Contains, measurementGroupTitle, items...)
}

func (s seen) probability(items ...ContentItem) ContentItem {
	return numItem(Contains, probability, decimal(s.finding.Probability, 4), noUnits, items...)
}

// algorithm is TID 4019.
func (e Exam) algorithm(s seen) []ContentItem {
	return saidBy(e.by(s.instance), s.finding.Threshold)
}

func saidBy(by analysis.Model, threshold float64) []ContentItem {
	return []ContentItem{
		textItem(HasConceptMod, algorithmName, by.Name),
		textItem(HasConceptMod, algorithmVersion, by.Version),
		textItem(HasConceptMod, algorithmParameters, "threshold="+decimal(threshold, 2)),
	}
}
