package figures

import "math"

// Counts are frames by what they are and what they were called.
type Counts struct {
	TP int `json:"true_positive"`
	FP int `json:"false_positive"`
	FN int `json:"false_negative"`
	TN int `json:"true_negative"`
}

// Add counts a frame.
func (c *Counts) Add(is, called bool) {
	switch {
	case is && called:
		c.TP++
	case is:
		c.FN++
	case called:
		c.FP++
	default:
		c.TN++
	}
}

// N is the number of frames.
func (c Counts) N() int { return c.TP + c.FP + c.FN + c.TN }

const (
	noPresent = "no frame is of the class"
	noAbsent  = "every frame is of the class"
	noCalled  = "no frame was called so"
	noFrames  = "no frame"
)

// Sensitivity is the share of the class that was called so: recall.
func (c Counts) Sensitivity() Figure { return Share(c.TP, c.TP+c.FN, noPresent) }

// Specificity is the share of the others that was not called so.
func (c Counts) Specificity() Figure { return Share(c.TN, c.TN+c.FP, noAbsent) }

// Precision is the share of what was called so that is of the class.
func (c Counts) Precision() Figure { return Share(c.TP, c.TP+c.FP, noCalled) }

// Accuracy is the share of frames that were called rightly, of this class or not.
func (c Counts) Accuracy() Figure { return Share(c.TP+c.TN, c.N(), noFrames) }

// F1 is the harmonic mean of precision and recall.
func (c Counts) F1() Figure {
	if n := 2*c.TP + c.FP + c.FN; n > 0 {
		return Figure{Value: 2 * float64(c.TP) / float64(n), N: c.N()}
	}
	return none("no frame is of the class, and none was called so")
}

// MCC is Matthews' correlation of what frames are and what they were called: -1 to 1.
func (c Counts) MCC() Figure {
	switch {
	case c.N() == 0:
		return none(noFrames)
	case c.TP+c.FN == 0:
		return none(noPresent)
	case c.TN+c.FP == 0:
		return none(noAbsent)
	case c.TP+c.FP == 0:
		return none(noCalled)
	case c.TN+c.FN == 0:
		return none("every frame was called so")
	}
	tp, fp, fn, tn := float64(c.TP), float64(c.FP), float64(c.FN), float64(c.TN)
	return Figure{Value: (tp*tn - fp*fn) / math.Sqrt((tp+fp)*(tp+fn)*(tn+fp)*(tn+fn)), N: c.N()}
}

// Table is what Hicks et al. (2018) give of a classifier in their Table I.
type Table struct {
	Precision   Figure `json:"prec"`
	Recall      Figure `json:"rec"`
	Specificity Figure `json:"spec"`
	Accuracy    Figure `json:"acc"`
	MCC         Figure `json:"mcc"`
	F1          Figure `json:"f1"`
}

// Table is that of the counts.
func (c Counts) Table() Table {
	return Table{c.Precision(), c.Sensitivity(), c.Specificity(), c.Accuracy(), c.MCC(), c.F1()}
}

// Macro is the mean of tables, each class weighing the same.
func Macro(tables []Table) Table {
	of := func(pick func(Table) Figure) Figure {
		all := make([]Figure, len(tables))
		for i, t := range tables {
			all[i] = pick(t)
		}
		return Mean(all)
	}
	return Table{
		of(func(t Table) Figure { return t.Precision }), of(func(t Table) Figure { return t.Recall }), of(func(t Table) Figure { return t.Specificity }),
		of(func(t Table) Figure { return t.Accuracy }), of(func(t Table) Figure { return t.MCC }), of(func(t Table) Figure { return t.F1 }),
	}
}
