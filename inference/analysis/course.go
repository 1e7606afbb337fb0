package analysis

import (
	"fmt"
	"strings"
)

// Course is how an examination went, as far as the frames of its video tell. Everything in it is an estimate of images: that a picture
// was taken for a landmark is no verdict that the landmark was reached, and none that was not is none that it was not.
type Course struct {
	First Moment `json:"first"` // frame that counts: it is not too dark, and not out of the body
	Last  Moment `json:"last"`
	// Cecum are the frames taken for the cecum, of a model that has a landmark of that site; nil of one that has none.
	Cecum      *Landmark `json:"cecum,omitempty"`
	Insertion  *Estimate `json:"insertion,omitempty"`  // nil where no frame is taken for the cecum, or the first that counts already is
	Withdrawal *Estimate `json:"withdrawal,omitempty"` // the same, of the last that counts
	// Preparation says for parts of equal time, from the first frame to the last, in how many frames each class of role quality was found.
	Preparation []Preparation `json:"preparation,omitempty"`
}

// Moment is a frame and when it begins, in seconds since the first frame of the video.
type Moment struct {
	Frame int     `json:"frame"`
	At    float64 `json:"time_s"`
}

// Landmark are the frames in which a landmark persists; of none, First and Last are zero.
type Landmark struct {
	Class  string `json:"class"`
	Frames int    `json:"frames"` // analysed ones, at or above the threshold
	First  Moment `json:"first,omitzero"`
	Last   Moment `json:"last,omitzero"`
}

// Estimate is a span of time that frames suggest.
type Estimate struct {
	Seconds  float64 `json:"seconds"`
	From     Moment  `json:"from"`
	To       Moment  `json:"to"`
	Computed string  `json:"computed"` // in words, what it was computed from
}

// Preparation is what frames say of it in a part of the examination.
type Preparation struct {
	Class   string  `json:"class"`
	Start   float64 `json:"start_s"`
	End     float64 `json:"end_s"`
	Frames  int     `json:"frames"`  // that count
	Flagged int     `json:"flagged"` // of them, with the class at or above its threshold
}

// Words are what there is to say of how an examination went.
func (c *Course) Words() (lines []string) {
	if c == nil {
		return nil
	}
	lines = append(lines, fmt.Sprintf("First frame that counts at %s (frame %d), last at %s (frame %d).", Clock(c.First.At), c.First.Frame, Clock(c.Last.At), c.Last.Frame))
	switch l := c.Cecum; {
	case l == nil:
	case l.Frames == 0:
		lines = append(lines, "No frame was taken for the cecum over enough frames; that says nothing of whether it was reached.")
	default:
		lines = append(lines, fmt.Sprintf("Image of the cecum: %d frames from %s (frame %d) to %s (frame %d); an image, no verdict.", l.Frames, Clock(l.First.At), l.First.Frame, Clock(l.Last.At), l.Last.Frame))
	}
	for _, e := range []struct {
		name string
		*Estimate
	}{{"Insertion time", c.Insertion}, {"Withdrawal time", c.Withdrawal}} {
		if e.Estimate != nil {
			lines = append(lines, fmt.Sprintf("%s, estimate: %s, from %s.", e.name, Clock(e.Seconds), e.Computed))
		}
	}
	var parts []string
	for i, p := range c.Preparation {
		if i == 0 || p.Class != c.Preparation[i-1].Class {
			parts = append(parts, "")
		}
		text := fmt.Sprintf("%s to %s %d of %d", Clock(p.Start), Clock(p.End), p.Flagged, p.Frames)
		if last := &parts[len(parts)-1]; *last == "" {
			*last = p.Class + ": " + text
		} else {
			*last += ", " + text
		}
	}
	if len(parts) > 0 {
		lines = append(lines, "Frames flagged for the preparation, by time: "+strings.Join(parts, "; ")+".")
	}
	return lines
}

// validate says what is wrong with c, of a video of so many frames.
func (c *Course) validate(frames int) error {
	if c == nil {
		return nil
	}
	moments := []Moment{c.First, c.Last}
	if c.Cecum != nil && c.Cecum.Frames > 0 {
		moments = append(moments, c.Cecum.First, c.Cecum.Last)
	}
	for _, e := range []*Estimate{c.Insertion, c.Withdrawal} {
		if e != nil {
			moments = append(moments, e.From, e.To)
		}
	}
	for _, m := range moments {
		if m.Frame < 1 || m.Frame > frames || !(m.At >= 0) {
			return fmt.Errorf("a moment %+v", m)
		}
	}
	if len(c.Preparation) > maxSegments {
		return fmt.Errorf("a preparation in %d parts", len(c.Preparation))
	}
	for _, p := range c.Preparation {
		if !(p.Start >= 0 && p.End >= p.Start) || p.Frames < 0 || p.Flagged < 0 || p.Flagged > p.Frames {
			return fmt.Errorf("a preparation %+v", p)
		}
	}
	return nil
}
