package inference

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"fmt"
	"image"
	"image/draw"
	_ "image/jpeg" // a reference may be a JPEG file
	_ "image/png"  // or a PNG file
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"endogate/dicomnode/pixeldata"
	"endogate/explain"
	"endogate/inference/analysis"
)

// shipped are three frames of HyperKvasir (testdata/README.md), for bundles that bring none.
//
//go:embed shipped/*.jpg
var shipped embed.FS

// How far a probability may be from what the network says by itself.
const (
	exactly  = 1e-4 // by float32
	coarsely = 1e-2 // by integers of eight bits, half precision, or on another processor
)

// Tolerance is how far apart two ways to compute the same probability of a network may be.
func Tolerance(o *explain.Outline, otherProcessor bool) float64 {
	if o.Quantised || o.Half || otherProcessor {
		return coarsely
	}
	return exactly
}

// Hold compares what a network says as it is run here, with its gradient, with what own, the network as it was exported, says; and
// both with what the bundle's reference frames are to be. Without reference frames, three of endoscopies are taken. The error
// names frame, class and both numbers.
func (b *Bundle) Hold(ctx context.Context, n Opened, own func(ctx context.Context, input []float32) ([]explain.Tensor, error), ends explain.Ends, tolerance float64) error {
	frames, err := b.heldFrames()
	if err != nil {
		return err
	}
	likeProbabilities := (ends == explain.Unknown || ends == explain.Linear && !b.Output.Parts()) && n.Reading.activation != None // probabilities can be summed up by weights too
	shares := n.Reading.activation != None && !b.Output.Parts()                                                                   // of one whole, whatever it is
	var (
		first []float32
		moves bool
	)
	for i, f := range frames {
		values, err := own(ctx, f.input)
		if err != nil {
			return fmt.Errorf("inference: model %s: %s: %w", b.Name, f.name, err)
		}
		if i == 0 {
			if err := b.steady(ctx, n.Reading, f, values, own, tolerance/10); err != nil {
				return err
			}
		}
		mine, _, err := n.Explain(ctx, f.input, b.Shape(), nil)
		if err != nil {
			return fmt.Errorf("inference: model %s: %s: %w", b.Name, f.name, err)
		}
		likeProbabilities = likeProbabilities && b.likeProbabilities(n.Reading, values)
		if i == 0 {
			first = values[0].Values
		}
		shares = shares && distributed(values[0].Values, total(first))
		moves = moves || differ(first, values[0].Values)
		want, err := n.Reading.Shallow(values)
		if err != nil {
			return fmt.Errorf("inference: model %s: %s: %w", b.Name, f.name, err)
		}
		got, err := n.Reading.Shallow(mine)
		if err != nil {
			return fmt.Errorf("inference: model %s: %s: %w", b.Name, f.name, err)
		}
		for j, class := range b.Classes {
			if math.Abs(want[j]-got[j]) > tolerance {
				return fmt.Errorf("inference: model %s: %s: class %s: the network itself says %.4f, the same network with its gradient says %.4f, which is more than %g apart; explain.method: none runs the network as it is",
					b.Name, f.name, class.Name, want[j], got[j], tolerance)
			}
			if e, ok := f.expected.Probabilities[class.Name]; ok {
				if allowed := cmp.Or(f.expected.Tolerance, max(tolerance, 1.01*e.Rounding)); math.Abs(e.Probability-got[j]) > allowed {
					return fmt.Errorf("inference: model %s: reference frame %s: class %s: expected %g, got %.4f, which is more than %g apart: is the frame prepared here as it was in training (resize, normalisation, order of colours and of classes)?",
						b.Name, f.name, class.Name, e.Probability, got[j], allowed)
				}
			}
		}
	}
	if likeProbabilities {
		why := "adds up to one"
		if b.Output.Parts() {
			why = "lies within 0 to 1 for every class and place"
		}
		return fmt.Errorf("inference: model %s: output %q %s on each of %d frames, so that it seems to hold probabilities already, and output.activation is %s, which would be applied once more: write none", b.Name, b.Output.Name, why, len(frames), n.Reading.activation)
	}
	if shares && (moves || distributed(first, 100)) {
		return fmt.Errorf("inference: model %s: output %q adds up to %.4g on each of %d frames, so that it seems to hold per cent, or probabilities of several groups of classes, which no activation makes probabilities of: export it with each from 0 to 1, and write none", b.Name, b.Output.Name, total(first), len(frames))
	}
	return nil
}

// steady says where a network says something else of the same frame when it is asked again.
func (b *Bundle) steady(ctx context.Context, r Reading, f held, first []explain.Tensor, own func(ctx context.Context, input []float32) ([]explain.Tensor, error), tolerance float64) error {
	again, err := own(ctx, f.input)
	if err != nil {
		return fmt.Errorf("inference: model %s: %s: %w", b.Name, f.name, err)
	}
	was, err := r.Shallow(first)
	if err != nil {
		return fmt.Errorf("inference: model %s: %s: %w", b.Name, f.name, err)
	}
	is, err := r.Shallow(again)
	if err != nil {
		return fmt.Errorf("inference: model %s: %s: %w", b.Name, f.name, err)
	}
	for i, class := range b.Classes {
		if math.Abs(was[i]-is[i]) > tolerance {
			return fmt.Errorf("inference: model %s: %s: class %s: the network says %.4f, and asked again %.4f: it draws random numbers, as one that was exported in training mode; export it in evaluation mode",
				b.Name, f.name, class.Name, was[i], is[i])
		}
	}
	return nil
}

// likeProbabilities reports whether an output looks as if its values were probabilities already.
func (b *Bundle) likeProbabilities(r Reading, outputs []explain.Tensor) bool {
	if !b.Output.Parts() {
		return distributed(outputs[0].Values, 1)
	}
	r.activation = None // by which what is none is an error
	_, err := r.Shallow(outputs)
	return err == nil
}

// distributed reports whether values are probabilities of classes of which one is true, times whole.
func distributed(values []float32, whole float64) bool {
	sum := 0.0
	for _, v := range values {
		if v < 0 {
			return false
		}
		sum += float64(v) / whole
	}
	return len(values) > 1 && math.Abs(sum-1) < 1e-3
}

func total(values []float32) (sum float64) {
	for _, v := range values {
		sum += float64(v)
	}
	return sum
}

// differ reports whether values of two frames differ by more than rounding does.
func differ(a, b []float32) bool {
	for i := range a {
		if i < len(b) && math.Abs(float64(a[i]-b[i])) > 1e-2*total(a) {
			return true
		}
	}
	return false
}

// held is a frame that a network is held on.
type held struct {
	name     string
	input    []float32
	expected Reference
}

// heldFrames are the bundle's reference frames, prepared, or else those that are shipped.
func (b *Bundle) heldFrames() (frames []held, err error) {
	add := func(name string, contents [][]byte, prepare *Bundle, r Reference) error {
		f := held{name: name, input: make([]float32, b.Len()), expected: r}
		if err := prepare.prepareHeld(contents, f.input); err != nil {
			return fmt.Errorf("inference: model %s: reference frame %s: %w", b.Name, name, err)
		}
		frames = append(frames, f)
		return nil
	}
	if len(b.Reference) > 0 {
		root, err := os.OpenRoot(b.Dir)
		if err != nil {
			return nil, fmt.Errorf("inference: model %s: %w", b.Name, err)
		}
		defer func() { _ = root.Close() }()
		for _, r := range b.Reference {
			contents, err := b.readHeld(root, r.Frame)
			if err == nil {
				err = add(r.Frame, contents, b, r)
			}
			if err != nil {
				return nil, err
			}
		}
		return frames, nil
	}
	whole := *b
	whole.Preprocess = nil // a crop that they are too small for says nothing of the network
	files, err := shipped.ReadDir("shipped")
	if err != nil {
		return nil, err
	}
	var clip [][]byte
	for _, file := range files {
		content, err := shipped.ReadFile("shipped/" + file.Name())
		switch {
		case err == nil && b.Clip != nil:
			clip = append(clip, content)
		case err == nil:
			err = add("shipped frame "+file.Name(), [][]byte{content}, &whole, Reference{})
		}
		if err != nil {
			return nil, err
		}
	}
	if b.Clip != nil {
		return frames, add("clip of the shipped frames", clip[:min(len(clip), b.Clip.Frames)], &whole, Reference{})
	}
	return frames, nil
}

// readHeld reads a reference: a picture, or the frames of a clip.
func (b *Bundle) readHeld(root *os.Root, name string) (contents [][]byte, err error) {
	names := []string{name}
	if b.Clip != nil {
		files, err := fs.ReadDir(root.FS(), filepath.ToSlash(filepath.Clean(name)))
		if err != nil {
			return nil, fmt.Errorf("inference: model %s: reference clip: %w", b.Name, err)
		}
		if names = nil; len(files) > b.Clip.Frames {
			return nil, fmt.Errorf("inference: model %s: reference clip %s has %d frames, the network takes %d at once", b.Name, name, len(files), b.Clip.Frames)
		}
		for _, file := range files {
			names = append(names, filepath.Join(name, file.Name()))
		}
	}
	for _, name := range names {
		content, err := readWhole(root, name, maxPicture)
		if err != nil {
			return nil, err
		}
		contents = append(contents, content)
	}
	return contents, nil
}

// prepareHeld fills the network's input with a picture, or the frames of a clip.
func (b *Bundle) prepareHeld(contents [][]byte, dst []float32) error {
	var clip []*image.RGBA
	for _, content := range contents {
		img, o, err := readPicture(content)
		if err != nil {
			return err
		}
		if b.Clip == nil {
			_, err = b.Prepare(img, analysis.Pose{Orientation: o}, dst)
			return err
		}
		clip = append(clip, img)
	}
	_, err := b.PrepareClip(clip, analysis.Pose{}, dst)
	return err
}

// Bounds of a reference frame.
const (
	maxPicture = 64 << 20 // bytes
	maxPixels  = 1 << 25
)

// readPicture decodes a JPEG or PNG file, as it is stored.
func readPicture(content []byte) (*image.RGBA, analysis.Orientation, error) {
	size, _, err := image.DecodeConfig(bytes.NewReader(content))
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("neither JPEG nor PNG: %w", err)
	case size.Width*size.Height > maxPixels:
		return nil, 0, fmt.Errorf("%d x %d pixels are too many", size.Width, size.Height)
	}
	picture, _, err := image.Decode(bytes.NewReader(content))
	if err != nil {
		return nil, 0, err
	}
	out := image.NewRGBA(image.Rect(0, 0, size.Width, size.Height))
	draw.Draw(out, out.Rect, picture, picture.Bounds().Min, draw.Src)
	return out, analysis.Orientation(pixeldata.Orientation(content)), nil
}
