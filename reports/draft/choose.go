package draft

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"endogate/inference/analysis"
)

// Choosing key images.
const (
	defaultKeyImages = 3
	// candidates are the most probable frames of a finding that are measured: each is decoded for it.
	candidates = 12
	// alike is the distance under which two frames show the same; different the one from which on it counts no more.
	alike, different = 0.17, 0.4
	// outlined is how many frames of a finding keep their contours in the document.
	outlined = 10
)

// candidate is a frame that may stand for a finding.
type candidate struct {
	frame   Frame
	quality Quality
	by      string // the person who chose it; empty: nobody did
}

// worth is what speaks for c as a picture: how sure the network is of it, how sharp it is and how well lit.
func (c candidate) worth() float64 {
	if !c.quality.measured() {
		return c.frame.Probability / 2
	}
	return c.frame.Probability * (0.5 + 0.3*c.quality.Sharpness + 0.2*c.quality.Exposure)
}

// distance is how different c looks from the nearest of others; 1 where there is none to compare it with.
func (c candidate) distance(others []candidate) float64 {
	nearest := 1.0
	for _, o := range others {
		switch {
		case c.frame.Instance == o.frame.Instance && c.frame.Span == o.frame.Span:
			return 0
		case c.quality.measured() && o.quality.measured():
			nearest = min(nearest, c.quality.Distance(o.quality))
		}
	}
	return nearest
}

// pick chooses at most k of them, the best first: each the one that is worth most, the more so the more it differs from
// those chosen already. What looks like one of them is left out.
func pick(from []candidate, k int) []candidate {
	var chosen []candidate
	for len(chosen) < k {
		best, value := -1, 0.0
		for i, c := range from {
			d := c.distance(chosen)
			if d < alike {
				continue
			}
			if v := c.worth() * (0.5 + 0.5*min(1, d/different)); v > value {
				best, value = i, v
			}
		}
		if best < 0 {
			break
		}
		chosen = append(chosen, from[best])
	}
	return chosen
}

// keyImages proposes the frames that stand for the findings of d: several for what is to be looked at, one for a landmark.
// It says of every frame where its map is hot, and keeps the contours of those that are looked at first.
func (t *Templates) keyImages(l *language, d *Document, in Input) {
	measured := map[string]Quality{}
	for i := range d.Findings {
		f := &d.Findings[i]
		f.Why = t.why(l, *f)
		shares := map[int]float64{}
		for k := range f.Frames {
			f.Frames[k].Position, shares[k] = l.position(f.Frames[k])
		}
		var from []candidate
		for _, frame := range f.Frames[:min(len(f.Frames), candidates)] {
			from = append(from, candidate{frame: frame, quality: in.measure(frame, measured)})
		}
		from = keyFrames(from)
		k := cmp.Or(in.KeyImages, defaultKeyImages)
		switch f.Role {
		case analysis.RoleLandmark:
			k = 1
		case analysis.RoleQuality:
			k = 0
		}
		if f.Retracted != "" {
			k = 0
		}
		for _, c := range pick(from, k) {
			d.KeyImages = append(d.KeyImages, KeyImage{Finding: f.ID, Frame: c.frame.outlined(), By: gateway, Why: t.keyWhy(l, *f, c), Caption: t.caption(l, *f, c.frame)})
		}
		for k := range f.Frames {
			if k >= outlined {
				f.Frames[k].Contours = nil
			}
			f.Frames[k].Contours = f.Frames[k].outline()
		}
	}
	d.KeyImages = d.KeyImages[:min(len(d.KeyImages), maxImages)]
}

// keyFrames leaves, where a finding is of frames in clips of a video, those that were explained: others may show nothing of it.
func keyFrames(from []candidate) []candidate {
	if !slices.ContainsFunc(from, func(c candidate) bool { return c.frame.Sheet.SOPInstanceUID != "" }) {
		return from
	}
	return slices.DeleteFunc(from, func(c candidate) bool { return c.frame.Heatmap.SOPInstanceUID == "" })
}

// measure asks for the quality of a frame, once.
func (in Input) measure(f Frame, known map[string]Quality) Quality {
	if in.Quality == nil {
		return Quality{}
	}
	key := fmt.Sprintf("%s %d %d", f.Instance.SOPInstanceUID, f.Span.First, f.Span.Count)
	q, ok := known[key]
	if !ok {
		q, _ = in.Quality(f.Instance, f.Span) // a frame that cannot be read any more is chosen by its probability
		known[key] = q
	}
	return q
}

// probability has two digits behind the language's mark.
func (l *language) probability(p float64) string {
	return strings.Replace(strconv.FormatFloat(p, 'f', 2, 64), ".", l.Phrases["decimal-mark"], 1)
}

// image names a frame as people do: the number of its instance, and of the frame in it where there are several.
func (f Frame) image() string {
	if f.Span.First == 1 && f.Span.Count == 1 {
		return strconv.Itoa(f.Number)
	}
	return fmt.Sprintf("%d/%d", f.Number, f.Span.First)
}

func (t *Templates) called(l *language, f Finding) string { return t.call(l, f.Code) }

func (m ModelUse) called() string { return m.Name + " " + m.Version }

// why is one sentence on why a finding is there.
func (t *Templates) why(l *language, f Finding) string {
	said := f
	said.restore()
	return l.say("why-"+string(f.Role), "model", f.Model.Name+" "+f.Model.Version, "term", t.called(l, said),
		"flagged", strconv.Itoa(f.Flagged), "analysed", strconv.Itoa(f.Analysed),
		"probability", l.probability(f.Probability), "threshold", l.probability(f.Threshold))
}

func (t *Templates) caption(l *language, f Finding, frame Frame) string {
	return l.say("caption", "term", t.called(l, f), "probability", l.probability(frame.Probability), "image", frame.image(),
		"model", f.Model.Name+" "+f.Model.Version)
}

// keyWhy says why a frame stands for a finding: class, probability, where in the picture, and what the map shows and what
// it does not.
func (t *Templates) keyWhy(l *language, f Finding, c candidate) string {
	if c.frame.Probability == 0 { // not flagged: the network has no part in it
		return l.say("chosen-by", "by", c.by)
	}
	where, shown := "", l.say("map-missing")
	switch position, share := l.position(c.frame); {
	case position != "":
		phrase := "where"
		if c.frame.Outline != analysis.HotRegion {
			phrase += "-" + string(c.frame.Outline)
		}
		where, shown = l.say(phrase, "position", position, "share", percent(share)), l.say("map")
		if c.frame.Heatmap.SOPInstanceUID == "" && c.frame.Outline != analysis.HotRegion {
			shown = ""
		}
	case c.frame.Heatmap.SOPInstanceUID != "":
		shown = l.say("map-without-region")
	}
	said := f
	said.restore()
	chosen := l.say("chosen")
	if c.by != "" {
		chosen = l.say("chosen-by", "by", c.by)
	} else if c.quality.measured() {
		chosen = l.say("chosen-measured", "sharpness", l.probability(c.quality.Sharpness), "exposure", l.probability(c.quality.Exposure))
	}
	text := l.say("key-why", "model", f.Model.Name+" "+f.Model.Version, "term", t.called(l, said), "probability", l.probability(c.frame.Probability),
		"threshold", l.probability(f.Threshold), "image", c.frame.image(), "where", where, "map", shown, "chosen", chosen)
	return oneSpace(text)
}
