package inference

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"endogate/explain"
	"endogate/inference/analysis"
)

// Files of a model bundle.
const (
	ManifestFile = "model.yaml"
	NetworkFile  = "model.onnx"
)

// maxManifest bounds what is parsed; a manifest with a thousand classes has 250 KiB.
const maxManifest = 1 << 20

// Kind says what a model looks at.
type Kind string

// The kinds of model.
const (
	Still Kind = "still"
	Video Kind = "video"
)

// Activation turns logits into probabilities.
type Activation string

// The activations.
const (
	None    Activation = "none"    // the network's output holds probabilities already
	Softmax Activation = "softmax" // one class of many
	Sigmoid Activation = "sigmoid" // each class by itself
)

// OutputKind says what the network's output tells of a frame.
type OutputKind string

// The kinds of output.
const (
	OfClasses OutputKind = "classes" // a value for each class
	OfBoxes   OutputKind = "boxes"   // boxes with a class and a probability, of a detector
	OfMask    OutputKind = "mask"    // a value for each class and pixel, of a segmentation
)

// Output describes the network's output that counts.
type Output struct {
	Name       string
	Activation Activation // of what the output holds; one that the network applies itself is not applied again
	Kind       OutputKind
	// Positive is the class that a single value is the probability of, where the manifest lists two: the second, if nothing else is said.
	Positive string
	Boxes    Boxes // of OfBoxes
	Mask     Mask  // of OfMask
}

// String says how the output is read.
func (o Output) String() string {
	switch o.Kind {
	case OfBoxes:
		text := fmt.Sprintf("boxes: %s has %v of each", o.Name, o.Boxes.Columns)
		if o.Boxes.Labels != "" {
			text = fmt.Sprintf("boxes: %s has boxes, %s their scores, %s their labels", o.Boxes.Corners, o.Name, o.Boxes.Labels)
		}
		if o.Boxes.From != "" {
			text += ", " + o.Boxes.From + " the boxes"
		}
		return text + fmt.Sprintf("; %s in %s of the input, background %s, %d of a frame at most, overlapping by %g at most", o.Boxes.Format, o.Boxes.Unit, o.Boxes.Background, o.Boxes.Most, o.Boxes.Overlap)
	case OfMask:
		each := "a value for each class and pixel"
		if o.Mask.Labels {
			each = "the number of its class for each pixel"
		}
		return fmt.Sprintf("masks: %s has %s; background %s, pixels of at least %g, regions of at least %g of the input", o.Name, each, o.Mask.Background, o.Mask.Level, o.Mask.Smallest)
	}
	return "classes: " + o.Name + " has a value for each"
}

// Others are the outputs that are read besides.
func (o Output) Others() []string {
	if o.Boxes.From == "" {
		return nil
	}
	return []string{o.Boxes.From}
}

// Parts reports whether the output is of many places of the frame.
func (o Output) Parts() bool { return o.Kind == OfBoxes || o.Kind == OfMask }

// NoMethod is the method of a manifest by which nothing is explained.
const NoMethod = "none"

// Explain says how findings are explained.
type Explain struct {
	analysis.Explanation
	Grid     explain.TokenGrid // what the layer's places are, where the network does not tell
	Fallback explain.Method    // for a network that the method cannot explain; NoMethod for none
	Budget   time.Duration     // for the map of one finding by a method of many runs
}

// Reference is a frame of the bundle, and what the network said of it where it was trained.
type Reference struct {
	Frame         string // path in the bundle of a picture, or of a folder of a clip's frames, in the order of their names
	Probabilities map[string]Expected
	Tolerance     float64 // 0: what the network's arithmetic allows
}

// Expected is a probability as it was written down.
type Expected struct {
	Probability float64
	Rounding    float64 // half a unit of its last digit
}

// Bundle is a folder with a network and the manifest that says how to use it.
// It is read once and not changed.
type Bundle struct {
	Dir    string
	Digest string // SHA-256 of the network, 64 hexadecimal digits: of its file, or of the hashes of all its files
	Stated string // what the manifest says that Digest is; "" where it does not say

	Name         string
	Version      string
	Kind         Kind
	IntendedUse  string
	Manufacturer string
	Input        Input
	Preprocess   []Step // in this order, before the resize
	Clip         *Clip  // of Video; nil for Still
	Output       Output
	Classes      []analysis.Class // in the order of the network's outputs
	Explain      Explain
	Reference    []Reference
	Temporal     Temporal // of a video
}

// LoadBundle reads and checks the bundle in dir. The error names every fault of the manifest with its line and key. A
// network that is not the one whose digest the manifest states is refused: a flipped bit of a weight is a network that runs.
func LoadBundle(dir string) (*Bundle, error) {
	b, manifestErr := ReadManifest(dir)
	var heads []string
	if b != nil {
		heads = b.heads()
	}
	digest, networkErr := digestOf(dir, heads...)
	if err := errors.Join(manifestErr, networkErr); err != nil {
		return nil, err
	}
	if b.Stated != "" && b.Stated != digest {
		return nil, fmt.Errorf("inference: model bundle: %s: the network's digest is %s, and %s says %s: a file is damaged, or it is another network than the manifest is for; bring the bundle anew, or give the other network a version and digest of its own",
			filepath.Join(dir, NetworkFile), digest, ManifestFile, b.Stated)
	}
	b.Dir, b.Digest = dir, digest
	return b, nil
}

// Made names the model in what it says.
func (b *Bundle) Made() analysis.Model {
	return analysis.Model{Manufacturer: b.Manufacturer, Name: b.Name, Version: b.Version, Digest: b.Digest}
}

// ClassNames returns the names of the classes in the order of the network's outputs.
func (b *Bundle) ClassNames() []string {
	names := make([]string, len(b.Classes))
	for i, class := range b.Classes {
		names[i] = class.Name
	}
	return names
}

// ReadManifest is LoadBundle without a look at the network, whose digest it does not know.
func ReadManifest(dir string) (*Bundle, error) {
	path := filepath.Join(dir, ManifestFile)
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("inference: model bundle: %w", err)
	}
	defer file.Close()
	return readManifest(file, path)
}

// Fits compares the manifest with the network.
func (b *Bundle) Fits(n *explain.Outline) error {
	fault := func(format string, args ...any) error {
		return fmt.Errorf("inference: %s and the network of %s do not fit together: %s", ManifestFile, b.Name, fmt.Sprintf(format, args...))
	}
	names := func(ports []explain.Port) (names []string) {
		for _, p := range ports {
			names = append(names, p.Name)
		}
		return names
	}
	out := slices.IndexFunc(n.Outputs, func(p explain.Port) bool { return p.Name == b.Output.Name })
	switch {
	case len(n.Inputs) > 1 && slices.Contains(names(n.Inputs), b.Input.Name):
		return fault("the network's inputs are %q; it must have one, %q: make what is always the same, such as a size or a switch, a constant of the file (an initializer), or export without it", names(n.Inputs), b.Input.Name)
	case len(n.Inputs) != 1 || n.Inputs[0].Name != b.Input.Name:
		return fault("input.name is %q, the network's inputs are %q; it must have one, of that name", b.Input.Name, names(n.Inputs))
	case out < 0:
		return fault("output.name is %q, the network's outputs are %q", b.Output.Name, names(n.Outputs))
	}
	for _, name := range append([]string{b.Output.Name}, b.Output.Others()...) {
		for _, p := range n.Outputs {
			if p.Name == name && !p.Numbers() {
				return fault("output %q has no numbers but text, a list or a table of classes; the network's outputs of numbers are %q", name, names(slices.DeleteFunc(slices.Clone(n.Outputs), func(p explain.Port) bool { return !p.Numbers() })))
			}
		}
	}
	for _, other := range b.Output.Others() {
		if !slices.Contains(names(n.Outputs), other) || other == b.Output.Name {
			return fault("output.boxes.from is %q, the network's outputs are %q; it must be another one than output.name", other, names(n.Outputs))
		}
	}
	if b.Output.Parts() {
		if err := b.partsFit(n, n.Outputs[out].Shape); err != nil {
			return fault("%s", strings.TrimPrefix(err.Error(), "inference: "))
		}
	} else if values := valuesOf(n.Outputs[out].Shape); values > 0 && values != len(b.Classes) && n.Outputs[out].Whole() {
		return fault("output %q is of whole numbers (%s), as ArgMax or a classifier gives the number of the class: name an output that has a value for each class, such as what ArgMax reads", b.Output.Name, explain.TypeName(n.Outputs[out].Type))
	} else if values > 0 && !b.reads(values) {
		if shape := n.Outputs[out].Shape; len(shape) == 1 {
			return fault("it lists %d classes, output %q has shape %v, which is one value for each frame; export it with an axis of frames before that of classes", len(b.Classes), b.Output.Name, shape)
		}
		return fault("it lists %d classes, output %q has %d", len(b.Classes), b.Output.Name, values)
	}
	if p := n.Outputs[out]; !b.Output.Parts() && p.Whole() && b.Output.Activation != None && n.Ends(p.Name) != explain.Probabilities {
		return fault("output %q is of whole numbers (%s), as a quantised network or a table of votes gives, and output.activation is %s, which makes probabilities of logits alone: export it with the output dequantised (float32), or name what the last QuantizeLinear reads", p.Name, explain.TypeName(p.Type), b.Output.Activation)
	}
	if !b.Output.Parts() && n.Sorted(b.Output.Name) {
		return fault("output %q has the greatest values first (TopK), whatever class they are of: name an output that has a value for each class in their order, such as what TopK reads", b.Output.Name)
	}
	want, got := b.Shape(), n.Inputs[0].Shape
	if len(got) == len(want) && got[0] > want[0] {
		return fault("it takes %d frames at a time; frames come one by one: export it with the first axis of input and output open, or 1", got[0])
	}
	if why := b.axes(got); why != "" {
		return fault("%s", why)
	}
	for i, size := range got {
		if len(got) != len(want) || size > 0 && size != want[i] {
			return fault("by size and layout its input is %v, the network's is %v (-1 is open)", want, got)
		}
	}
	if why := b.Input.takes(n.Inputs[0].Type); why != "" {
		return fault("%s", why)
	}
	if why := b.normalisedTwice(n); why != "" {
		return fault("%s", why)
	}
	if n.Training != "" {
		return fmt.Errorf("inference: model %s: %s is in training mode, in which the same frame does not give the same twice: export it in evaluation mode, in PyTorch after model.eval() and without training=TRAINING", b.Name, n.Training)
	}
	_, err := b.Reading(n.Ends(b.Output.Name))
	return err
}

// normalisedTwice says how a network normalises what the manifest has normalised, or "": all frames would look alike to it. What
// reference frames show to be right is left as it is.
func (b *Bundle) normalisedTwice(n *explain.Outline) string {
	if slices.ContainsFunc(b.Reference, func(r Reference) bool { return len(r.Probabilities) > 0 }) {
		return ""
	}
	low, high := math.Inf(1), math.Inf(-1)
	for c := range b.Input.Mean {
		low, high = min(low, -b.Input.Mean[c]/b.Input.Std[c]), max(high, (255*b.Input.Scale-b.Input.Mean[c])/b.Input.Std[c])
	}
	least, most, some := n.Entering(low, high)
	if width := most - least; !some || width >= narrowest && max(least, -most) <= 2*width {
		return ""
	}
	return fmt.Sprintf("by scale, mean and std the network's input lies from %.3g to %.3g, and it makes %.3g to %.3g of that before anything else, as if it normalised by itself what comes as 0 to 255: write scale 1, mean 0 and std 1, or export it without",
		low, high, least, most)
}

// narrowest is how far apart a network's black and white are at least.
const narrowest = 0.02

// axes says why a network's input cannot be frames of three colours, or "".
func (b *Bundle) axes(got []int64) string {
	colours := 1
	if b.Input.Layout == NHWC {
		colours = 3
	}
	switch {
	case len(got) == 3 && !b.Output.Parts():
		return fmt.Sprintf("its input is %v, without an axis of frames: export it with one, open or 1", got)
	case len(got) == 4 && got[colours] == 1:
		return fmt.Sprintf("its input is %v: one colour, and frames have three: export it with the conversion to grey inside", got)
	case len(got) == 4 && got[colours] == 4:
		return fmt.Sprintf("its input is %v: four colours, and frames have three: export it with the fourth, such as opacity, inside", got)
	}
	return ""
}

// partsFit says why the shape of an output cannot be that of boxes or masks, or nil; an open axis (-1) may be anything.
func (b *Bundle) partsFit(n *explain.Outline, shape []int64) error {
	r, err := b.Reading(explain.Linear)
	if err != nil || slices.Contains(shape[min(1, len(shape)):], -1) {
		return err
	}
	if b.Output.Kind == OfMask {
		_, err := r.segments(shape)
		return err
	}
	if shape = slices.Clone(shape); len(shape) > 2 {
		shape[0] = 1
	}
	values, _ := r.values()
	_, err = rowsOf(b.Output.Name, shape, values)
	return err
}

// valuesOf an output is how many it has for one input; 0 where that is open.
func valuesOf(shape []int64) int {
	values := 1
	for _, d := range shape[min(1, len(shape)):] {
		if d < 1 || values > maxClasses*int(d) {
			return 0
		}
		values *= int(d)
	}
	if len(shape) == 0 {
		return 0
	}
	return values
}
