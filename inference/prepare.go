package inference

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"math"
	"sync"

	"endogate/dicomnode/dicom"
	"endogate/explain"
	"endogate/inference/analysis"
	"endogate/inference/pixels"
)

// Step is one step of preprocessing: exactly one of its fields is set.
type Step struct {
	CropBorder *CropBorder
	MaskBox    *Box
	Crop       *Crop
	Exif       bool // turns the frame upright, as its file says
}

// Crop is a part of the frame as the steps before have left it, in pixels.
type Crop struct{ Top, Left, Rows, Columns int }

// CropBorder cuts off the dark border around the picture: it keeps the rows (columns) from the first to
// the last in which at least MinFraction of the pixels have max(R,G,B) > Threshold. If fewer than MinSize
// rows or columns would remain, it keeps the frame as it is.
type CropBorder struct {
	Threshold   uint8
	MinFraction float64
	MinSize     int
}

// Box is a rectangle in fractions, 0 to 1, of the frame as the steps before have left it.
type Box struct{ Left, Top, Right, Bottom float64 }

// in is the box in pixels of r; edges are cut off to whole pixels as Python's int() does.
func (b Box) in(r image.Rectangle) image.Rectangle {
	edge := func(fraction float64, length int) int { return int(fraction * float64(length)) }
	return image.Rect(
		edge(b.Left, r.Dx()), edge(b.Top, r.Dy()),
		edge(b.Right, r.Dx()), edge(b.Bottom, r.Dy()),
	).Add(r.Min)
}

// Prepare fills dst, of b.Input.Len() values, with img as the network wants it, and
// returns where it comes from. Img is as it is stored, and is not changed; its orientation counts where the manifest has it applied, the shape of its pixels
// where the input keeps that of the picture.
func (b *Bundle) Prepare(img *image.RGBA, pose analysis.Pose, dst []float32) (analysis.Geometry, error) {
	p, err := b.Reduce(img, pose)
	if err == nil {
		err = b.normalise(p, dst)
	}
	return p.Geometry, err
}

// normalise fills dst, of b.Input.Len() values, with what Reduce made.
func (b *Bundle) normalise(p analysis.Prepared, dst []float32) error {
	switch {
	case len(dst) != b.Input.Len():
		return fmt.Errorf("inference: prepare: tensor holds %d values, the input has %d", len(dst), b.Input.Len())
	case len(p.Pixels) != b.Input.Len():
		return fmt.Errorf("inference: prepare: %d samples of a prepared frame, the input has %d", len(p.Pixels), b.Input.Len())
	}
	b.Input.fill(p.Pixels, dst)
	return nil
}

// Preparation names what Reduce does: bundles of whatever process that say the same make the same of a frame.
func (b *Bundle) Preparation() string {
	const version = 3 // of what is written here
	in := b.Input
	text, err := json.Marshal(struct {
		Version, Rows, Columns int
		Fit                    Fit
		ShorterSide            int
		Pad                    [3]uint8
		Resize                 Filter
		Steps                  []Step
	}{version, in.Rows, in.Columns, in.Fit, in.ShorterSide, in.Pad, in.Resize, b.Preprocess})
	if err != nil { // a number that is not finite
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// ErrCropped is why a frame is not prepared of which a crop of the manifest is no part.
var ErrCropped = errors.New("inference: prepare")

// Reduce does what the manifest says before normalisation, and says where what is left of img comes from. Img is not changed.
func (b *Bundle) Reduce(img *image.RGBA, pose analysis.Pose) (analysis.Prepared, error) {
	bounds := img.Bounds()
	if bounds.Empty() {
		return analysis.Prepared{}, errors.New("inference: prepare: frame has no pixels")
	}
	g := analysis.Geometry{Rows: bounds.Dy(), Columns: bounds.Dx()}
	v := &view{img: img, crop: bounds.Sub(bounds.Min)}
	for _, step := range b.Preprocess {
		switch {
		case step.CropBorder != nil:
			v.cropBorder(*step.CropBorder)
		case step.MaskBox != nil:
			v.masked = append(v.masked, step.MaskBox.in(v.crop))
		case step.Crop != nil:
			c := *step.Crop
			part := image.Rect(c.Left, c.Top, c.Left+c.Columns, c.Top+c.Rows).Add(v.crop.Min)
			if !part.In(v.crop) {
				return analysis.Prepared{}, fmt.Errorf("%w: the crop of %d rows and %d columns from row %d, column %d on does not lie in what is there, %d rows and %d columns: frames of this size are not what the model was made for",
					ErrCropped, c.Rows, c.Columns, c.Top, c.Left, v.crop.Dy(), v.crop.Dx())
			}
			v.crop = part
		case step.Exif && pose.Orientation.Turns() && g.Orientation == 0:
			g.Orientation = pose.Orientation
			v.turn(pose.Orientation)
		}
	}
	if g.Orientation.Swaps() {
		pose.Aspect.High, pose.Aspect.Wide = pose.Aspect.Wide, pose.Aspect.High
	}
	pixels, window, err := b.Input.fit(v, pose.Aspect)
	g.Window = window
	stored := image.Pt(g.Columns, g.Rows)
	g.Crop = g.Orientation.StoredRect(v.crop, stored)
	for _, box := range v.masked {
		g.Masked = append(g.Masked, g.Orientation.StoredRect(box, stored))
	}
	return analysis.Prepared{Geometry: g, Pixels: pixels}, err
}

// turn has the view, which is of the whole frame or a part of it, seen upright from here on.
func (v *view) turn(o analysis.Orientation) {
	stored := v.img.Rect.Size()
	size := stored
	if o.Swaps() {
		size.X, size.Y = size.Y, size.X
	}
	upright := image.NewRGBA(image.Rectangle{Max: size})
	for y := range size.Y {
		for x := range size.X {
			sx, sy := o.Stored(x, y, stored)
			copy(upright.Pix[upright.PixOffset(x, y):][:4], v.img.Pix[v.img.PixOffset(v.img.Rect.Min.X+sx, v.img.Rect.Min.Y+sy):][:4])
		}
	}
	back := o.Inverse()
	v.img, v.crop = upright, back.StoredRect(v.crop, size)
	for i, box := range v.masked {
		v.masked[i] = back.StoredRect(box, size)
	}
}

// maxResized bounds a frame between the resize and the cut: what is much longer than wide grows to it.
const maxResized = 1 << 26

// fit resizes the view, whose pixels have a shape, to the input, and says where in the input it lies; nil where it fills it. Pixels that are not square are made so
// by the same resize, in which each side has a scale of its own.
func (in Input) fit(v *view, aspect dicom.Aspect) ([]uint8, *analysis.Window, error) {
	size, at := in.placed(aspect.Shown(v.crop.Size()))
	if size.X*size.Y > maxResized {
		return nil, nil, fmt.Errorf("inference: prepare: a frame of %d x %d pixels would be resized to %d x %d: it is too long for fit: %s", v.crop.Dx(), v.crop.Dy(), size.X, size.Y, in.Fit)
	}
	pixels := v.resize(in.Resize, size.X, size.Y)
	if in.Fit == Stretch || in.Fit == "" {
		return pixels, nil, nil
	}
	out := make([]uint8, in.Len())
	for i := range out {
		out[i] = in.Pad[i%3]
	}
	from := image.Rectangle{Min: at, Max: at.Add(size)}
	for y, part := 0, from.Intersect(image.Rect(0, 0, in.Columns, in.Rows)); y < part.Dy(); y++ {
		row := (part.Min.Y + y - at.Y) * size.X
		copy(out[3*((part.Min.Y+y)*in.Columns+part.Min.X):][:3*part.Dx()], pixels[3*(row+part.Min.X-at.X):])
	}
	across, down := float64(in.Columns), float64(in.Rows)
	return out, &analysis.Window{
		Left: float64(from.Min.X) / across, Top: float64(from.Min.Y) / down,
		Right: float64(from.Max.X) / across, Bottom: float64(from.Max.Y) / down,
	}, nil
}

// placed is the size that a picture is resized to, and where its top-left corner comes to lie in the input.
func (in Input) placed(picture image.Point) (size, at image.Point) {
	w, h := picture.X, picture.Y
	switch in.Fit {
	case Letterbox: // as Ultralytics' LetterBox
		r := min(float64(in.Columns)/float64(w), float64(in.Rows)/float64(h))
		size = image.Pt(max(int(math.RoundToEven(float64(w)*r)), 1), max(int(math.RoundToEven(float64(h)*r)), 1))
	case CenterCrop: // as torchvision's Resize and CenterCrop
		switch {
		case in.ShorterSide > 0 && w <= h:
			size = image.Pt(in.ShorterSide, in.ShorterSide*h/w)
		case in.ShorterSide > 0:
			size = image.Pt(in.ShorterSide*w/h, in.ShorterSide)
		case in.Columns*h >= in.Rows*w:
			size = image.Pt(in.Columns, in.Columns*h/w)
		default:
			size = image.Pt(in.Rows*w/h, in.Rows)
		}
	default:
		return image.Pt(in.Columns, in.Rows), at
	}
	offset := func(inside, whole int) int {
		if whole > inside {
			return -int(math.RoundToEven(float64(whole-inside) / 2))
		}
		return (inside - whole) / 2
	}
	return size, image.Pt(offset(in.Columns, size.X), offset(in.Rows, size.Y))
}

// view is the part of a frame that the network sees. Crop and masked count from the frame's
// upper left corner, wherever the image's bounds begin.
type view struct {
	img    *image.RGBA
	crop   image.Rectangle
	masked []image.Rectangle
}

// row returns the RGBA bytes of row y of the frame between the edges of the crop, black where masked. They are valid until
// the next call with the same line and must not be written to.
func (v *view) row(y int, line *[]uint8) []uint8 {
	from := v.img.PixOffset(v.img.Rect.Min.X+v.crop.Min.X, v.img.Rect.Min.Y+y)
	row := v.img.Pix[from : from+4*v.crop.Dx()]
	copied := false
	for _, box := range v.masked {
		box = box.Intersect(v.crop)
		if y < box.Min.Y || y >= box.Max.Y {
			continue
		}
		if !copied {
			*line = append((*line)[:0], row...)
			row, copied = *line, true
		}
		clear(row[4*(box.Min.X-v.crop.Min.X) : 4*(box.Max.X-v.crop.Min.X)])
	}
	return row
}

func (v *view) cropBorder(c CropBorder) {
	rows, columns := make([]int32, v.crop.Dy()), make([]int32, v.crop.Dx())
	var adding sync.Mutex
	explain.Bands(len(rows), func(top, bottom int) {
		var line []uint8
		counts := make([]int32, len(columns))
		for y := top; y < bottom; y++ {
			rows[y] = pixels.Bright(v.row(v.crop.Min.Y+y, &line), c.Threshold, counts)
		}
		adding.Lock()
		defer adding.Unlock()
		for x, n := range counts {
			columns[x] += n
		}
	})
	top, bottom := extent(rows, c.MinFraction*float64(len(columns)))
	left, right := extent(columns, c.MinFraction*float64(len(rows)))
	if bottom-top < c.MinSize || right-left < c.MinSize {
		return
	}
	v.crop = image.Rect(left, top, right, bottom).Add(v.crop.Min)
}

// extent returns the first index that has at least enough, and one past the last.
func extent(counts []int32, enough float64) (first, end int) {
	for i, n := range counts {
		if float64(n) < enough {
			continue
		}
		if end == 0 {
			first = i
		}
		end = i + 1
	}
	return first, end
}

// resize returns the view as columns x rows pixels of RGB: horizontally first, then
// vertically, rounded to 8 bits in between, as PIL does it.
func (v *view) resize(f Filter, columns, rows int) []uint8 {
	height := v.crop.Dy()
	narrow := make([]uint8, 3*columns*height)
	across := f.taps(v.crop.Dx(), columns)
	explain.Bands(height, func(top, bottom int) {
		var line []uint8
		for y := top; y < bottom; y++ {
			across.Narrow(v.row(v.crop.Min.Y+y, &line), narrow[3*columns*y:3*columns*(y+1)])
		}
	})
	resized := make([]uint8, 3*columns*rows)
	f.taps(height, rows).Lower(narrow, 3*columns, resized)
	return resized
}
