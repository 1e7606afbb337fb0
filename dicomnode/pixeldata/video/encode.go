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

// Encoder makes a video of pictures: H.264 of High Profile at Level 4.1 (PS3.5 8.2.7), in an MP4 file whose index stands before its pictures. An ffmpeg child does it, confined as those
// that decode are, on one thread: the same release gives the same bytes. Its methods are for one goroutine.
type Encoder struct {
	ctx     context.Context
	options pixeldata.Options
	size    image.Point
	apart   time.Duration
	child   *child
	file    *os.File
	in      io.WriteCloser
	line    []byte
	frames  int
	cancel  context.CancelFunc
}

// Bounds of an encoder.
const (
	// encodedFrames is for how many frames it is given CPU time at least.
	encodedFrames = 8
	// mostEncoded is how long a stream gets at most, in bytes.
	mostEncoded = 64 << 20
)

// NewEncoder begins a video of so many frames at most, of a size and so far apart, rounded to microseconds. An error that wraps ErrNotEncoded says why it
// cannot be, which also Add and Stream may give. The caller closes it.
func NewEncoder(ctx context.Context, size image.Point, apart time.Duration, frames int, o pixeldata.Options) (*Encoder, error) {
	apart = apart.Round(time.Microsecond)
	if !Encodable(size) || apart < time.Millisecond {
		return nil, fmt.Errorf("%w: %d x %d pixels every %v are not within Level 4.1", ErrNotEncoded, size.X, size.Y, apart)
	}
	file, err := scratch(o.Scratch)
	if err != nil {
		return nil, fmt.Errorf("video: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	e := &Encoder{ctx: ctx, options: o.WithDefaults(), size: size, apart: apart, file: file, cancel: cancel}
	e.options.Bounds.File = mostEncoded
	even := Even(size)
	e.line = make([]byte, 3*even.X)
	c, in, err := feed(ctx, e.options.FFmpeg, e.arguments(even), file, e.options.Bounds, max(frames, encodedFrames))
	if err != nil {
		e.Close()
		if errors.Is(err, pixeldata.ErrNoDecoder) {
			err = fmt.Errorf("%w: ffmpeg is not installed", ErrNotEncoded)
		}
		return nil, err
	}
	e.child, e.in = c, in
	return e, nil
}

// arguments: groups of a second at most, so that any frame is near a key frame; no frame that is coded in another order, one reference and no
// look ahead, which is what bounds memory; BT.709 (PS3.5 8.2.7), which is also said in the stream.
func (e *Encoder) arguments(size image.Point) []string {
	group := max(1, int(math.Round(float64(time.Second)/float64(e.apart))))
	return []string{
		"-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+error", "-y", "-max_alloc", strconv.FormatInt(e.options.Bounds.Memory, 10),
		"-protocol_whitelist", "pipe", "-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", fmt.Sprintf("%dx%d", size.X, size.Y),
		"-framerate", fmt.Sprintf("1000000/%d", e.apart.Microseconds()), "-i", "pipe:0",
		"-map", "0:v:0", "-vf", "scale=flags=accurate_rnd+full_chroma_int:out_color_matrix=bt709:out_range=tv,format=yuv420p,setsar=1",
		"-c:v", "libx264", "-threads", "1", "-preset", "veryfast", "-crf", "18", "-profile:v", "high", "-level:v", "4.1", "-tune", "zerolatency", "-bf", "0", "-refs", "1",
		"-g", strconv.Itoa(group), "-keyint_min", strconv.Itoa(group), "-sc_threshold", "0",
		"-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv",
		"-fflags", "+bitexact", "-flags:v", "+bitexact", "-map_metadata", "-1", "-movflags", "+faststart", "-f", "mp4", input,
	}
}

// Add adds a picture behind those before it. What is beyond the last column and row of an odd size repeats them.
func (e *Encoder) Add(m *image.RGBA) error {
	if m.Rect.Size() != e.size {
		return fmt.Errorf("video: a picture of %v in a video of %v", m.Rect.Size(), e.size)
	}
	for y := range Even(e.size).Y {
		row := m.Pix[min(y, e.size.Y-1)*m.Stride:]
		for x := range len(e.line) / 3 {
			copy(e.line[3*x:3*x+3], row[4*min(x, e.size.X-1):])
		}
		if _, err := e.in.Write(e.line); err != nil {
			return e.failed(err)
		}
	}
	e.frames++
	return nil
}

// failed is why the child takes no more.
func (e *Encoder) failed(err error) error {
	_ = e.in.Close()
	_, _ = io.Copy(io.Discard, e.child.out)
	waited := e.child.Wait()
	said := e.child.said.first + " " + e.child.said.last
	switch {
	case e.ctx.Err() != nil:
		return context.Cause(e.ctx)
	case strings.Contains(said, "Unknown encoder"):
		return errNoEncoder
	case strings.Contains(said, "No space left"):
		return fmt.Errorf("%w: %w", ErrNoRoom, cmp.Or(waited, err))
	case pixeldata.Ended(waited, e.options.Bounds, max(e.frames, encodedFrames)) != nil:
		return fmt.Errorf("%w: %w", ErrNotEncoded, pixeldata.Ended(waited, e.options.Bounds, max(e.frames, encodedFrames)))
	}
	return fmt.Errorf("%w: ffmpeg: %s", ErrNotEncoded, cmp.Or(clean(e.child.said.last), fmt.Sprint(cmp.Or(waited, err))))
}

// Stream ends the video and returns it, once a look through it has shown the frames that were added.
func (e *Encoder) Stream() ([]byte, error) {
	if err := e.in.Close(); err != nil {
		return nil, e.failed(err)
	}
	_, _ = io.Copy(io.Discard, e.child.out) // it says nothing
	if err := e.child.Wait(); err != nil {
		return nil, e.failed(err)
	}
	seen := &Clip{options: e.options, file: e.file}
	if !seen.begins(false) {
		return nil, fmt.Errorf("%w: ffmpeg wrote something else than a video", ErrNotEncoded)
	}
	if err := seen.look(e.ctx); err != nil {
		return nil, fmt.Errorf("%w: what ffmpeg wrote: %w", ErrNotEncoded, err)
	}
	x, even := seen.index, Even(e.size)
	if x.codec != "h264" || len(x.packets) != e.frames || x.columns != even.X || x.rows != even.Y {
		return nil, fmt.Errorf("%w: ffmpeg wrote %d frames of %d x %d pixels in %s, of %d of %d x %d", ErrNotEncoded, len(x.packets), x.columns, x.rows, x.codec, e.frames, even.X, even.Y)
	}
	stream, err := io.ReadAll(io.NewSectionReader(e.file, 0, mostEncoded))
	if err != nil {
		return nil, fmt.Errorf("video: %w", err)
	}
	return stream, nil
}

// Close ends a video that is not wanted any more, and lets what it took go.
func (e *Encoder) Close() {
	e.cancel()
	if e.child != nil && e.child.ProcessState == nil {
		_ = e.in.Close()
		_, _ = io.Copy(io.Discard, e.child.out)
		_ = e.child.Wait() // it was killed
	}
	_ = e.file.Close() // it has no name
}
