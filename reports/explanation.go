package reports

import (
	"slices"
	"strings"

	"endogate/dicomnode/dicom"
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/analysis"
)

// methodOf is what is known of the method of an explanation; grad-CAM where none is named.
func methodOf(e analysis.Explanation) explain.MethodInfo {
	if info, ok := explain.LookupMethod(explain.Method(e.Method)); ok {
		return info
	}
	info, _ := explain.LookupMethod(explain.GradCAM)
	return info
}

// atLast reports whether an explanation is at the layer that is taken where none is named.
func atLast(e analysis.Explanation) bool {
	return e.Layer == "" || e.Layer == explain.LastLayer || !methodOf(e).AtLayer
}

// purposeOf tells the series of different explanations apart.
func purposeOf(e analysis.Explanation) string {
	purpose := string(methodOf(e).Method) + "-overlay"
	if !atLast(e) {
		purpose += "@" + e.Layer
	}
	return purpose
}

// derivationOf is the code of what was done (PS3.16 CID 217).
func derivationOf(e analysis.Explanation) dicom.Code {
	switch methodOf(e).Kind {
	case explain.ClassActivation:
		return classActivation
	case explain.Saliency:
		return saliency
	}
	return gradientWeighted
}

// describe says in words what was done.
func describe(e analysis.Explanation) string {
	title := methodOf(e).Title
	if !atLast(e) {
		title += " at " + e.Layer
	}
	return title
}

// Explained says in words how maps are made, and why not as was asked for.
func Explained(e analysis.Explanation) string {
	text := describe(e)
	if e.Method == inference.NoMethod {
		text = "not explained"
	} else if atLast(e) && methodOf(e).AtLayer {
		text += " at the last layer"
	}
	if e.Fallback != "" {
		text += "; " + e.Fallback
	}
	return text
}

// HowExplained says in words how the heatmaps of what was found were made, and where it was another way, how their hot regions
// were. Empty: there are none.
func HowExplained(results []analysis.Result) string {
	var shown, regions []string
	add := func(to *[]string, e analysis.Explanation) {
		if text := Explained(e); !slices.Contains(*to, text) {
			*to = append(*to, text)
		}
	}
	for _, r := range results {
		for _, f := range r.Findings {
			if f.Drawn == nil {
				continue
			}
			add(&shown, f.Drawn.Explanation)
			if f.Drawn.Region != nil {
				add(&regions, *f.Drawn.Region)
			}
		}
	}
	text := strings.Join(shown, "; ")
	if len(regions) > 0 {
		text += "; hot regions: " + strings.Join(regions, "; ")
	}
	return text
}

// imageFlavour is the method as a code string (PS3.5 6.2): upper case, at most 16 characters.
func imageFlavour(e analysis.Explanation) string {
	name := strings.NewReplacer("+", "P", "-", "_").Replace(strings.ToUpper(string(methodOf(e).Method)))
	return name[:min(len(name), 16)]
}

// seriesDescription names the method where it is not the one that everybody expects.
func (h Heatmap) seriesDescription() string {
	what := "AI heatmap "
	if e := h.Algorithm.Explain; methodOf(e).Method != explain.GradCAM || !atLast(e) {
		what += describe(e) + " "
	}
	return what + h.Algorithm.Name + " " + h.Algorithm.Version
}
