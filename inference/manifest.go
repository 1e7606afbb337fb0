package inference

import (
	"io"
	"math"
	"regexp"

	"endogate/configs/strict"
	"endogate/explain"
	"endogate/inference/analysis"
)

const (
	maxSide    = 4096
	maxClasses = 4096
	maxSteps   = 16
)

// Names become part of job IDs, UIDs and metrics.
var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// readManifest reads a manifest; file is how errors call it.
func readManifest(r io.Reader, file string) (*Bundle, error) {
	f := &strict.Faults{Prefix: "inference: ", File: file}
	root, ok := strict.Parse(r, maxManifest, f)
	if !ok {
		return nil, f.Err()
	}
	b := readBundle(root)
	if err := f.Err(); err != nil {
		return nil, err
	}
	return b, nil
}

func readBundle(v strict.Value) *Bundle {
	f := v.Fields()
	defer f.Done()
	return &Bundle{
		Name:         readName(f.Required("name")),
		Version:      f.Required("version").Text(64), // LO, PS3.5 6.2
		Kind:         strict.OneOf(f.Required("kind"), Still, Video),
		IntendedUse:  f.Required("intended_use").Text(1024),
		Manufacturer: f.Required("manufacturer").Text(64),
		Input:        readInput(f.Required("input")),
		Preprocess:   readSteps(f.Optional("preprocess")),
		Output:       readOutput(f.Required("output")),
		Classes:      readClasses(f.Required("classes")),
		Explain:      readExplanation(f.Required("explain")),
	}
}

func readName(v strict.Value) string {
	name := v.Text(64)
	if name != "" && !validName.MatchString(name) {
		v.Fault("is %q; must be lower case letters, digits, '.', '_' and '-'", name)
		return ""
	}
	return name
}

func readInput(v strict.Value) Input {
	f := v.Fields()
	defer f.Done()
	in := Input{
		Name:     f.Required("name").Text(256),
		Layout:   strict.OneOf(f.Required("layout"), NCHW, NHWC),
		Channels: strict.OneOf(f.Required("channels"), RGB, BGR),
		Resize:   strict.OneOf(f.Required("resize"), filterNames()...),
		Scale:    f.Required("scale").Above(0, 1e6),
	}
	if size := f.Required("size"); size.Length(2) {
		sides := size.List()
		in.Rows, in.Columns = sides[0].Integer(1, maxSide), sides[1].Integer(1, maxSide)
	}
	if mean := f.Required("mean"); mean.Length(3) {
		for i, m := range mean.List() {
			in.Mean[i] = m.Number(-1e6, 1e6)
		}
	}
	if std := f.Required("std"); std.Length(3) {
		for i, s := range std.List() {
			in.Std[i] = s.Above(0, 1e6)
		}
	}
	return in
}

func readSteps(v strict.Value) []Step {
	items := v.List()
	if len(items) > maxSteps {
		v.Fault("has %d steps; at most %d are allowed", len(items), maxSteps)
		return nil
	}
	steps := make([]Step, len(items))
	for i, item := range items {
		steps[i] = readStep(item)
	}
	return steps
}

func readStep(v strict.Value) Step {
	f := v.Fields()
	defer f.Done()
	crop, mask := f.Optional("crop_border"), f.Optional("mask_box")
	if f.Present() && crop.Present() == mask.Present() {
		v.Fault("a step must be either crop_border or mask_box")
	}
	return Step{CropBorder: readCropBorder(crop), MaskBox: readBox(mask)}
}

func readCropBorder(v strict.Value) *CropBorder {
	if !v.Present() {
		return nil
	}
	f := v.Fields()
	defer f.Done()
	return &CropBorder{
		Threshold:   uint8(f.Required("threshold").Integer(0, 255)),
		MinFraction: f.Required("min_fraction").Above(0, 1),
		MinSize:     f.Required("min_size").Integer(1, math.MaxUint16), // Rows and Columns are US, PS3.3 C.7.6.3
	}
}

func readBox(v strict.Value) *Box {
	if !v.Length(4) {
		return nil
	}
	items := v.List()
	var edges [4]float64
	for i, item := range items {
		edges[i] = item.Number(0, 1)
	}
	box := &Box{Left: edges[0], Top: edges[1], Right: edges[2], Bottom: edges[3]}
	if box.Right <= box.Left || box.Bottom <= box.Top {
		v.Fault("is empty; must be [left, top, right, bottom] with left < right and top < bottom")
	}
	return box
}

func readOutput(v strict.Value) Output {
	f := v.Fields()
	defer f.Done()
	return Output{
		Name:       f.Required("name").Text(256),
		Activation: strict.OneOf(f.Required("activation"), Softmax, Sigmoid),
	}
}

func readExplanation(v strict.Value) analysis.Explanation {
	f := v.Fields()
	defer f.Done()
	return analysis.Explanation{
		Method: strict.OneOf(f.Required("method"), quickMethods()...),
		Layer:  f.Required("layer").Text(256),
	}
}

func readClasses(v strict.Value) []analysis.Class {
	items := v.List()
	switch {
	case v.Present() && len(items) == 0:
		v.Fault("must have at least one class")
	case len(items) > maxClasses:
		v.Fault("has %d classes; at most %d are allowed", len(items), maxClasses)
		return nil
	}
	classes := make([]analysis.Class, len(items))
	seen := map[string]int{}
	for i, item := range items {
		classes[i] = readClass(item)
		name := classes[i].Name
		if first, twice := seen[name]; twice && name != "" {
			item.Fault("name %q is already that of classes[%d]", name, first)
		} else {
			seen[name] = i
		}
	}
	return classes
}

func readClass(v strict.Value) analysis.Class {
	f := v.Fields()
	defer f.Done()
	return analysis.Class{
		Name:      readName(f.Required("name")),
		Threshold: f.Required("threshold").Above(0, 1),
		Role:      strict.OneOf(f.Required("role"), analysis.RoleFinding, analysis.RoleLandmark, analysis.RoleNormal, analysis.RoleQuality),
		Finding:   f.Required("finding").Code(),
		Site:      f.Optional("site").Code(),
	}
}

// quickMethods are those that a gateway makes of every frame along with the classification: maps of a layer, in one run.
func quickMethods() []string {
	var names []string
	for _, m := range explain.Methods() {
		if m.AtLayer && !m.AtInput && !m.Runs {
			names = append(names, string(m.Method))
		}
	}
	return names
}
