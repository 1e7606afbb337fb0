package inference

import (
	"cmp"
	"errors"
	"fmt"
	"image"
	"path/filepath"

	"endogate/configs/strict"
	"endogate/explain"
	"endogate/inference/analysis"
)

// ClipLayout is the order of the axes of a clip's tensor.
type ClipLayout string

// The layouts of clips.
const (
	NTCHW ClipLayout = "NTCHW" // frame by frame
	NCTHW ClipLayout = "NCTHW" // time beside rows and columns, as of 3D convolutions
)

// Padding says what fills a clip up that has fewer frames than the network takes.
type Padding string

// The paddings.
const (
	NullFrames Padding = "null-frames" // frames of zeros, which are no frames; they have no part in the explanation
	LastFrame  Padding = "last-frame"  // the last one again
)

// Longer says what is done with more frames than the network takes at once.
type Longer string

// The ways with long sequences.
const (
	InWindows Longer = "windows"  // one window after another
	Truncate  Longer = "truncate" // the first ones alone
	Uniform   Longer = "uniform"  // as many as there is room for, evenly spread over all
)

// Clip says how a network that looks across time takes a sequence of frames.
type Clip struct {
	Frames int // that it takes at once
	Layout ClipLayout
	Pad    Padding
	Longer Longer
	Stride int    // InWindows: from the beginning of one to that of the next
	Head   string // file of the network that looks across the embeddings of the frames; "": it is all one network
}

// String says how sequences are taken.
func (c Clip) String() string {
	text := fmt.Sprintf("%d frames %s, shorter ones filled up with %s, of longer ones %s", c.Frames, c.Layout, c.Pad, c.Longer)
	if c.Longer == InWindows {
		text += fmt.Sprintf(" %d frames apart", c.Stride)
	}
	if c.Head != "" {
		text += "; frames are encoded by " + NetworkFile + ", " + c.Head + " looks across them"
	}
	return text
}

// maxClip bounds the frames of one run: their input alone is 600 KB each at 224×224.
const maxClip = 1024

func readClip(v, head strict.Value) *Clip {
	name := head.Text(256)
	if !v.Present() {
		if head.Present() {
			head.Fault("looks across the embeddings of clips; it needs clip: {frames, layout}")
		}
		return nil
	}
	f := v.Fields()
	defer f.Done()
	layout := f.Required("layout")
	c := &Clip{
		Head:   name,
		Frames: f.Required("frames").Integer(2, maxClip),
		Layout: strict.OneOf(layout, NTCHW, NCTHW),
		Pad:    cmp.Or(strict.OneOf(f.Optional("pad"), NullFrames, LastFrame), NullFrames),
		Longer: cmp.Or(strict.OneOf(f.Optional("longer"), InWindows, Truncate, Uniform), InWindows),
	}
	c.Stride = c.Frames
	if stride := f.Optional("stride"); stride.Present() {
		if c.Stride = stride.Integer(1, max(c.Frames, 1)); c.Longer != InWindows {
			stride.Fault("is the way from one window to the next, of longer: windows alone")
		}
	}
	switch {
	case name != "" && (!filepath.IsLocal(name) || name == NetworkFile || name == ManifestFile):
		head.Fault("is %q; must be another file of the bundle than %s, such as head.onnx", name, NetworkFile)
	case name != "" && c.Layout == NCTHW:
		layout.Fault("is %s; frames that are encoded one by one, for a head, are %s", NCTHW, NTCHW)
	}
	return c
}

// checkClip names what is wrong between a model's kind and the rest of a manifest.
func (b *Bundle) checkClip(kind, clip, method strict.Value) {
	switch {
	case b.Kind == Video && b.Clip == nil && kind.Present():
		kind.Fault("is %s; it needs clip: {frames, layout}, which says how the network takes a sequence of frames", Video)
	case b.Kind == Still && b.Clip != nil:
		clip.Fault("is for kind: %s alone", Video)
	case b.Clip != nil && b.Clip.Frames == 3:
		clip.Fault("has 3 frames, which cannot be told from colours: two, or four and more")
	case b.Kind == Video && b.Input.Layout == NHWC:
		clip.Fault("needs input.layout NCHW: colours lie before rows and columns in %s and %s", NTCHW, NCTHW)
	}
	if info, ok := explain.LookupMethod(explain.Method(b.Explain.Method)); b.Kind == Video && ok && info.Runs {
		method.Fault("is %s, of many runs, which a clip would take too long for; there are gradcam, gradcam++, hirescam, layercam and none", info.Method)
	}
}

// Shape is that of the network's input: one frame, or one clip.
func (b *Bundle) Shape() []int64 {
	switch s := b.Input.Shape(); {
	case b.Clip == nil:
		return s
	case b.Clip.Layout == NCTHW:
		return []int64{1, s[1], int64(b.Clip.Frames), s[2], s[3]}
	default:
		return []int64{1, int64(b.Clip.Frames), s[1], s[2], s[3]}
	}
}

// Len is the number of values of the network's input.
func (b *Bundle) Len() int {
	if b.Clip == nil {
		return b.Input.Len()
	}
	return b.Clip.Frames * b.Input.Len()
}

// Windows are the frames, from 0, that the network is to be given of so many, one clip after the other.
func (c Clip) Windows(frames int) [][]int {
	run := func(from, to int) (all []int) {
		for i := from; i < to; i++ {
			all = append(all, i)
		}
		return all
	}
	switch {
	case frames < 1:
		return nil
	case frames <= c.Frames, c.Longer == Truncate:
		return [][]int{run(0, min(frames, c.Frames))}
	case c.Longer == Uniform: // the middle of each of as many parts
		all := make([]int, c.Frames)
		for i := range all {
			all[i] = (2*i + 1) * frames / (2 * c.Frames)
		}
		return [][]int{all}
	}
	var windows [][]int
	for at := 0; ; at += c.Stride {
		windows = append(windows, run(at, min(at+c.Frames, frames)))
		if at+c.Frames >= frames {
			return windows
		}
	}
}

var errNoFrames = errors.New("inference: prepare: a clip without a frame")

// PrepareClip fills dst, of b.Len() values, with the frames of a clip as the network wants them, and returns where each comes from. What is
// left of the clip is filled up as the manifest says.
func (b *Bundle) PrepareClip(frames []*image.RGBA, pose analysis.Pose, dst []float32) ([]analysis.Geometry, error) {
	prepared := make([]analysis.Prepared, len(frames))
	for i, f := range frames {
		var err error
		if prepared[i], err = b.Reduce(f, pose); err != nil {
			return nil, fmt.Errorf("frame %d of the clip: %w", i+1, err)
		}
	}
	return b.FillClip(prepared, dst)
}

// FillClip is PrepareClip of frames that were reduced before.
func (b *Bundle) FillClip(frames []analysis.Prepared, dst []float32) ([]analysis.Geometry, error) {
	switch {
	case b.Clip == nil:
		return nil, fmt.Errorf("inference: prepare: model %s takes single frames", b.Name)
	case len(frames) == 0:
		return nil, errNoFrames
	case len(frames) > b.Clip.Frames:
		return nil, fmt.Errorf("inference: prepare: %d frames, the network takes %d at once", len(frames), b.Clip.Frames)
	case len(dst) != b.Len():
		return nil, fmt.Errorf("inference: prepare: tensor holds %d values, a clip has %d", len(dst), b.Len())
	}
	clear(dst)
	all, one := make([]analysis.Geometry, len(frames)), make([]float32, b.Input.Len())
	for t := range b.Clip.Frames {
		if t < len(frames) {
			if err := b.normalise(frames[t], one); err != nil {
				return nil, fmt.Errorf("frame %d of the clip: %w", t+1, err)
			}
			all[t] = frames[t].Geometry
		} else if b.Clip.Pad == NullFrames {
			break
		}
		b.Place(one, t, dst)
	}
	return all, nil
}

// Place puts a frame, as Prepare makes it, where the layout of a clip has its t-th.
func (b *Bundle) Place(frame []float32, t int, dst []float32) {
	plane := b.Input.Rows * b.Input.Columns
	for c := range 3 {
		at := 3*t + c
		if b.Clip.Layout == NCTHW {
			at = c*b.Clip.Frames + t
		}
		copy(dst[at*plane:][:plane], frame[c*plane:])
	}
}
