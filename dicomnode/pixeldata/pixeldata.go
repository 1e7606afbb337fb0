// Package pixeldata turns the Pixel Data of an instance into pictures, one frame at a time (PS3.3 C.7.6.3, PS3.5 8,
// A.4 and annex G): native and RLE pixels and 8-bit JPEG by itself, every other still syntax through an ffmpeg child
// process. Memory is one frame, whatever the number of frames.
//
// It leaves out video, 1- and 32-bit and float pixels, overlays, Modality LUT Sequences and presentation states:
// the picture shows stored values through the first window, or VOI LUT where there is none, as a classifier wants them, not as a viewer would.
package pixeldata

import (
	"bufio"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"iter"
	"time"

	"endogate/dicomnode/dicom"
)

var (
	// ErrUnsupported: the instance is sound but cannot be decoded here. It is passed on and not analysed.
	ErrUnsupported = errors.New("pixeldata: unsupported")
	// ErrNoDecoder: an ErrUnsupported that another machine, or a program that is installed here, may be able to decode.
	ErrNoDecoder = fmt.Errorf("%w here", ErrUnsupported)
	// ErrCorrupt: the pixel data are not what the attributes and the transfer syntax say.
	ErrCorrupt = errors.New("pixeldata: corrupt")
	// ErrNoFrame: the instance has fewer frames.
	ErrNoFrame = errors.New("pixeldata: no such frame")
)

// Frame is one decoded frame.
type Frame struct {
	Number int         // from 1, as Referenced Frame Number counts
	Image  *image.RGBA // opaque, 8 bits a sample, Columns x Rows, origin at 0,0; the receiver's to keep
	Note   string      // what is wrong with it all the same
	// Orientation is what a JPEG stream says of itself, as the function of that name; Image is as it is stored.
	Orientation int
	Aspect      dicom.Aspect // of its pixels, as the instance says or, of a video, its stream
}

// NoteNoEnd is the Note of a frame whose codestream is whole but for its last marker.
const NoteNoEnd = "The JPEG stream of the frame has no end marker: it was decoded as far as it goes."

// FrameError says that frames cannot be decoded while others of the instance may be.
type FrameError struct {
	First, Last, Of int // numbers from 1
	Err             error
}

// Error implements error.
func (e *FrameError) Error() string {
	if e.First == e.Last {
		return fmt.Sprintf("frame %d of %d: %v", e.First, e.Of, e.Err)
	}
	return fmt.Sprintf("frames %d to %d of %d: %v", e.First, e.Last, e.Of, e.Err)
}

// Unwrap returns why.
func (e *FrameError) Unwrap() error { return e.Err }

// Options say how to decode. The zero value is good.
type Options struct {
	FFmpeg  string        // the program; "" is ffmpeg on the PATH
	Timeout time.Duration // for one frame in ffmpeg; 0 is 30 s
	Bounds  Bounds        // of one frame, whatever decodes it
	Window  *Window       // of grey frames, in place of the data set's own; nil: its first
	Scratch string        // the folder where the stream of a video lies, without a name, while it is decoded; "" is the system's
	Room    func() error  // why nothing more may be written to Scratch, asked before a video is copied and now and then while; nil: nobody is
}

// Instance is a data set that is read up to its pixel data.
type Instance struct {
	Attributes *dicom.Attributes

	reader  *dicom.Reader
	token   dicom.Token // of the pixel data; zero: there are none
	ts      dicom.TransferSyntax
	survey  Survey
	options Options
}

// Surveyed has i use what was seen of its fragments. It is called before any frame is decoded.
func (i *Instance) Surveyed(s Survey) { i.survey = s }

// Open reads the data set in r, whose bytes begin after any file meta information, up to its pixel data. An error that
// wraps ErrCorrupt stays however often it is tried; others are r's.
func Open(r io.Reader, ts dicom.TransferSyntax, o Options) (*Instance, error) {
	return open(bufio.NewReaderSize(r, 64<<10), ts, o)
}

// OpenSeekable is Open for who wants one frame: what nobody asks for is not read.
func OpenSeekable(r io.ReadSeeker, ts dicom.TransferSyntax, o Options) (*Instance, error) {
	survey, err := Look(r, ts)
	if err != nil {
		return nil, err
	}
	source, err := newSeekable(r)
	if err != nil {
		return nil, err
	}
	i, err := open(source, ts, o)
	if err == nil {
		i.Surveyed(survey)
	}
	return i, err
}

func open(r io.Reader, ts dicom.TransferSyntax, o Options) (*Instance, error) {
	reader := dicom.NewReader(r, ts)
	attributes, token, err := reader.Attributes()
	if err != nil {
		return nil, asCorrupt(err)
	}
	return &Instance{Attributes: attributes, reader: reader, token: token, ts: ts, options: o}, nil
}

// Frames opens the data set in r and decodes it. The error may be Open's.
func Frames(ctx context.Context, r io.Reader, ts dicom.TransferSyntax, o Options) iter.Seq2[Frame, error] {
	i, err := Open(r, ts, o)
	if err != nil {
		return func(yield func(Frame, error) bool) { yield(Frame{}, err) }
	}
	return i.Frames(ctx)
}

// Frames decodes the instance. A *FrameError in the place of frames says that they cannot be decoded, which stays however often
// it is tried, and that those behind it follow. It ends with the last frame, or with one pair of a zero Frame and another
// error: one that wraps ErrUnsupported, ErrCorrupt or ErrTooMuch stays too; others are the reader's, ctx's or the machine's.
// Frames that came before an error are good. The sequence can be ranged over once.
func (i *Instance) Frames(ctx context.Context) iter.Seq2[Frame, error] {
	return func(yield func(Frame, error) bool) {
		d, err := i.decoder()
		if err != nil {
			yield(Frame{}, err)
			return
		}
		for n := 1; n <= d.px.frames; n++ {
			f, err := i.next(ctx, d)
			bad := &FrameError{First: n, Last: n, Of: d.px.frames, Err: err}
			switch {
			case err == nil:
				f.Number = n
				if !yield(f, nil) {
					return
				}
			case ctx.Err() != nil || !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooMuch):
				yield(Frame{}, fmt.Errorf("frame %d of %d: %w", n, d.px.frames, err))
				return
			case d.over():
				bad.Last = d.px.frames
				yield(Frame{}, bad)
				return
			default:
				if !yield(Frame{}, bad) {
					return
				}
			}
		}
	}
}

// Frame decodes frame n alone, counted from 1. Those before it are passed over undecoded, and unread where the instance
// was opened by OpenSeekable. Errors are those of Frames, and ErrNoFrame. It is called once.
func (i *Instance) Frame(ctx context.Context, n int) (Frame, error) {
	d, err := i.decoder()
	if err != nil {
		return Frame{}, err
	}
	if n < 1 || n > d.px.frames {
		return Frame{}, fmt.Errorf("%w: %d of %d", ErrNoFrame, n, d.px.frames)
	}
	var f Frame
	if err = d.skip(ctx, n-1); err == nil {
		f, err = i.next(ctx, d)
	}
	if err != nil {
		return Frame{}, fmt.Errorf("frame %d of %d: %w", n, d.px.frames, err)
	}
	f.Number = n
	return f, nil
}

// decoder stands before the next frame.
type decoder struct {
	px   pixels
	next func(pace pace) (Frame, error)
	skip func(ctx context.Context, frames int) error
	over func() bool // after an error: there is nothing behind it
}

// next decodes the frame that d stands before, in the time that it has.
func (i *Instance) next(ctx context.Context, d *decoder) (Frame, error) {
	pace, end := i.options.Bounds.withDefaults().begin(ctx)
	defer end()
	f, err := d.next(pace)
	f.Aspect = i.Attributes.Aspect()
	return f, err
}

// describe says what there is to decode.
func (i *Instance) describe() (pixels, error) {
	switch {
	case i.token.Kind == 0:
		return pixels{}, fmt.Errorf("%w: the instance has no Pixel Data", ErrUnsupported)
	case i.token.Tag != dicom.PixelData:
		return pixels{}, fmt.Errorf("%w: float pixel data", ErrUnsupported)
	case i.ts.Video:
		return pixels{}, fmt.Errorf("%w: video (%s)", ErrUnsupported, i.ts.Name)
	case i.token.Kind != dicom.ElementToken && !i.ts.Encapsulated:
		return pixels{}, fmt.Errorf("%w: fragments in %s", ErrCorrupt, i.ts.Name)
	}
	px, err := describe(i.Attributes)
	if err != nil {
		return px, err
	}
	if i.token.Kind == dicom.ElementToken && px.photometric == "YBR_FULL_422" && px.isFull(int64(i.token.Length)) {
		px.photometric = "YBR_FULL" // converters leave the name that the pixels had before they were decoded
	}
	if i.options.Window != nil && px.samples == 1 {
		px.window, px.voi = i.options.Window, nil
	}
	return px, i.options.Bounds.withDefaults().admit(px)
}

// Count is how many frames the instance says to have.
func (i *Instance) Count() int { return max(1, number(i.Attributes, dicom.NumberOfFrames, 1)) }

// decoder chooses how the pixel data are decoded.
func (i *Instance) decoder() (*decoder, error) {
	reader, attributes, token, ts := i.reader, i.Attributes, i.token, i.ts
	px, err := i.describe()
	if err != nil {
		return nil, err
	}
	d := &decoder{px: px}
	switch {
	case token.Kind == dicom.ElementToken:
		// Some writers send native pixels in a compressed syntax; the length shows it.
		source, err := newNative(reader, token, &d.px, ts)
		if err != nil {
			return nil, err
		}
		d.next = func(pace pace) (f Frame, err error) {
			f.Image, err = source.next(pace)
			return f, err
		}
		d.skip = source.skip
		d.over = func() bool { return true }
	default:
		frames, err := newFragments(reader, attributes, d.px, ts, i.survey)
		if err != nil {
			return nil, err
		}
		codec := codec{px: &d.px, ts: ts, options: i.options}
		d.over = frames.over
		d.next = func(pace pace) (Frame, error) {
			data, err := frames.next()
			if err != nil {
				return Frame{}, err
			}
			img, err := codec.decode(pace, data)
			return Frame{Image: img, Note: codec.note(data), Orientation: Orientation(data)}, err
		}
		d.skip = func(ctx context.Context, n int) error {
			for range n {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if err := frames.skip(); err != nil && (!errors.Is(err, ErrCorrupt) || frames.over()) {
					return err
				}
			}
			return nil
		}
	}
	return d, nil
}

// asCorrupt marks what the data set's reader found wrong; errors of the source below it stay as they are.
func asCorrupt(err error) error {
	var deflate flate.CorruptInputError
	if errors.As(err, &deflate) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	for _, bad := range []error{dicom.ErrCorrupt, dicom.ErrTooLarge, io.ErrUnexpectedEOF} {
		if errors.Is(err, bad) {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
	}
	return err
}
