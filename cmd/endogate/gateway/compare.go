package gateway

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"endogate/cmd/endogate/admin"
	"endogate/dicomnode/dicom"
	"endogate/inference"
)

// mostDifferences are shown of a comparison.
const mostDifferences = 50

// Compare implements admin.Operations.
func (o operations) Compare(ctx context.Context, a, b string, most int, turn func(context.Context) (done func(), err error), progress func(done, of int)) (admin.Comparison, error) {
	c := admin.Comparison{A: a, B: b, Classes: []admin.ClassComparison{}, Differences: []admin.Difference{}}
	for _, name := range []string{a, b} {
		model, ok := o.current().models.Live(name)
		if !ok {
			return c, fmt.Errorf("%w: there is no model %q", admin.ErrNotFound, name)
		}
		if model.Bundle.Kind == inference.Video {
			return c, errNoFrame
		}
	}
	frames, err := o.lastFrames(ctx, most)
	if err != nil {
		return c, err
	}
	var why error // of the frame skipped last
	t := tally{Comparison: &c, classes: map[string]*admin.ClassComparison{}}
	for i, f := range frames {
		progress(i, len(frames))
		sees := func(model string) (admin.Explanation, error) {
			done, err := turn(ctx)
			if err != nil {
				return admin.Explanation{}, err
			}
			defer done()
			return o.explanations.Explain(ctx, f.study, f.sop, f.frame, admin.Question{Model: model, As: admin.AsNone})
		}
		byA, err := sees(a)
		if err == nil {
			var byB admin.Explanation
			if byB, err = sees(b); err == nil {
				t.count(f, byA, byB)
			}
		}
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			c.Skipped++
			why = err
		}
	}
	if c.Frames == 0 && ctx.Err() == nil && why != nil {
		return c, fmt.Errorf("none of the last %d frames could be compared: %w", len(frames), why)
	}
	progress(c.Frames+c.Skipped, len(frames))
	for _, name := range slices.Sorted(maps.Keys(t.classes)) {
		c.Classes = append(c.Classes, *t.classes[name])
	}
	return c, ctx.Err()
}

// shot is a frame that is still here.
type shot struct {
	study, sop dicom.UID
	frame      int
}

// lastFrames are the frames of the studies that came last, of the instances whose bytes are still here and that are no videos.
func (o operations) lastFrames(ctx context.Context, most int) (all []shot, err error) {
	const some = 100
	for offset := 0; len(all) < most; offset += some {
		page, _, err := o.explanations.views.Studies(ctx, admin.StudyFilter{Limit: some, Offset: offset})
		if err != nil || len(page) == 0 {
			return all, err
		}
		here := 0
		for _, s := range page {
			instances, err := o.explanations.views.Instances(ctx, s.StudyInstanceUID, admin.Page{})
			if err != nil {
				return all, err
			}
			for _, i := range instances {
				ts, _ := dicom.LookupTransferSyntax(i.TransferSyntaxUID)
				if i.Released || ts.Video {
					continue
				}
				here++
				for n := 1; n <= max(i.NumberOfFrames, 1) && len(all) < most; n++ {
					all = append(all, shot{s.StudyInstanceUID, i.SOPInstanceUID, n})
				}
			}
		}
		if here == 0 {
			return all, nil // what came before is gone, too
		}
	}
	return all, nil
}

// tally counts a comparison.
type tally struct {
	*admin.Comparison
	classes map[string]*admin.ClassComparison
}

func (t tally) count(f shot, a, b admin.Explanation) {
	t.Frames++
	byA, byB := probabilities(a), probabilities(b)
	differ := admin.Difference{StudyInstanceUID: f.study, SOPInstanceUID: f.sop, Frame: f.frame, A: map[string]float64{}, B: map[string]float64{}}
	names := maps.Clone(byA)
	maps.Copy(names, byB)
	for name := range names {
		class := t.classes[name]
		if class == nil {
			class = &admin.ClassComparison{Class: name, Neither: t.Frames - 1}
			t.classes[name] = class
		}
		inA, inB := byA[name].found(), byB[name].found()
		switch {
		case inA && inB:
			class.Both++
		case inA:
			class.OnlyA++
		case inB:
			class.OnlyB++
		default:
			class.Neither++
		}
		if inA != inB {
			differ.A[name], differ.B[name] = byA[name].Probability, byB[name].Probability
		}
	}
	if len(differ.A) > 0 && len(t.Differences) < mostDifferences {
		t.Differences = append(t.Differences, differ)
	}
}

type said admin.ClassProbability

// found says that a class is at or above its threshold; one that a model does not have is not.
func (s said) found() bool { return s.Class != "" && s.Probability >= s.Threshold }

func probabilities(e admin.Explanation) map[string]said {
	all := map[string]said{}
	for _, p := range e.Probabilities {
		all[p.Class] = said(p)
	}
	return all
}
