package draft

import (
	"fmt"
	"slices"
	"time"

	"endogate/inference/analysis"
)

// Validate names everything that keeps d from being a document: the error is an *InvalidError. It quotes no value.
func (d Document) Validate() error {
	v := &validation{}
	v.check(d.Schema == Schema, "schema: must be %s", Schema)
	v.check(d.Study.Fileable(), "study: no UID")
	v.check(d.Number >= 1 && d.Version >= 1, "number, version: count from 1")
	v.check(slices.Contains([]Standing{Drafted, Signed, Amending, Amended, Withdrawn}, d.Standing), "standing: unknown")
	v.check(!d.At.IsZero() && d.At.Location() == time.UTC, "at: a time in UTC is needed")
	v.author("author", d.Author)
	v.check(d.Language != "" && d.Template != "", "language, template: one is missing")
	signed := d.Standing == Signed || d.Standing == Amended || d.Standing == Withdrawn
	v.check(signed == (d.Signature != nil), "signature: a signed or withdrawn report has one, and no other")
	if d.Signature != nil {
		v.author("signature", d.Signature.By)
		v.check(!d.Signature.By.System, "signature: the gateway does not sign")
		v.check(!d.Signature.Verified || !d.Signature.By.Unauthenticated, "signature: verified by nobody who signed in")
	}
	v.check(d.Predecessor != nil || d.Standing == Drafted || d.Standing == Signed, "predecessor: missing")
	v.sections(d.Sections)
	ids := v.findings(d.Findings)
	v.keyImages(d.KeyImages, ids)
	v.check(d.Notices != nil && d.Events != nil && d.Examination.Instances != nil, "notices, events, instances: null in the place of a list")
	u := d.Disclosure
	v.check(u.Models != nil && u.Masked != nil && u.Skipped != nil && u.Failed != nil && u.Contradicting != nil, "disclosure: null in the place of a list")
	v.check(u.Text != "", "disclosure: empty")
	if len(v.faults) > 0 {
		return &InvalidError{v.faults}
	}
	return nil
}

type validation struct{ faults []string }

func (v *validation) check(ok bool, format string, args ...any) {
	if !ok {
		v.faults = append(v.faults, fmt.Sprintf(format, args...))
	}
}

func (v *validation) author(place string, a Author) {
	v.check(a.Name != "" && clean(a.Name, maxLine) == nil, "%s: a name of one line is needed", place)
	v.check(!a.System || !a.Unauthenticated, "%s: the gateway is itself", place)
}

func (v *validation) sections(sections []Section) {
	var names []string
	v.check(sections != nil, "sections: null in the place of a list")
	for i, s := range sections {
		place := fmt.Sprintf("sections[%d]", i)
		v.check(s.Name != "" && !slices.Contains(names, s.Name), "%s: no name of its own", place)
		names = append(names, s.Name)
		v.check(slices.Contains([]Fill{FillPerson, FillOrder, FillAI, FillGateway}, s.Fill), "%s: fill: unknown", place)
		v.check(s.Text != "" && cleanText(s.Text) == nil, "%s: text: empty, too long or with control characters", place)
		v.author(place, s.By)
		v.check(s.Fill != FillGateway || s.By.System, "%s: the gateway's, and not by it", place)
	}
}

// findings returns the IDs of those that are there.
func (v *validation) findings(findings []Finding) []string {
	ids := []string{}
	v.check(findings != nil, "findings: null in the place of a list")
	for i, f := range findings {
		place := fmt.Sprintf("findings[%d]", i)
		v.check(f.ID != "" && !slices.Contains(ids, f.ID), "%s: no ID of its own", place)
		ids = append(ids, f.ID)
		v.check(slices.Contains([]Decision{Proposed, Accepted, Rejected, Changed}, f.Decision), "%s: decision: unknown", place)
		v.check((f.Decision == Proposed) == f.By.System, "%s: the gateway proposes, a person decides", place)
		v.check(slices.Contains([]analysis.Role{analysis.RoleFinding, analysis.RoleLandmark, analysis.RoleQuality}, f.Role), "%s: role: unknown", place)
		v.author(place, f.By)
		v.check(!zero(f.Code), "%s: code: missing", place)
		v.check(f.Probability >= 0 && f.Probability <= 1 && f.Threshold >= 0 && f.Threshold <= 1, "%s: probability, threshold: not from 0 to 1", place)
		v.check(f.Frames != nil && len(f.Frames) <= maxFrames, "%s: frames: null or too many", place)
		v.check(f.Flagged <= f.Analysed || f.Own(), "%s: more frames flagged than analysed", place)
		v.check(f.SizeMM >= 0 && f.SizeMM <= maxSizeMM, "%s: size_mm: impossible", place)
		v.check(f.Paris == "" || slices.Contains(parisForms, f.Paris), "%s: paris: unknown", place)
		v.check(cleanText(f.Text) == nil && clean(f.SiteText, maxLine) == nil, "%s: text, site_text: too long or with control characters", place)
	}
	return ids
}

func (v *validation) keyImages(images []KeyImage, findings []string) {
	var refs []ImageRef
	v.check(images != nil && len(images) <= maxImages, "key_images: null or too many")
	for i, k := range images {
		place := fmt.Sprintf("key_images[%d]", i)
		v.check(k.Finding == "" || slices.Contains(findings, k.Finding), "%s: of no finding in the report", place)
		v.check(!slices.Contains(refs, k.ref()), "%s: there twice", place)
		refs = append(refs, k.ref())
		v.check(k.Frame.Instance.SOPInstanceUID.Fileable() && k.Frame.Span.First >= 1, "%s: names no frame", place)
		v.author(place, k.By)
	}
}
