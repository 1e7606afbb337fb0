package inference

import (
	"cmp"
	"io"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

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

var validDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

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
	output, kind, clip, how := f.Required("output"), f.Required("kind"), f.Optional("clip"), f.Required("explain")
	b := &Bundle{
		Name:         readName(f.Required("name")),
		Version:      f.Required("version").Text(64), // LO, PS3.5 6.2
		Kind:         strict.OneOf(kind, Still, Video),
		IntendedUse:  f.Required("intended_use").Text(1024),
		Manufacturer: f.Required("manufacturer").Text(64),
		Input:        readInput(f.Required("input")),
		Preprocess:   readSteps(f.Optional("preprocess")),
		Output:       readOutput(output),
		Classes:      readClasses(f.Required("classes")),
		Explain:      readExplanation(how),
		Clip:         readClip(clip, f.Optional("head")),
		Stated:       readDigest(f.Optional("digest")),
	}
	b.Temporal = readTemporal(f, b.Kind)
	b.Reference = readReferences(f.Optional("reference"), b.ClassNames())
	if p := b.Output.Positive; p != "" && b.Output.Kind != OfClasses {
		output.Fault("positive is %q; boxes and masks are of every class by itself", p)
	} else if p != "" && (len(b.Classes) != 2 || !slices.Contains(b.ClassNames(), p)) {
		output.Fault("positive is %q; it names one of two classes, where the network has one value for both", p)
	}
	b.checkParts(output)
	b.checkClip(kind, clip, how)
	if len(b.Classes) == 1 && b.Output.Activation == Softmax && b.Output.Kind == OfClasses {
		output.Fault("activation is softmax with one class, which is 1.0 whatever the network says; sigmoid, or none where the network's output is a probability already")
	}
	return b
}

func readName(v strict.Value) string {
	name := v.Text(64)
	if name != "" && !validName.MatchString(name) {
		v.Fault("is %q; must be lower case letters, digits, '.', '_' and '-'", name)
		return ""
	}
	return name
}

func readDigest(v strict.Value) string {
	digest := v.Text(64)
	if digest != "" && !validDigest.MatchString(digest) {
		v.Fault("is %q; must be 64 hexadecimal digits in lower case, as model inspect prints them", digest)
		return ""
	}
	return digest
}

func readInput(v strict.Value) Input {
	f := v.Fields()
	defer f.Done()
	in := Input{
		Name:     f.Required("name").Text(256),
		Layout:   strict.OneOf(f.Required("layout"), NCHW, NHWC),
		Channels: strict.OneOf(f.Required("channels"), RGB, BGR),
		Resize:   strict.OneOf(f.Required("resize"), filterNames()...),
		DType:    strict.OneOf(f.Optional("dtype"), Float32, UInt8, Float16),
		Fit:      cmp.Or(strict.OneOf(f.Optional("fit"), Stretch, Letterbox, CenterCrop), Stretch),
		Scale:    1,
		Std:      [3]float64{1, 1, 1},
	}
	needed := f.Required // by numbers that are normalised
	if in.DType == UInt8 {
		needed = f.Optional
	}
	if scale := needed("scale"); scale.Present() {
		in.Scale = scale.Above(0, 1e6)
	}
	if size := f.Required("size"); size.Length(2) {
		sides := size.List()
		in.Rows, in.Columns = sides[0].Integer(1, maxSide), sides[1].Integer(1, maxSide)
	}
	if mean := needed("mean"); mean.Length(3) {
		for i, m := range mean.List() {
			in.Mean[i] = m.Number(-1e6, 1e6)
		}
	}
	if std := needed("std"); std.Length(3) {
		for i, s := range std.List() {
			in.Std[i] = s.Above(0, 1e6)
		}
	}
	if shorter := f.Optional("shorter_side"); shorter.Present() {
		if in.ShorterSide = shorter.Integer(1, maxSide); in.Fit != CenterCrop {
			shorter.Fault("is for fit: center-crop alone, which cuts the input out of a frame resized so")
		}
	}
	if pad := f.Optional("pad"); pad.Length(3) {
		for i, level := range pad.List() {
			in.Pad[i] = uint8(level.Integer(0, 255))
		}
		if in.Fit == Stretch {
			pad.Fault("is the colour beside the picture, where fit is letterbox or center-crop; a stretched frame has nothing beside it")
		}
	}
	if why := in.takes(0); why != "" && f.Present() {
		v.Fault("%s", why)
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
	steps := map[string]strict.Value{}
	given := 0
	for _, name := range []string{"crop_border", "mask_box", "crop", "exif"} {
		if steps[name] = f.Optional(name); steps[name].Present() {
			given++
		}
	}
	if f.Present() && given != 1 {
		v.Fault("a step must be one of crop_border, mask_box, crop and exif")
	}
	return Step{
		CropBorder: readCropBorder(steps["crop_border"]), MaskBox: readBox(steps["mask_box"]), Crop: readCrop(steps["crop"]),
		Exif: strict.OneOf(steps["exif"], "apply") == "apply",
	}
}

func readCrop(v strict.Value) *Crop {
	if !v.Length(4) {
		return nil
	}
	items := v.List()
	return &Crop{
		Top: items[0].Integer(0, math.MaxUint16), Left: items[1].Integer(0, math.MaxUint16),
		Rows: items[2].Integer(1, math.MaxUint16), Columns: items[3].Integer(1, math.MaxUint16),
	}
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
	o := Output{
		Name:       f.Required("name").Text(256),
		Activation: strict.OneOf(f.Required("activation"), None, Softmax, Sigmoid),
		Kind:       cmp.Or(strict.OneOf(f.Optional("kind"), OfClasses, OfBoxes, OfMask), OfClasses),
		Positive:   f.Optional("positive").Text(64),
	}
	boxes, mask := f.Optional("boxes"), f.Optional("mask")
	for _, of := range []struct {
		kind OutputKind
		key  strict.Value
	}{{OfBoxes, boxes}, {OfMask, mask}} {
		if of.key.Present() && o.Kind != of.kind {
			of.key.Fault("is for kind: %s alone", of.kind)
		}
	}
	if o.Kind == OfBoxes {
		o.Boxes = readBoxes(boxes)
	}
	if o.Kind == OfMask {
		if o.Mask = readMask(mask); o.Mask.Labels && o.Activation != None {
			mask.Fault("has values: labels, which are no logits: output.activation must be none")
		}
	}
	return o
}

// Boxes and masks, where nothing else is said.
const (
	defaultOverlap  = 0.45  // Ultralytics' iou
	defaultBoxes    = 10    // of a frame: each has a map of its own
	maxBoxes        = 100   // of a frame
	defaultLevel    = 0.5   // of a pixel's probability
	defaultSmallest = 0.001 // of the frame
	maxSkipped      = 4096
)

func readBoxes(v strict.Value) Boxes {
	b := Boxes{Columns: []Column{BoxColumn, ClassesColumn}, Format: Centred, Unit: Pixels, Background: NoBackground, Overlap: defaultOverlap, Most: defaultBoxes}
	if !v.Present() {
		return b
	}
	f := v.Fields()
	defer f.Done()
	b.From = f.Optional("from").Text(256)
	columns, labels := f.Optional("columns"), f.Optional("labels")
	if b.From != "" {
		b.Columns = []Column{ClassesColumn}
	}
	if b.Labels = labels.Text(256); b.Labels != "" {
		switch {
		case b.From == "":
			labels.Fault("needs boxes.from, which names the output that boxes are in")
		case columns.Present():
			labels.Fault("is for a network whose boxes, scores and labels are three outputs: leave boxes.columns out")
		}
		b.Columns, b.Corners, b.From = []Column{BoxColumn, ScoreColumn, LabelColumn}, b.From, ""
	} else if columns.Present() {
		b.Columns = nil
		for _, c := range columns.List() {
			b.Columns = append(b.Columns, strict.OneOf(c, BoxColumn, ObjectnessColumn, ClassesColumn, ScoreColumn, LabelColumn, SkipColumn))
		}
		if why := b.wrong(); why != "" {
			columns.Fault("%s", why)
		}
	}
	if skip := f.Optional("skip"); skip.Present() {
		if b.Skip = skip.Integer(1, maxSkipped); b.Labels != "" {
			skip.Fault("is for an output that has more values for each box, not for boxes, scores and labels in outputs of their own")
		}
	}
	b.Format = cmp.Or(strict.OneOf(f.Optional("format"), Centred, Corners, Cornered), b.Format)
	b.Unit = cmp.Or(strict.OneOf(f.Optional("unit"), Pixels, Fractions), b.Unit)
	b.Background = cmp.Or(strict.OneOf(f.Optional("background"), NoBackground, FirstBackground, LastBackground), NoBackground)
	if overlap := f.Optional("overlap"); overlap.Present() {
		b.Overlap = overlap.Above(0, 1)
	}
	if most := f.Optional("most"); most.Present() {
		b.Most = most.Integer(1, maxBoxes)
	}
	return b
}

func readMask(v strict.Value) Mask {
	m := Mask{Level: defaultLevel, Smallest: defaultSmallest, Background: NoBackground}
	if !v.Present() {
		return m
	}
	f := v.Fields()
	defer f.Done()
	m.Background = cmp.Or(strict.OneOf(f.Optional("background"), NoBackground, FirstBackground, LastBackground), NoBackground)
	m.Labels = strict.OneOf(f.Optional("values"), "probabilities", "labels") == "labels"
	if level := f.Optional("level"); level.Present() {
		m.Level = level.Above(0, 1)
	}
	if smallest := f.Optional("smallest"); smallest.Present() {
		m.Smallest = smallest.Above(0, 1)
	}
	return m
}

// defaultBudget is for the map of one finding by a method of many runs.
const defaultBudget = 30 * time.Second

func readExplanation(v strict.Value) Explain {
	f := v.Fields()
	defer f.Done()
	e := Explain{Budget: defaultBudget, Fallback: explain.Occlusion}
	e.Method = strict.OneOf(f.Required("method"), append(quickMethods(), append(slowMethods(), NoMethod)...)...)
	layer := f.Optional("layer")
	if e.Layer = layer.Text(256); !layer.Present() {
		e.Layer = explain.LastLayer
	}
	if e.Layer == NoMethod { // as it was said before there was a method of that name
		e.Method, e.Layer = NoMethod, explain.LastLayer
	}
	if fallback := f.Optional("fallback"); fallback.Present() {
		e.Fallback = explain.Method(strict.OneOf(fallback, append(slowMethods(), NoMethod)...))
	}
	if budget := f.Optional("budget"); budget.Present() {
		text := budget.Text(32)
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 || d > time.Hour {
			budget.Fault("is %q; must be a time with its unit, up to 1h, such as 30s", text)
		}
		e.Budget = d
	}
	if grid := f.Optional("grid"); grid.Present() {
		e.Grid = readGrid(grid)
	}
	return e
}

func readGrid(v strict.Value) explain.TokenGrid {
	f := v.Fields()
	defer f.Done()
	g := explain.TokenGrid{Rows: f.Required("rows").Integer(1, maxSide), Columns: f.Required("columns").Integer(1, maxSide)}
	if tokens := f.Optional("tokens"); tokens.Present() {
		g.Tokens = tokens.Integer(0, maxSide)
	}
	return g
}

// maxReferences bounds the frames that a start has to run.
const maxReferences = 64

func readReferences(v strict.Value, classes []string) []Reference {
	items := v.List()
	if len(items) > maxReferences {
		v.Fault("has %d frames; at most %d are allowed", len(items), maxReferences)
		return nil
	}
	all := make([]Reference, len(items))
	for i, item := range items {
		all[i] = readReference(item, classes)
	}
	return all
}

func readReference(v strict.Value, classes []string) Reference {
	f := v.Fields()
	defer f.Done()
	frame := f.Optional("clip") // of a model of videos
	if !frame.Present() {
		frame = f.Required("frame")
	}
	r := Reference{Frame: frame.Text(256), Probabilities: map[string]Expected{}}
	if r.Frame != "" && !filepath.IsLocal(r.Frame) {
		frame.Fault("is %q; must be a picture, or a folder of a clip's frames, within the bundle", r.Frame)
	}
	if tolerance := f.Optional("tolerance"); tolerance.Present() {
		r.Tolerance = tolerance.Above(0, 1)
	}
	listed := f.Required("probabilities")
	p := listed.Fields()
	defer p.Done()
	for _, class := range classes {
		if value := p.Optional(class); class != "" && value.Present() {
			r.Probabilities[class] = Expected{value.Number(0, 1), rounding(value.Text(64))}
		}
	}
	if listed.Present() && len(r.Probabilities) == 0 {
		listed.Fault("names none of the classes")
	}
	return r
}

// rounding is half a unit of the last digit that a number is written with.
func rounding(number string) float64 {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(number), "e")
	_, digits, _ := strings.Cut(mantissa, ".")
	e, _ := strconv.Atoi(exponent)
	return 0.5 * math.Pow10(e-len(digits))
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

// slowMethods are those of many runs of the network that need no gradient.
func slowMethods() []string {
	return []string{string(explain.Occlusion), string(explain.RISE), string(explain.ScoreCAM)}
}
