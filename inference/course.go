package inference

import (
	"fmt"
	"slices"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

// cecum is the site of the landmark that insertion ends and withdrawal begins with (SNOMED CT).
var cecum = dicom.Code{Value: "32713005", Scheme: "SCT"}

// Parts of an examination that the preparation is said of: of about so long, and no more than so many.
const (
	preparationPart  = 120.0 // seconds
	preparationParts = 10
)

// course is how an examination went, as far as its frames tell: those that count, in their order, and the segments in which classes
// persist. Nil where no frame counts.
func course(classes []analysis.Class, good []watched, segments []analysis.Segment) *analysis.Course {
	if len(good) == 0 {
		return nil
	}
	first, last := good[0].moment(), good[len(good)-1].moment()
	c := &analysis.Course{First: first, Last: last}
	c.Cecum = landmark(slices.DeleteFunc(slices.Clone(classes), func(class analysis.Class) bool {
		return class.Role != analysis.RoleLandmark || class.Site.Value != cecum.Value || class.Site.Scheme != cecum.Scheme
	}), good, segments)
	if l := c.Cecum; l != nil && l.Frames > 0 {
		// a recording that begins or ends with the cecum has no part of the way: no time is said of it
		c.Insertion = estimate(first, l.First, fmt.Sprintf("the first frame that counts (%d) to the first of the cecum (%d)", first.Frame, l.First.Frame))
		c.Withdrawal = estimate(l.Last, last, fmt.Sprintf("the last frame of the cecum (%d) to the last that counts (%d)", l.Last.Frame, last.Frame))
	}
	c.Preparation = preparation(classes, good)
	return c
}

func (f watched) moment() analysis.Moment {
	return analysis.Moment{Frame: f.number, At: f.at.Seconds()}
}

// estimate is the time between two frames; nil of one that is both.
func estimate(from, to analysis.Moment, computed string) *analysis.Estimate {
	if from.Frame == to.Frame {
		return nil
	}
	return &analysis.Estimate{Seconds: max(0, to.At-from.At), From: from, To: to, Computed: computed}
}

// landmark are the frames in which one of the classes of a place persists, each counted once; nil where there is no such class.
func landmark(classes []analysis.Class, good []watched, segments []analysis.Segment) *analysis.Landmark {
	if len(classes) == 0 {
		return nil
	}
	l := &analysis.Landmark{Class: classes[0].Name}
	for _, f := range good {
		seen := slices.ContainsFunc(classes, func(class analysis.Class) bool {
			return f.scores[class.Name] >= class.Threshold && slices.ContainsFunc(segments, func(s analysis.Segment) bool {
				return s.Class == class.Name && s.FirstFrame <= f.number && f.number <= s.LastFrame
			})
		})
		if !seen {
			continue
		}
		if l.Frames++; l.Frames == 1 {
			l.First = f.moment()
		}
		l.Last = f.moment()
	}
	return l
}

// preparation counts, for each class of role quality, the frames that have it in parts of equal time.
func preparation(classes []analysis.Class, good []watched) (all []analysis.Preparation) {
	from, to := good[0].at.Seconds(), good[len(good)-1].at.Seconds()
	parts := max(1, min(preparationParts, int((to-from)/preparationPart+0.999)))
	for _, class := range classes {
		if class.Role != analysis.RoleQuality {
			continue
		}
		own := make([]analysis.Preparation, parts)
		for i := range own {
			own[i] = analysis.Preparation{Class: class.Name, Start: from + (to-from)*float64(i)/float64(parts), End: from + (to-from)*float64(i+1)/float64(parts)}
		}
		for _, f := range good {
			i := 0
			if to > from {
				i = min(parts-1, int(float64(parts)*(f.at.Seconds()-from)/(to-from)))
			}
			own[i].Frames++
			if f.scores[class.Name] >= class.Threshold {
				own[i].Flagged++
			}
		}
		all = append(all, own...)
	}
	return all
}

// stretches are where frames, in their order, are discounted.
func stretches(frames []watched) (all []analysis.Stretch) {
	for i, f := range frames {
		if f.poor == "" {
			continue
		}
		if i == 0 || frames[i-1].poor != f.poor {
			all = append(all, analysis.Stretch{Why: f.poor, FirstFrame: f.number, Start: f.at.Seconds()})
		}
		s := &all[len(all)-1]
		s.LastFrame, s.End = f.number, f.at.Seconds()
		s.Frames++
	}
	return all
}

// weights are how much frames count in their clips, for the class that each counts most for, where that is known.
func weights(frames []watched) (all []analysis.Weight) {
	for _, f := range frames {
		if len(f.counts) == 0 {
			continue
		}
		most := 0.0
		for _, v := range f.counts {
			most = max(most, v)
		}
		all = append(all, analysis.Weight{Frame: f.number, At: f.at.Seconds(), Value: min(most, 1)})
	}
	return all
}
