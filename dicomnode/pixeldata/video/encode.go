package video

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/pixeldata"
)

// What a frame of Level 4.1 has at most: macroblocks of 16 x 16 pixels in all, and along a side (ITU-T H.264 A.3.1, table A-1).
const (
	levelBlocks = 8192
	levelSide   = 256 // the root of 8 x 8192
)

// ErrNotEncoded is why frames do not become a video here, however often it is tried on this machine.
var ErrNotEncoded = errors.New("video: not encoded")

// errNoEncoder is the commonest reason.
var errNoEncoder = fmt.Errorf("%w: ffmpeg has no H.264 encoder here: install one that was built with libx264", ErrNotEncoded)

// Encodes is an error that wraps ErrNotEncoded where ffmpeg ("": of the path) is missing or has no encoder for H.264.
func Encodes(ctx context.Context, ffmpeg string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, cmp.Or(ffmpeg, "ffmpeg"), "-hide_banner", "-h", "encoder=libx264").Output()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("video: ffmpeg does not say which encoders it has: %w", context.Cause(ctx))
	case err != nil:
		return fmt.Errorf("%w: ffmpeg is not installed or does not run: %w", ErrNotEncoded, err)
	case !bytes.HasPrefix(out, []byte("Encoder libx264")):
		return errNoEncoder
	}
	return nil
}

// Encodable reports whether frames of so many columns and rows are within Level 4.1. Odd ones are: they get a line more.
func Encodable(size image.Point) bool {
	across, down := (size.X+15)/16, (size.Y+15)/16
	return size.X > 0 && size.Y > 0 && across <= levelSide && down <= levelSide && across*down <= levelBlocks
}

// Even is the size that frames of a size are encoded in: chroma is of every second column and row.
func Even(size image.Point) image.Point { return image.Pt(size.X+size.X%2, size.Y+size.Y%2) }

// Encoder makes a video of pictures: H.264 of High Profile at Level 4.1 (PS3.5 8.2.7), in an MP4 file whose index stands before its pictures. What is
// added waits in a file, so that memory is one picture, and the child that encodes, which takes as much as one that decodes, need not be there beside that:
// Stream starts it, confined as those that decode are, on one thread: the same release gives the same bytes. Its methods are for one goroutine.
type Encoder struct {
	ctx     context.Context
	options pixeldata.Options
	size    image.Point
	apart   time.Duration
	aspect  dicom.Aspect
	most    int      // frames
	raw     *os.File // the pictures, as planes are
	to      io.Writer
	planes  []byte // of one picture
	frames  int
}

// Bounds of an encoder.
const (
	// encodedFrames is for how many frames it is given CPU time at least.
	encodedFrames = 8
	// mostEncoded is how long a stream gets at most, in bytes.
	mostEncoded = 64 << 20
)

// NewEncoder begins a video of so many frames at most, of a size, with pixels of a shape, and so far apart, rounded to microseconds. An error that wraps ErrNotEncoded says why it
// cannot be, which also Stream may give, and one that wraps ErrNoRoom that there is no room for its pictures. The caller closes it.
func NewEncoder(ctx context.Context, size image.Point, aspect dicom.Aspect, apart time.Duration, frames int, o pixeldata.Options) (*Encoder, error) {
	apart = apart.Round(time.Microsecond)
	if !Encodable(size) || apart < time.Millisecond {
		return nil, fmt.Errorf("%w: %d x %d pixels every %v are not within Level 4.1", ErrNotEncoded, size.X, size.Y, apart)
	}
	raw, err := scratch(o.Scratch)
	if err != nil {
		return nil, fmt.Errorf("video: %w", err)
	}
	even := Even(size)
	e := &Encoder{ctx: ctx, options: o.WithDefaults(), size: size, apart: apart, aspect: aspect, most: frames, raw: raw, planes: make([]byte, even.X*even.Y*3/2)}
	e.options.Bounds.File = mostEncoded
	e.to = &bounded{ctx: ctx, w: raw, room: o.Room}
	return e, nil
}

// arguments: groups of a second at most, so that any frame is near a key frame; no frame that is coded in another order, one reference and no
// look ahead, which is what bounds memory; BT.709 (PS3.5 8.2.7), which is also said in the stream.
func (e *Encoder) arguments(size image.Point) []string {
	group := max(1, int(math.Round(float64(time.Second)/float64(e.apart))))
	return []string{
		"-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+error", "-y", "-max_alloc", strconv.FormatInt(e.options.Bounds.Memory, 10),
		"-protocol_whitelist", "file", "-filter_threads", "1", "-f", "rawvideo", "-pixel_format", "yuv420p", "-video_size", fmt.Sprintf("%dx%d", size.X, size.Y),
		"-framerate", fmt.Sprintf("1000000/%d", e.apart.Microseconds()), "-i", input,
		"-map", "0:v:0", "-vf", fmt.Sprintf("setsar=%d/%d", max(e.aspect.Wide, 1), max(e.aspect.High, 1)),
		"-c:v", "libx264", "-threads", "1", "-preset", "veryfast", "-crf", "18", "-profile:v", "high", "-level:v", "4.1", "-tune", "zerolatency", "-bf", "0", "-refs", "1",
		"-g", strconv.Itoa(group), "-keyint_min", strconv.Itoa(group), "-sc_threshold", "0",
		"-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv",
		"-fflags", "+bitexact", "-flags:v", "+bitexact", "-map_metadata", "-1", "-movflags", "+faststart", "-f", "mp4", toWrite,
	}
}

// Add adds a picture behind those before it. What is beyond the last column and row of an odd size repeats them.
func (e *Encoder) Add(m *image.RGBA) error {
	if m.Rect.Size() != e.size {
		return fmt.Errorf("video: a picture of %v in a video of %v", m.Rect.Size(), e.size)
	}
	if e.frames == e.most {
		return fmt.Errorf("video: more than %d pictures", e.most)
	}
	e.split(m)
	if _, err := e.to.Write(e.planes); err != nil {
		return fmt.Errorf("video: %w", err)
	}
	e.frames++
	return nil
}

// What a sample has of red, green and blue, in parts of 1<<16: BT.709 in its limited range (ITU-R BT.709 3, ITU-T H.273 8.3). Those of a chroma cancel
// out, so that grey has none.
const (
	lumaR, lumaG, lumaB = 11966, 40254, 4064
	blueR, blueG, blueB = -6596, -22189, 28785
	redR, redG, redB    = 28784, -26145, -2639
)

// split makes planes of a picture: luma, and chroma of every second column and row.
func (e *Encoder) split(m *image.RGBA) {
	even := Even(e.size)
	luma, blue := e.planes[:even.X*even.Y], e.planes[even.X*even.Y:][:even.X*even.Y/4]
	red := e.planes[even.X*even.Y*5/4:]
	for y := 0; y < even.Y; y += 2 {
		upper, lower := m.Pix[y*m.Stride:], m.Pix[min(y+1, e.size.Y-1)*m.Stride:]
		for x := 0; x < even.X; x += 2 {
			var r, g, b int
			for i, at := range [...][]byte{upper[4*x:], upper[4*min(x+1, e.size.X-1):], lower[4*x:], lower[4*min(x+1, e.size.X-1):]} {
				pr, pg, pb := int(at[0]), int(at[1]), int(at[2])
				luma[(y+i/2)*even.X+x+i%2] = byte((lumaR*pr+lumaG*pg+lumaB*pb+1<<15)>>16 + 16)
				r, g, b = r+pr, g+pg, b+pb
			}
			at := y/2*(even.X/2) + x/2
			blue[at] = byte((blueR*r+blueG*g+blueB*b+1<<17)>>18 + 128)
			red[at] = byte((redR*r+redG*g+redB*b+1<<17)>>18 + 128)
		}
	}
}

// Stream ends the video and returns it, once a look through it has shown the frames that were added.
func (e *Encoder) Stream() ([]byte, error) {
	file, err := scratch(e.options.Scratch)
	if err != nil {
		return nil, fmt.Errorf("video: %w", err)
	}
	defer func() { _ = file.Close() }() // it has no name
	even, most := Even(e.size), max(e.frames, encodedFrames)
	said := &words{}
	child, err := launch(e.ctx, e.options.FFmpeg, e.arguments(even), said, []*os.File{e.raw, file}, e.options.Bounds, most)
	switch {
	case errors.Is(err, pixeldata.ErrNoDecoder):
		return nil, fmt.Errorf("%w: ffmpeg is not installed; install one that was built with libx264", ErrNotEncoded)
	case err != nil:
		return nil, err
	}
	_, _ = io.Copy(io.Discard, child.out) // it says nothing
	if err := child.Wait(); err != nil {
		return nil, e.failed(err, said, most)
	}
	seen := &Clip{options: e.options, file: file}
	if seen.begins(false); seen.index.demuxer == "" {
		return nil, fmt.Errorf("%w: ffmpeg wrote something else than a video", ErrNotEncoded)
	}
	if err := seen.look(e.ctx); err != nil {
		return nil, fmt.Errorf("%w: what ffmpeg wrote: %w", ErrNotEncoded, err)
	}
	if x := seen.index; x.codec != "h264" || len(x.packets) != e.frames || x.columns != even.X || x.rows != even.Y {
		return nil, fmt.Errorf("%w: ffmpeg wrote %d frames of %d x %d pixels in %s, of %d of %d x %d", ErrNotEncoded, len(x.packets), x.columns, x.rows, x.codec, e.frames, even.X, even.Y)
	}
	stream, err := io.ReadAll(io.NewSectionReader(file, 0, mostEncoded))
	if err != nil {
		return nil, fmt.Errorf("video: %w", err)
	}
	return stream, nil
}

// failed is why a child has not encoded all.
func (e *Encoder) failed(err error, said *words, frames int) error {
	all := said.first + " " + said.last
	switch {
	case e.ctx.Err() != nil:
		return context.Cause(e.ctx)
	case strings.Contains(all, "Unknown encoder"):
		return errNoEncoder
	case strings.Contains(all, "No space left"):
		return fmt.Errorf("%w: %w", ErrNoRoom, err)
	case pixeldata.Ended(err, e.options.Bounds, frames) != nil:
		return fmt.Errorf("%w: %w", ErrNotEncoded, pixeldata.Ended(err, e.options.Bounds, frames))
	}
	return fmt.Errorf("%w: ffmpeg: %s", ErrNotEncoded, cmp.Or(clean(said.last), fmt.Sprint(err)))
}

// Close lets the pictures go.
func (e *Encoder) Close() { _ = e.raw.Close() } // it has no name
