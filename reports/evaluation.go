package reports

import (
	"fmt"
	"slices"
	"strings"

	"endogate/inference"
	"endogate/inference/analysis"
)

// evaluations are the statements about the whole exam: what was looked at, what was not and why, and for each class
// in how many frames it was flagged. They never say that something is absent, only that it was not flagged.
func (e Exam) evaluations() ContentItem {
	patient := e.Source.discreet()
	reasons := func(what string, reason func(Instance) string) []string {
		return reasons(what, e.Instances, func(i Instance) string { return patient.text(reason(i)) })
	}
	statements := []string{notVerified, e.extent()}
	if why := e.withdrawn(); why != "" {
		statements = []string{withdrawnReport, notVerified}
	}
	statements = append(statements, reasons("Retracted", func(i Instance) string { return i.Retracted })...)
	statements = append(statements, reasons("Skipped", func(i Instance) string { return i.Skipped })...)
	statements = append(statements, reasons("Failed", func(i Instance) string { return i.Failed })...)
	statements = append(statements, e.lacks(patient)...)
	statements = append(statements, e.versions()...)
	for _, c := range e.classes() {
		if frames := e.asked(c.Name); frames > 0 {
			flagged, found := e.flagged(c.Name), e.found(c.Name)
			c.Name, c.Site.Meaning = patient.label(c.Name, c.Finding.Meaning), patient.text(c.Site.Meaning)
			statements = append(statements, statement(c, flagged, frames))
			if found > maxListed && found > flagged && c.Role != analysis.RoleNormal {
				statements = append(statements, fmt.Sprintf("Only the %d boxes with the highest probability of %s are listed.", maxListed, c.Name))
			} else if flagged > maxListed && c.Role != analysis.RoleNormal {
				statements = append(statements, fmt.Sprintf("Only the %d frames with the highest probability of %s are listed.", maxListed, c.Name))
			}
		}
	}
	statements = append(statements, e.videos(patient)...)
	statements = append(statements, e.pictures(patient)...)
	if len(e.listed()) > 0 {
		statements = append(statements, notLesions)
	}
	c := container(Contains, qualitativeEvaluations)
	for _, s := range statements {
		c.Items = append(c.Items, textItem(Contains, comment, s))
	}
	return c
}

// notLesions is said wherever there are measurement groups: viewers list and count them.
const notLesions = "Each measurement group is a region, or a frame, that was flagged. Their number is not one of lesions: one lesion can be in many frames."

// maxListedSegments bounds the segments of a video that a report lists.
const maxListedSegments = 50

// videos say of each video what of it was looked at, and where in it something persists.
func (e Exam) videos(patient discreet) (out []string) {
	for n, i := range e.analysed() {
		if i.Moving == nil {
			continue
		}
		out = append(out, fmt.Sprintf("Video, image %d: %s. Together: %s.", n+1, i.Moving.Counted(), i.Moving.Rule))
		for _, line := range i.Moving.Course.Words() {
			out = append(out, fmt.Sprintf("Video, image %d: %s", n+1, patient.text(line)))
		}
		if len(e.stretches(i)) > 0 {
			out = append(out, fmt.Sprintf("Video, image %d: measurement groups named AI segment are of a stretch of it, from the first frame that was flagged to the last, in seconds since its first.", n+1))
		}
		listed := 0
		for _, s := range i.Moving.Segments {
			if s.Role == analysis.RoleNormal {
				continue
			}
			if listed++; listed > maxListedSegments {
				out = append(out, fmt.Sprintf("Only the first %d segments of the video are listed.", maxListedSegments))
				break
			}
			out = append(out, fmt.Sprintf("Video, image %d: %s persists from %s.", n+1, patient.label(e.worded(s.Class), ""), s))
		}
	}
	return out
}

// worded is what a class of the exam is called.
func (e Exam) worded(class string) string {
	return e.class(class).Worded()
}

// classes are those of the algorithm, then what other versions of it found besides.
func (e Exam) classes() []analysis.Class {
	classes := slices.Clone(e.Algorithm.Classes)
	for _, s := range e.findings() {
		if f := s.finding; !slices.ContainsFunc(classes, func(c analysis.Class) bool { return c.Name == f.Class }) {
			classes = append(classes, analysis.Class{Name: f.Class, Role: f.Role, Finding: f.Finding})
		}
	}
	return classes
}

// versions says which version of the algorithm analysed how much, where there are several.
func (e Exam) versions() []string {
	models := e.models()
	if len(models) == 1 {
		return nil
	}
	var parts []string
	for _, m := range models {
		frames := e.count(func(i Instance, _ analysis.Result) bool { return e.by(i) == m })
		parts = append(parts, fmt.Sprintf("%s (%d frames)", m.Version, frames))
	}
	return []string{fmt.Sprintf("The algorithm was replaced during the exam. Versions of %s: %s.", e.Algorithm.Name, strings.Join(parts, ", "))}
}

// extent says how much of the exam was analysed.
func (e Exam) extent() string {
	analysed, skipped, failed, retracted := 0, 0, 0, 0
	for _, i := range e.Instances {
		switch {
		case len(i.Results) > 0:
			analysed++
		case i.Skipped != "":
			skipped++
		case i.Retracted != "":
			retracted++
		default:
			failed++
		}
	}
	counts := fmt.Sprintf("Instances analysed: %d (%d frames); skipped: %d; failed: %d.", analysed, e.frames(), skipped, failed)
	if retracted > 0 {
		counts += fmt.Sprintf(" Retracted: %d.", retracted)
	}
	switch {
	case analysed > 0:
		return counts
	case failed > 0:
		return "Analysis failed: no frame was analysed. " + counts
	}
	return "No frame was analysed. " + counts
}

// lacks names the frames that were not analysed in instances that were, and how many more instances lack some.
func (e Exam) lacks(patient discreet) (out []string) {
	more := 0
	for _, i := range e.analysed() {
		switch {
		case i.Lacks == "":
		case len(out) < maxLacks:
			out = append(out, fmt.Sprintf("Not all frames of an instance (%s) were analysed: %s.", i.SOPInstanceUID, strings.TrimSuffix(clip(printable(patient.text(i.Lacks)), 400), ".")))
		default:
			more++
		}
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("Not all frames of %d more instances were analysed.", more))
	}
	return out
}

// maxLacks bounds how many instances of which frames are missing a report names.
const maxLacks = 20

// reasons counts the instances for each reason, in alphabetical order.
func reasons(what string, instances []Instance, reason func(Instance) string) []string {
	counts := map[string]int{}
	var order []string
	for _, i := range instances {
		r := clip(printable(reason(i)), 200)
		if len(i.Results) > 0 || r == "" {
			continue
		}
		if counts[r]++; counts[r] == 1 {
			order = append(order, r)
		}
	}
	slices.Sort(order)
	var out []string
	for _, r := range order {
		out = append(out, fmt.Sprintf("%s: %d: %s", what, counts[r], strings.TrimSuffix(r, ".")+"."))
	}
	return out
}

func statement(c analysis.Class, flagged, frames int) string {
	switch {
	case c.Role == analysis.RoleLandmark && flagged > 0:
		return fmt.Sprintf("AI took %d of the %d analysed frames for %s. This says nothing about abnormality.", flagged, frames, c.Worded())
	case c.Role == analysis.RoleLandmark:
		return fmt.Sprintf("AI took none of the %d analysed frames for %s.", frames, c.Worded())
	case c.Role == analysis.RoleNormal:
		return fmt.Sprintf("AI took %d of the %d analysed frames for the %s. This is no statement about the organ or the exam.", flagged, frames, c.Worded())
	case c.Role == analysis.RoleQuality:
		return fmt.Sprintf("AI noted in %d of the %d analysed frames: %s.", flagged, frames, c.Worded())
	case flagged > 0:
		return fmt.Sprintf("AI flagged %s in %d of the %d analysed frames.", c.Worded(), flagged, frames)
	default:
		return fmt.Sprintf("AI did not flag %s in the %d analysed frames.", c.Worded(), frames)
	}
}

// pictures say what heatmaps and regions are, and what they are not, where there are any.
func (e Exam) pictures(patient discreet) (out []string) {
	regions, masked := map[analysis.Outline]bool{}, false
	for _, s := range e.findings() {
		if len(s.regions()) > 0 {
			regions[s.finding.Outline] = true
		}
		masked = masked || s.finding.Drawn != nil && len(s.finding.Drawn.Masked) > 0
	}
	for _, o := range analysis.Outlines() {
		if regions[o] {
			out = append(out, o.Meaning())
		}
	}
	if masked {
		out = append(out, "Parts of frames were masked and not seen by the network; heatmaps show them hatched, and hot regions end at them.")
	}
	var results []analysis.Result
	for _, i := range e.analysed() {
		results = append(results, i.Results...)
	}
	how := HowExplained(results)
	if own := e.Algorithm.Explain; how == "" && (own.Fallback != "" || own.Method == inference.NoMethod) {
		how = Explained(own)
	}
	if how != "" {
		out = append(out, clip(printable(patient.text("Heatmaps: "+strings.TrimSuffix(how, ".")+".")), 1024))
	}
	return out
}
