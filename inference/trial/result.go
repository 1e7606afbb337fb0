package trial

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"endogate/inference/figures"
)

// Result is how well a model classifies some sets.
type Result struct {
	Model   string      `json:"model"`
	Version string      `json:"version"`
	Digest  string      `json:"sha256"`
	Classes []string    `json:"classes"`
	Rule    string      `json:"rule"` // how a frame is called
	Groups  []string    `json:"groups,omitempty"`
	Sets    []SetResult `json:"sets"`
}

// SetResult is that of one set.
type SetResult struct {
	Name     string     `json:"name"`
	From     string     `json:"from"`
	Frames   int        `json:"frames"`
	OverTime int        `json:"over_time,omitempty"` // of them, those that are clips, videos or parts of videos
	LeftOut  int        `json:"left_out"`            // without a label
	Unread   string     `json:"unread,omitempty"`
	Variants []Measured `json:"variants"`
	Groups   []Group    `json:"groups,omitempty"` // by the first variant
	Worst    []Mistake  `json:"worst"`
}

// Measured are the figures of frames prepared in one way.
type Measured struct {
	Name        string              `json:"name,omitempty"`
	Frames      int                 `json:"frames"`
	Classes     []Class             `json:"classes"`
	Macro       figures.Table       `json:"macro"`
	MacroOf     int                 `json:"macro_of"` // the classes that have frames
	Right       figures.Figure      `json:"right"`    // frames called rightly, where a frame is of one class
	Reliability figures.Reliability `json:"reliability"`
	Confusion   [][]int             `json:"confusion,omitempty"` // rows: what frames are; columns: what they were called
}

// Class are the figures of one class against all others.
type Class struct {
	Class string `json:"class"`
	figures.Counts
	Table       figures.Table       `json:"table"`
	AUC         figures.Figure      `json:"auc"`
	Points      []Point             `json:"points"`
	Reliability figures.Reliability `json:"reliability"`
}

// Point is an operating point.
type Point struct {
	Name        string         `json:"name"`
	Threshold   float64        `json:"threshold,omitempty"`
	Counts      figures.Counts `json:"counts,omitzero"`
	Sensitivity figures.Figure `json:"sensitivity,omitzero"`
	Specificity figures.Figure `json:"specificity,omitzero"`
	None        string         `json:"none,omitempty"` // why there is no such point
}

// Group are the figures of frames with a value in a column.
type Group struct {
	Column string `json:"column"`
	Value  string `json:"value"`
	Measured
}

// Mistake is a frame that was called wrongly.
type Mistake struct {
	Frame       string   `json:"frame"`
	Is          []string `json:"is"`
	Called      string   `json:"called"` // "" where it was called nothing
	Probability float64  `json:"probability"`
	pictures    []shot
}

// WriteJSON writes all of it.
func (r *Result) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteText writes tables for people.
func (r *Result) WriteText(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	reasons := map[string]bool{}
	show := func(f figures.Figure) string {
		for _, why := range []string{f.None, f.Note} {
			if why != "" {
				reasons[why] = true
			}
		}
		return f.String()
	}
	for _, s := range r.Sets {
		what := fmt.Sprintf("%d frames", s.Frames)
		switch s.OverTime {
		case 0:
		case s.Frames:
			what = fmt.Sprintf("%d clips, videos or parts of videos", s.OverTime)
		default:
			what = fmt.Sprintf("%d frames, and %d clips, videos or parts of videos", s.Frames-s.OverTime, s.OverTime)
		}
		fmt.Fprintf(w, "\nset %s: %s of %s", s.Name, what, s.From)
		if s.LeftOut > 0 {
			fmt.Fprintf(w, "; %d without a label left out", s.LeftOut)
		}
		fmt.Fprintf(w, "\n")
		for _, v := range s.Variants {
			if v.Right.N > 0 {
				fmt.Fprintf(w, "%s: %s of frames called rightly, expected calibration error %s\n", v.Name, show(v.Right), show(v.Reliability.ECE))
			} else {
				fmt.Fprintf(w, "%s\n", v.Name)
			}
			fmt.Fprintf(w, "class\tframes\tPREC\tREC\tSPEC\tACC\tMCC\tF1\tAUC\n")
			for _, c := range v.Classes {
				fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", c.Class, c.TP+c.FN, tableText(c.Table, show), show(c.AUC))
			}
			fmt.Fprintf(w, "macro of %d\t\t%s\t\n", v.MacroOf, tableText(v.Macro, show))
		}
		fmt.Fprintf(w, "class\tat\tthreshold\tsensitivity\tspecificity\n")
		for _, c := range s.Variants[0].Classes {
			for _, p := range c.Points {
				if p.None != "" {
					fmt.Fprintf(w, "%s\t%s\t–\t%s\t\n", c.Class, p.Name, p.None)
					continue
				}
				fmt.Fprintf(w, "%s\t%s\t%.3g\t%s\t%s\n", c.Class, p.Name, p.Threshold, show(p.Sensitivity), show(p.Specificity))
			}
		}
		for _, g := range s.Groups {
			fmt.Fprintf(w, "%s %s: %d frames", g.Column, g.Value, g.Frames)
			for _, c := range g.Classes {
				if c.TP+c.FN > 0 {
					fmt.Fprintf(w, "; %s REC %s, SPEC %s, AUC %s", c.Class, show(c.Table.Recall), show(c.Table.Specificity), show(c.AUC))
				}
			}
			fmt.Fprintf(w, "\n")
		}
		if s.Unread != "" {
			fmt.Fprintf(w, "%s\n", s.Unread)
		}
	}
	fmt.Fprintf(w, "\n%s; 95 %% intervals in brackets; – where a figure cannot be computed.\n", r.Rule)
	fmt.Fprintf(w, "  %s\n", alikeWords)
	for _, why := range sorted(reasons) {
		fmt.Fprintf(w, "  %s\n", why)
	}
	return w.Flush()
}

// alikeWords say what the intervals leave out, as the page does.
const alikeWords = "frames of one examination and parts of one video are alike, so that the intervals are narrower than they would be by patient"

func tableText(t figures.Table, show func(figures.Figure) string) string {
	var cells []string
	for _, f := range []figures.Figure{t.Precision, t.Recall, t.Specificity, t.Accuracy, t.MCC, t.F1} {
		cells = append(cells, show(f))
	}
	return strings.Join(cells, "\t")
}
