package reports

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
	"endogate/reports/draft"
)

var (
	personObserver     = dcm("121006", "Person")
	personObserverName = dcm("121008", "Person Observer Name")
	diameter           = sct("81827009", "Diameter") // PS3.16 CID 7470
	millimetre         = code("mm", "UCUM", "mm")
	languageNames      = map[string]string{"en": "English", "de": "German", "nb": "Norwegian Bokmål"}
)

// measurementReport is TID 1500 of a document: observed by the person who signed (TID 1003), each group with the algorithm
// whose finding it was (TID 4019).
func (r signed) measurementReport() ContentItem {
	items := []ContentItem{
		codeItem(HasConceptMod, language, languageOf(r.doc.Language)),
		codeItem(HasObsContext, observerType, personObserver),
		{Relationship: HasObsContext, ValueType: "PNAME", ConceptName: personObserverName, Text: personName(r.doc.Signature.By.Name)},
		codeItem(HasConceptMod, procedureReported, imagingProcedure),
	}
	if r.doc.Standing != draft.Withdrawn {
		items = append(items, r.imageLibrary(), r.groups())
	}
	return container("", measurementReportTitle, append(items, r.evaluations())...)
}

func languageOf(name string) dicom.Code {
	if meaning, ok := languageNames[name]; ok {
		return code(name, "RFC5646", meaning)
	}
	return english
}

// imageLibrary is TID 1600: what was received.
func (r signed) imageLibrary() ContentItem {
	group := container(Contains, imageLibraryGroup, codeItem(HasAcqContext, modality, modalityCode(r.source.Attributes.Header().Modality)))
	for _, i := range r.doc.Examination.Instances {
		group.Items = append(group.Items, imageItem(Contains, sourceImage, ImageRef{Instance: i.Instance}))
	}
	return container(Contains, imageLibraryTitle, group)
}

// groups are the findings that stand, in their key images. What a person said of a finding in several of them, its size, is
// said once: a size in each would read as so many lesions.
func (r signed) groups() ContentItem {
	measurements := container(Contains, imagingMeasurements)
	for i, f := range r.doc.Shown() {
		n := i + 1
		frames := r.shown(f)
		if len(frames) == 0 || len(size(f)) > 0 {
			measurements.Items = append(measurements.Items, r.group(f, n, dicom.UID(f.ID), r.whole(f, nil), analysis.HotRegion))
		}
		for _, frame := range frames {
			regions := outlined(f, frame)
			for i, region := range regions {
				measurements.Items = append(measurements.Items, r.group(f, n, r.tracking(f, frame, i), r.region(f, frame, region, i), frame.Outline))
			}
			if len(regions) == 0 {
				measurements.Items = append(measurements.Items, r.group(f, n, r.tracking(f, frame, 0), r.whole(f, &frame), analysis.HotRegion))
			}
		}
	}
	return measurements
}

// outlined are the contours of a finding in a frame, as [seen.regions] thins them.
func outlined(f draft.Finding, frame draft.Frame) [][][2]float64 {
	s := seen{result: analysis.Result{Rows: frame.Rows, Columns: frame.Columns}, finding: analysis.Finding{Role: f.Role, Contours: frame.Contours, Outline: frame.Outline}}
	if frame.Rows <= 0 || frame.Columns <= 0 {
		return nil
	}
	return s.regions()
}

// group is a measurement group: whose number it is in the report, what its region is, and whether the person decided.
func (r signed) group(f draft.Finding, n int, uid dicom.UID, items []ContentItem, of analysis.Outline) ContentItem {
	id := strconv.Itoa(n) + " " + printable(cmp.Or(f.Code.Meaning, f.Class))
	if f.Model.Name != "" {
		id = "AI-" + id
	}
	if of != analysis.HotRegion {
		id += ", " + of.Worded()
	}
	if !f.Decided() {
		id += ", not decided"
	}
	return container(Contains, measurementGroupTitle, append([]ContentItem{
		textItem(HasObsContext, trackingIdentifier, id),
		uidItem(HasObsContext, trackingUID, uid),
	}, items...)...)
}

// tracking is the Tracking Unique Identifier that the AI result has for the same region.
func (r signed) tracking(f draft.Finding, frame draft.Frame, region int) dicom.UID {
	if f.Model.Name == "" {
		return dicom.UID(f.ID)
	}
	return dicom.DerivedUID("tracking", string(r.doc.Study), string(frame.Instance.SOPInstanceUID), strconv.Itoa(frame.Span.First),
		f.Model.Name, f.Model.Version, f.Class, strconv.Itoa(region))
}

// region is TID 1410.
func (r signed) region(f draft.Finding, frame draft.Frame, region [][2]float64, number int) []ContentItem {
	p := frame.Probability
	if number < len(frame.Boxes) {
		p = frame.Boxes[number]
	}
	items := []ContentItem{codeItem(Contains, finding, f.Code), polylineItem(Contains, imageRegion, region, r.ref(frame))}
	if frame.Heatmap.SOPInstanceUID != "" && (number == 0 || frame.Outline != analysis.NetworkBox) { // of several boxes it is that of the first
		items = append(items,
			imageItem(Contains, illustrationOfROI, ImageRef{Instance: frame.Heatmap}),
			imageItem(Contains, visualExplanation, ImageRef{Instance: frame.Heatmap}))
	}
	items = append(items, site(f)...)
	return append(items, numItem(Contains, probability, decimal(p, 4), noUnits, algorithmOf(f)...))
}

// whole is TID 1501, of a frame as a whole or of none.
func (r signed) whole(f draft.Finding, frame *draft.Frame) []ContentItem {
	items := append([]ContentItem{codeItem(Contains, finding, f.Code)}, site(f)...)
	items = append(items, algorithmOf(f)...)
	if frame != nil && f.Model.Name != "" {
		items = append(items, numItem(Contains, probability, decimal(frame.Probability, 4), noUnits))
	}
	if frame == nil {
		return append(items, size(f)...)
	}
	items = append(items, imageItem(Contains, sourceOfMeasurement, r.ref(*frame)))
	if frame.Heatmap.SOPInstanceUID != "" {
		items = append(items, imageItem(Contains, visualExplanation, ImageRef{Instance: frame.Heatmap}))
	}
	return items
}

func site(f draft.Finding) []ContentItem {
	if f.Site == (dicom.Code{}) {
		return nil
	}
	return []ContentItem{codeItem(HasConceptMod, findingSite, f.Site)}
}

func size(f draft.Finding) []ContentItem {
	if f.SizeMM <= 0 || math.IsInf(f.SizeMM, 0) || math.IsNaN(f.SizeMM) {
		return nil
	}
	return []ContentItem{numItem(Contains, diameter, decimal(f.SizeMM, 1), millimetre)}
}

// algorithmOf is TID 4019; nothing for what a person added.
func algorithmOf(f draft.Finding) []ContentItem {
	if f.Model.Name == "" {
		return nil
	}
	return []ContentItem{
		textItem(HasConceptMod, algorithmName, f.Model.Name),
		textItem(HasConceptMod, algorithmVersion, f.Model.Version),
		textItem(HasConceptMod, algorithmParameters, "threshold="+decimal(f.Threshold, 2)),
	}
}

// evaluations are what the report says in words: how it stands, what was decided about each finding, and the sections that
// somebody wrote.
func (r signed) evaluations() ContentItem {
	c := container(Contains, qualitativeEvaluations)
	say := func(name dicom.Code, text string) {
		if text = paragraphs(text); text != "" {
			c.Items = append(c.Items, textItem(Contains, name, text))
		}
	}
	say(comment, r.claim())
	if r.doc.Standing == draft.Withdrawn {
		return c
	}
	for _, n := range slices.Concat(r.doc.Notices, r.doc.Events) {
		say(comment, n)
	}
	for _, f := range r.doc.Findings {
		say(comment, decided(f))
	}
	if len(r.doc.Shown()) > 0 {
		say(comment, notLesions)
	}
	for _, s := range r.doc.Sections {
		switch text := strings.TrimSpace(s.Text); {
		case text == "" || text == draft.ToBeCompleted:
		case s.Code.Value != "" && s.Code.Scheme != "" && s.Code.Meaning != "":
			say(s.Code, r.doc.Said(text))
		default:
			say(comment, s.Head+": "+r.doc.Said(text))
		}
	}
	say(comment, r.doc.Disclosure.Text)
	return c
}

// claim says what the signature is worth.
func (r signed) claim() string {
	s := r.doc.Signature
	text := r.standing() + " by " + printable(s.By.Name)
	if s.By.Unauthenticated {
		text += ", whom a client named and nobody authenticated"
	}
	text += "."
	switch {
	case r.doc.Standing == draft.Withdrawn:
		text += " Do not use the report that this one names as its predecessor."
	case !s.Verified:
		text += " Not verified by a reporting system."
	}
	if reason := cmp.Or(s.Reason, r.doc.Reason); reason != "" {
		text += " Reason: " + reason
	}
	return text
}

// decided is what a person decided about a finding.
func decided(f draft.Finding) string {
	by := printable(f.By.Name)
	var text string
	switch {
	case f.Model.Name == "":
		text = fmt.Sprintf("Added by %s: %s.", by, described(f))
	case f.Decision == draft.Accepted:
		text = fmt.Sprintf("AI finding accepted by %s: %s.", by, described(f))
	case f.Decision == draft.Rejected:
		text = fmt.Sprintf("AI finding rejected by %s: %s.", by, described(f))
	case f.Decision == draft.Changed:
		text = fmt.Sprintf("AI finding changed by %s: %s.", by, described(f))
		if f.Proposal != nil {
			text += " The model said: " + printable(f.Proposal.Meaning) + "."
		}
		if f.SiteProposal != nil {
			text += " The model's site: " + printable(f.SiteProposal.Meaning) + "."
		}
	default:
		text = "AI finding, not decided by the person who signed: " + described(f) + "."
	}
	for _, more := range []struct{ name, text string }{{"The AI result was retracted", f.Retracted}, {"Site", f.SiteText}, {"Paris", f.Paris}, {"Remark", f.Text}} {
		if more.text != "" {
			text += fmt.Sprintf(" %s: %s.", more.name, strings.TrimSuffix(more.text, "."))
		}
	}
	return text
}

// paragraphs is text for UT: lines end in CR and LF (PS3.5 6.1.3), and there is no other control character.
func paragraphs(text string) string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		lines = append(lines, printable(line))
	}
	return strings.TrimSpace(strings.Join(lines, "\r\n"))
}
