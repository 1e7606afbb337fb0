package draft

import (
	"strconv"
	"strings"

	"endogate/inference/analysis"
)

// videosOf are the videos that models have looked at, of which a result stands.
func videosOf(exams []Exam) (all []Video) {
	for _, e := range exams {
		for _, i := range e.Instances {
			if i.Moving != nil && i.retracted(e) == "" {
				all = append(all, Video{Instance: i.SOPInstance, Number: i.Number, Model: i.by(e), Analysed: i.Moving.Analysed, Course: i.Moving.Course})
			}
		}
	}
	return all
}

// course says of each video how the examination went, as far as frames tell: estimates, for a person to confirm.
func (c composing) course() string {
	var lines []string
	for _, v := range c.d.Videos {
		lines = append(lines, c.of(v)...)
	}
	return strings.Join(lines, "\n")
}

func (c composing) of(v Video) (lines []string) {
	if v.Course == nil {
		return nil
	}
	image, model := strconv.Itoa(v.Number), v.Model.Name+" "+v.Model.Version
	lines = append(lines, c.l.say("course", "image", image, "model", model,
		"from", analysis.Clock(v.Course.First.At), "first", strconv.Itoa(v.Course.First.Frame), "to", analysis.Clock(v.Course.Last.At), "last", strconv.Itoa(v.Course.Last.Frame)))
	if l := v.Course.Cecum; l != nil {
		phrase := "course-cecum"
		if l.Frames == 0 {
			phrase = "course-cecum-unseen"
		}
		lines = append(lines, c.l.say(phrase, "image", image, "frames", strconv.Itoa(l.Frames), "analysed", strconv.Itoa(v.Analysed),
			"from", analysis.Clock(l.First.At), "to", analysis.Clock(l.Last.At)))
	}
	for _, e := range []struct {
		phrase string
		*analysis.Estimate
	}{{"course-insertion", v.Course.Insertion}, {"course-withdrawal", v.Course.Withdrawal}} {
		if e.Estimate != nil {
			lines = append(lines, c.l.say(e.phrase, "image", image, "time", analysis.Clock(e.Seconds),
				"from", analysis.Clock(e.From.At), "first", strconv.Itoa(e.From.Frame), "to", analysis.Clock(e.To.At), "last", strconv.Itoa(e.To.Frame)))
		}
	}
	var parts []string
	for i, p := range v.Course.Preparation {
		parts = append(parts, c.l.say("course-part", "from", analysis.Clock(p.Start), "to", analysis.Clock(p.End), "flagged", strconv.Itoa(p.Flagged), "frames", strconv.Itoa(p.Frames)))
		if i == len(v.Course.Preparation)-1 || v.Course.Preparation[i+1].Class != p.Class {
			lines = append(lines, c.l.say("course-preparation", "image", image, "class", c.l.say("quoted", "text", printable(p.Class)), "parts", strings.Join(parts, "; ")))
			parts = nil
		}
	}
	return lines
}
