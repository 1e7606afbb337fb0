package inference

import (
	"io"
	"math"
	"regexp"
	"strings"

	"endogate/dicomnode/dicom"
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
	f := &faults{file: file}
	limited := &io.LimitedReader{R: r, N: maxManifest}
	root, ok := parseManifest(limited, f)
	if limited.N == 0 {
		f.errs = nil
		f.add(0, "", "larger than %d bytes", maxManifest)
		return nil, f.err()
	}
	if !ok {
		return nil, f.err()
	}
	b := root.bundle()
	if err := f.err(); err != nil {
		return nil, err
	}
	return b, nil
}

func (v value) bundle() *Bundle {
	f := v.fields()
	defer f.done()
	return &Bundle{
		Name:         f.required("name").name(),
		Version:      f.required("version").text(64), // LO, PS3.5 6.2
		Kind:         oneOf(f.required("kind"), Still, Video),
		IntendedUse:  f.required("intended_use").text(1024),
		Manufacturer: f.required("manufacturer").text(64),
		Input:        f.required("input").input(),
		Preprocess:   f.optional("preprocess").steps(),
		Output:       f.required("output").output(),
		Classes:      f.required("classes").classes(),
		Explain:      f.required("explain").explanation(),
	}
}

func (v value) name() string {
	name := v.text(64)
	if name != "" && !validName.MatchString(name) {
		v.fault("is %q; must be lower case letters, digits, '.', '_' and '-'", name)
		return ""
	}
	return name
}

func (v value) input() Input {
	f := v.fields()
	defer f.done()
	in := Input{
		Name:     f.required("name").text(256),
		Layout:   oneOf(f.required("layout"), NCHW, NHWC),
		Channels: oneOf(f.required("channels"), RGB, BGR),
		Resize:   oneOf(f.required("resize"), filterNames()...),
		Scale:    f.required("scale").above(0, 1e6),
	}
	if size := f.required("size"); size.length(2) {
		sides := size.list()
		in.Rows, in.Columns = sides[0].integer(1, maxSide), sides[1].integer(1, maxSide)
	}
	if mean := f.required("mean"); mean.length(3) {
		for i, m := range mean.list() {
			in.Mean[i] = m.number(-1e6, 1e6)
		}
	}
	if std := f.required("std"); std.length(3) {
		for i, s := range std.list() {
			in.Std[i] = s.above(0, 1e6)
		}
	}
	return in
}

// length reports whether v is a list of n; anything else is a fault.
func (v value) length(n int) bool {
	if !v.present() {
		return false
	}
	before := len(v.faults.errs)
	items := v.list()
	if len(v.faults.errs) == before && len(items) != n {
		v.fault("has %d values; must have %d", len(items), n)
	}
	return len(items) == n
}

func (v value) steps() []Step {
	items := v.list()
	if len(items) > maxSteps {
		v.fault("has %d steps; at most %d are allowed", len(items), maxSteps)
		return nil
	}
	steps := make([]Step, len(items))
	for i, item := range items {
		steps[i] = item.step()
	}
	return steps
}

func (v value) step() Step {
	f := v.fields()
	defer f.done()
	crop, mask := f.optional("crop_border"), f.optional("mask_box")
	if f.present() && crop.present() == mask.present() {
		v.fault("a step must be either crop_border or mask_box")
	}
	return Step{CropBorder: crop.cropBorder(), MaskBox: mask.box()}
}

func (v value) cropBorder() *CropBorder {
	if !v.present() {
		return nil
	}
	f := v.fields()
	defer f.done()
	return &CropBorder{
		Threshold:   uint8(f.required("threshold").integer(0, 255)),
		MinFraction: f.required("min_fraction").above(0, 1),
		MinSize:     f.required("min_size").integer(1, math.MaxUint16), // Rows and Columns are US, PS3.3 C.7.6.3
	}
}

func (v value) box() *Box {
	if !v.length(4) {
		return nil
	}
	items := v.list()
	var edges [4]float64
	for i, item := range items {
		edges[i] = item.number(0, 1)
	}
	box := &Box{Left: edges[0], Top: edges[1], Right: edges[2], Bottom: edges[3]}
	if box.Right <= box.Left || box.Bottom <= box.Top {
		v.fault("is empty; must be [left, top, right, bottom] with left < right and top < bottom")
	}
	return box
}

func (v value) output() Output {
	f := v.fields()
	defer f.done()
	return Output{
		Name:       f.required("name").text(256),
		Activation: oneOf(f.required("activation"), Softmax, Sigmoid),
	}
}

func (v value) explanation() analysis.Explanation {
	f := v.fields()
	defer f.done()
	return analysis.Explanation{
		Method: oneOf(f.required("method"), quickMethods()...),
		Layer:  f.required("layer").text(256),
	}
}

func (v value) classes() []analysis.Class {
	items := v.list()
	switch {
	case v.present() && len(items) == 0:
		v.fault("must have at least one class")
	case len(items) > maxClasses:
		v.fault("has %d classes; at most %d are allowed", len(items), maxClasses)
		return nil
	}
	classes := make([]analysis.Class, len(items))
	seen := map[string]int{}
	for i, item := range items {
		classes[i] = item.class()
		name := classes[i].Name
		if first, twice := seen[name]; twice && name != "" {
			item.fault("name %q is already that of classes[%d]", name, first)
		} else {
			seen[name] = i
		}
	}
	return classes
}

func (v value) class() analysis.Class {
	f := v.fields()
	defer f.done()
	return analysis.Class{
		Name:      f.required("name").name(),
		Threshold: f.required("threshold").above(0, 1),
		Role:      oneOf(f.required("role"), analysis.RoleFinding, analysis.RoleLandmark, analysis.RoleNormal, analysis.RoleQuality),
		Finding:   f.required("finding").code(),
		Site:      f.optional("site").code(),
	}
}

var (
	snomedCode    = regexp.MustCompile(`^[1-9][0-9]{5,15}$`) // as long as Code Value can be; SH, PS3.5 6.2
	dicomCode     = regexp.MustCompile(`^[0-9]{6}$`)         // PS3.16 annex D
	loincCode     = regexp.MustCompile(`^[0-9]{1,7}-[0-9]$`)
	codingSchemes = regexp.MustCompile(`^[A-Z0-9][A-Z0-9_.-]{0,15}$`)
)

func (v value) code() dicom.Code {
	f := v.fields()
	defer f.done()
	value, scheme := f.required("code"), f.required("scheme")
	c := dicom.Code{Value: value.text(16), Scheme: scheme.text(16), Meaning: f.required("meaning").text(64)}
	if c.Value == "" || c.Scheme == "" {
		return c
	}
	switch {
	case !codingSchemes.MatchString(c.Scheme):
		scheme.fault("is %q; must be a Coding Scheme Designator such as SCT, DCM, LN or 99LOCAL", c.Scheme)
	case c.Scheme == "SCT" && !(snomedCode.MatchString(c.Value) && verhoeff(c.Value)):
		value.fault("%q is not a SNOMED CT identifier: 6 to 16 digits of which the last one checks the others", c.Value)
	case c.Scheme == "DCM" && !dicomCode.MatchString(c.Value):
		value.fault("%q is not a code of DICOM: 6 digits", c.Value)
	case c.Scheme == "LN" && !loincCode.MatchString(c.Value):
		value.fault("%q is not a LOINC code: digits, '-' and a check digit", c.Value)
	case strings.TrimSpace(c.Value) != c.Value:
		value.fault("%q must not begin or end with a space", c.Value)
	}
	return c
}

// verhoeff checks the last digit of a SNOMED CT identifier: multiplication in the
// dihedral group of order 10 over the permuted digits gives 0.
func verhoeff(digits string) bool {
	permutation := [10]int{1, 5, 7, 6, 2, 8, 3, 0, 9, 4}
	check := 0
	for i := range len(digits) {
		d := int(digits[len(digits)-1-i] - '0')
		for range i % 8 {
			d = permutation[d]
		}
		check = dihedral(check, d)
	}
	return check == 0
}

// dihedral multiplies in the symmetry group of the pentagon: 0 to 4 are rotations, 5 to 9 reflections.
func dihedral(a, b int) int {
	switch {
	case a < 5 && b < 5:
		return (a + b) % 5
	case a < 5:
		return 5 + (a+b-5)%5
	case b < 5:
		return 5 + (a-5-b+5)%5
	default:
		return (a - b + 5) % 5
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
