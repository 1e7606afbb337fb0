package video

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/pixeldata/yuv"
)

// Clip is the video of an instance: frames with numbers and times. Its methods may be called from any goroutine, but for Close.
type Clip struct {
	// Progress is called of each frame that a child decodes, whether it was asked for or is on the way to one that was. It is set before
	// the first is asked for, and may be nil.
	Progress func()

	options pixeldata.Options
	file    *os.File // the stream
	index   index
	count   int
	starts  []time.Duration // of its frames where the instance lists them; nil: they are every apart
	every   time.Duration   // 0: the stream's own times
	note    string
	other   string           // than its transfer syntax says
	spare   chan *image.RGBA // pictures that were given back, to be decoded into
	aspect  dicom.Aspect
	film    made
}

const (
	waitDelay = time.Second
	input     = "/proc/self/fd/3" // the first of a child's extra files
	chunk     = 256               // frames of one child, where it can begin in the middle
	// worthIt is how many frames that nobody asks for are as much work as another child.
	worthIt = 50
)

// Open copies the stream of an instance out of its data set and looks through it. An error is as those of
// [pixeldata.Instance.Frames]. What is cut off, or has other frames than it says, is opened as far as it goes: see Note.
func Open(ctx context.Context, i *pixeldata.Instance) (_ *Clip, err error) {
	c := &Clip{options: i.Options(), spare: spares()}
	if c.file, err = scratch(c.options.Scratch); err != nil {
		return nil, fmt.Errorf("video: %w", err)
	}
	defer func() {
		if err != nil {
			_ = c.Close()
		}
	}()
	cut := i.Stream(&bounded{ctx: ctx, w: c.file, room: c.options.Room})
	if cut != nil && !errors.Is(cut, pixeldata.ErrCorrupt) {
		return nil, cut
	}
	said := i.TransferSyntax().Coding
	head := c.begins(said == "HEVC")
	if c.index.demuxer == "" {
		return nil, cmp.Or(cut, fmt.Errorf("%w: the pixel data do not begin as a video does, but %s; the transfer syntax says %s", pixeldata.ErrCorrupt, seen(head), said))
	}
	if err := c.survey(ctx, i.Attributes, cut); err != nil {
		return nil, otherwise(err, c.index, said)
	}
	c.compare(said)
	return c, nil
}

// begins finds out by its first bytes what the stream is; the demuxer is empty where that is no video.
func (c *Clip) begins(hevc bool) (head []byte) {
	head = make([]byte, headSize)
	n, _ := c.file.ReadAt(head, 0)
	c.index.demuxer = demuxerOf(head[:n], hevc)
	return head[:n]
}

// survey looks through the stream, of an instance with these attributes.
func (c *Clip) survey(ctx context.Context, a *dicom.Attributes, cut error) error {
	if err := c.look(ctx); err != nil {
		return err
	}
	if err := c.admit(a); err != nil {
		return err
	}
	c.number(a, cut)
	c.aspect = cmp.Or(a.Aspect(), c.index.aspect)
	return nil
}

// ErrNoVideo is OpenFile's of a file that does not begin as a video does.
var ErrNoVideo = errors.New("video: the file does not begin as one does")

// OpenFile is Open of a file that is a stream itself: MP4, transport or program stream, or a stream without a container. The file must not
// change before Close.
func OpenFile(ctx context.Context, path string, o pixeldata.Options) (_ *Clip, err error) {
	c := &Clip{options: o.WithDefaults(), spare: spares()}
	if c.file, err = os.Open(path); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = c.Close()
		}
	}()
	ending := strings.ToLower(filepath.Ext(path))
	if c.begins(ending == ".hevc" || ending == ".h265"); c.index.demuxer == "" {
		return nil, ErrNoVideo
	}
	if err := c.survey(ctx, nil, nil); err != nil { // it has no attributes
		return nil, err
	}
	return c, nil
}

// scratch is a file that has no name.
func scratch(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "video-")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

// admit holds the stream's size against the bounds and the attributes.
func (c *Clip) admit(a *dicom.Attributes) error {
	rows, columns := c.index.rows, c.index.columns
	if b := c.options.Bounds; rows*columns > b.Pixels || 7*int64(rows)*int64(columns) > b.Memory {
		return fmt.Errorf("%w: a video of %d x %d pixels", pixeldata.ErrTooMuch, columns, rows)
	}
	r, _ := a.Int(dicom.Rows)
	w, _ := a.Int(dicom.Columns)
	if (r != 0 || w != 0) && (r != rows || w != columns) {
		return fmt.Errorf("%w: the video has %d x %d pixels, the attributes say %d x %d", pixeldata.ErrCorrupt, columns, rows, w, r)
	}
	return nil
}

// number says how many frames there are, and when each begins: as the instance says where it does, and its stream has them.
func (c *Clip) number(a *dicom.Attributes, cut error) {
	c.count = len(c.index.packets)
	ended := c.note
	said, _ := a.Int(dicom.NumberOfFrames)
	switch {
	case cut != nil:
		c.note = fmt.Sprintf("the video is cut off behind frame %d", c.count)
		if said > c.count {
			c.note += fmt.Sprintf(" of %d", said)
		}
	case said > c.count:
		c.note = fmt.Sprintf("the video has %d frames, not %d as Number of Frames says", c.count, said)
	case said > 1 && said < c.count: // what is beyond cannot be referred to
		c.note = fmt.Sprintf("the video has %d frames, of which the %d that Number of Frames says are analysed", c.count, said)
		c.count = said
	}
	if ended != "" {
		c.note = strings.TrimSuffix(ended+"; "+c.note, "; ")
	}
	c.every, c.starts = timesOf(a, max(said, c.count))
}

// timesOf is how far frames are apart by the Cine and Multi-frame modules (PS3.3 C.7.6.5, C.7.6.6), or when each of so many begins.
func timesOf(a *dicom.Attributes, frames int) (every time.Duration, starts []time.Duration) {
	if steps := a.Texts(dicom.FrameTimeVector); frames > 1 && len(steps) == frames {
		at := time.Duration(0)
		for n, step := range steps {
			ms, err := strconv.ParseFloat(strings.TrimSpace(step), 64)
			if err != nil || ms < 0 || ms > maxStep {
				starts = nil
				break
			}
			if n > 0 { // the first increment is of nothing
				at += time.Duration(ms * float64(time.Millisecond))
			}
			starts = append(starts, at)
		}
		if starts != nil {
			return 0, starts
		}
	}
	if ms, ok := a.Float(dicom.FrameTime); ok && ms > 0 && ms <= maxStep {
		return time.Duration(ms * float64(time.Millisecond)), nil
	}
	for _, t := range []dicom.Tag{dicom.CineRate, dicom.RecommendedDisplayFrameRate} {
		if rate, ok := a.Float(t); ok && rate > 0 && rate < 1e6 {
			return time.Duration(float64(time.Second) / rate), nil
		}
	}
	return 0, nil
}

// maxStep bounds the time between two frames: an hour, in milliseconds.
const maxStep = 3_600_000

// Count is how many frames there are to ask for.
func (c *Clip) Count() int { return c.count }

// Note says in what the video is not as it says it is; "" where it is.
func (c *Clip) Note() string {
	if c.other == "" || c.note == "" {
		return c.other + c.note
	}
	return c.other + "; " + c.note
}

// Aspect is the shape of pixels, as the instance says, or else the stream.
func (c *Clip) Aspect() dicom.Aspect { return c.aspect }

// Time is when frame n, from 1, begins after the first.
func (c *Clip) Time(n int) time.Duration {
	switch x := c.index; {
	case c.starts != nil && n <= len(c.starts):
		return c.starts[n-1]
	case c.every > 0:
		return time.Duration(n-1) * c.every
	case x.timed && n <= len(x.packets):
		return time.Duration(float64(x.packets[n-1].at-x.packets[0].at) * x.unit * float64(time.Second))
	}
	return time.Duration(n-1) * time.Second / 25 // as ffmpeg has it where nobody says
}

// Frames decodes the frames of these numbers, which rise. A *pixeldata.FrameError in the place of one says that it cannot be
// decoded, or with pixeldata.ErrNoFrame that there is none of that number. An error ends the sequence: as those of [pixeldata.Instance.Frames].
func (c *Clip) Frames(ctx context.Context, numbers []int) iter.Seq2[pixeldata.Frame, error] {
	there := slices.DeleteFunc(slices.Clone(numbers), func(n int) bool { return n < 1 || n > c.count })
	return func(yield func(pixeldata.Frame, error) bool) {
		for left := there; len(left) > 0; {
			n := c.together(left)
			if !c.decode(ctx, left[:n], yield) {
				return
			}
			left = left[n:]
		}
		for _, n := range numbers {
			if (n < 1 || n > c.count) && !yield(pixeldata.Frame{}, &pixeldata.FrameError{First: n, Last: n, Of: c.count, Err: fmt.Errorf("%w: %d of %d", pixeldata.ErrNoFrame, n, c.count)}) {
				return
			}
		}
	}
}

// Frame decodes one frame.
func (c *Clip) Frame(ctx context.Context, n int) (pixeldata.Frame, error) {
	if n < 1 || n > c.count {
		return pixeldata.Frame{}, fmt.Errorf("%w: %d of %d", pixeldata.ErrNoFrame, n, c.count)
	}
	for f, err := range c.Frames(ctx, []int{n}) {
		return f, err
	}
	return pixeldata.Frame{}, fmt.Errorf("%w: frame %d", pixeldata.ErrCorrupt, n)
}

// together is how many of the frames one child decodes.
func (c *Clip) together(numbers []int) int {
	if !c.index.timed {
		return len(numbers)
	}
	for i := 1; i < len(numbers); i++ {
		if i == chunk || c.index.keyOf(numbers[i]-1)-(numbers[i-1]-1) > worthIt {
			return i
		}
	}
	return len(numbers)
}

// decode hands over frames that one child decodes.
func (c *Clip) decode(ctx context.Context, numbers []int, yield func(pixeldata.Frame, error) bool) (more bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	work := c.work(numbers)
	child, err := c.child(ctx, c.arguments(numbers), len(numbers), work)
	if err != nil {
		return yield(pixeldata.Frame{}, err) && false
	}
	pictures := c.ahead(ctx, child.out)
	left, bad := numbers, error(nil)
	lost := func(up int) bool { // frames up to this one, which came
		for len(left) > 0 && left[0] < up {
			n := left[0]
			left = left[1:]
			e := &pixeldata.FrameError{First: n, Last: n, Of: c.count, Err: fmt.Errorf("%w: it is not decoded", pixeldata.ErrCorrupt)}
			if !yield(pixeldata.Frame{}, e) {
				return false
			}
		}
		return true
	}
	stop := func() {
		cancel() // what it does else is of no use
		drain(pictures)
		_ = child.Wait()
	}
	for len(left) > 0 {
		next, more := <-pictures
		if !more {
			next.err = context.Cause(ctx) // it ended before there was a picture
		}
		if bad = next.err; bad != nil {
			break
		}
		var n int
		var size image.Point
		if n, size, bad = c.numberOf(ctx, child.said); bad != nil {
			break
		}
		if size != image.Pt(c.index.columns, c.index.rows) {
			continue // its picture is cut to the size of another: it is none
		}
		if !lost(n) {
			stop()
			return false
		}
		if len(left) > 0 && left[0] == n {
			left = left[1:]
			if !yield(pixeldata.Frame{Number: n, Image: next.image, Aspect: c.aspect}, nil) {
				stop()
				return false
			}
		}
	}
	if bad != nil && !errors.Is(bad, io.EOF) {
		cancel()
	}
	drain(pictures)
	waited := child.Wait()
	switch stopped := context.Cause(ctx); {
	case len(left) == 0:
		return true
	case stopped != nil && (bad == nil || errors.Is(bad, io.EOF)):
		return yield(pixeldata.Frame{}, stopped) && false
	case strings.Contains(child.said.last, "Cannot allocate memory"):
		return yield(pixeldata.Frame{}, fmt.Errorf("%w: ffmpeg needs more than %d MiB of memory", pixeldata.ErrTooMuch, c.options.Bounds.Memory>>20)) && false
	case bad != nil && !errors.Is(bad, io.EOF):
		return yield(pixeldata.Frame{}, bad) && false
	case pixeldata.Ended(waited, c.options.Bounds, work) != nil:
		return yield(pixeldata.Frame{}, pixeldata.Ended(waited, c.options.Bounds, work)) && false
	}
	return lost(c.count + 1)
}

// work is how many frames a child decodes for those that are asked for.
func (c *Clip) work(numbers []int) int {
	last := numbers[len(numbers)-1]
	if !c.index.timed {
		return last
	}
	return last - c.index.keyOf(numbers[0]-1) + worthIt // it may begin a little before
}

// numberOf is the number of the frame that came: of which the child has said the time, or how many it has decoded. Where the size of pictures
// changes, ffmpeg chooses frames by a count that begins anew: those that come then may be others than were asked for.
func (c *Clip) numberOf(ctx context.Context, said *words) (n int, size image.Point, err error) {
	m, err := said.next(ctx)
	if err != nil || !c.index.timed {
		return m.nth, m.size, err
	}
	n, err = c.at(m.at)
	return n, m.size, err
}

// at is the number of the frame that is shown at a time.
func (c *Clip) at(at int64) (int, error) {
	i, ok := slices.BinarySearchFunc(c.index.packets, at, func(p packet, at int64) int { return cmp.Compare(p.at, at) })
	if !ok {
		return 0, fmt.Errorf("%w: a frame at another time than a packet", pixeldata.ErrCorrupt)
	}
	return i + 1, nil
}

// input are the arguments up to the stream, decoded from a time on where that is not 0.
func (c *Clip) input(from float64) []string {
	b := c.options.Bounds
	args := []string{
		"-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+info", "-max_alloc", strconv.FormatInt(b.Memory, 10),
		"-protocol_whitelist", "file", "-codec_whitelist", strings.Join(codecs, ","), "-threads", "1", "-max_pixels", strconv.Itoa(b.Pixels),
		"-copyts", "-noautorotate", "-f", c.index.demuxer,
	}
	if c.index.demuxer == "mov" {
		args = append(args, "-ignore_editlist", "1", "-enable_drefs", "0")
	}
	if c.index.codec != "" {
		args = append(args, "-c:v", c.index.codec)
	}
	if c.index.demuxer == "nut" { // its stream says no more with which pictures decoding may begin
		args = append(args, "-flags", "+output_corrupt")
	}
	if from > 0 {
		args = append(args, "-noaccurate_seek", "-seek_timestamp", "1", "-ss", strconv.FormatFloat(from, 'f', 6, 64))
	}
	return append(args, "-i", input)
}

// lead is how much before a frame its container is asked for, in seconds: a transport stream is found by decoding times.
const lead = 0.5

// What is said of each frame that is decoded, and of each that comes.
const (
	counted = "showinfo@decoded=checksum=0,"
	named   = "showinfo@come=checksum=0"
)

// arguments have the frames of numbers decoded. Each comes as a picture of RGB or of planes, and is named by the line that showinfo says.
func (c *Clip) arguments(numbers []int) []string {
	from, variable, values := 0.0, "n", make([]int64, len(numbers))
	for i, n := range numbers {
		values[i] = int64(n - 1)
	}
	if c.index.timed {
		variable = "pts"
		for i, n := range numbers {
			values[i] = c.index.packets[n-1].at
		}
		if key := c.index.keyOf(numbers[0] - 1); key > 0 {
			from = float64(c.index.packets[key].at)*c.index.unit - lead
		}
	}
	filters := counted + "select='" + among(variable, values) + "'," + named
	coded := []string{"-c:v", "pgmyuv", "-pix_fmt", "yuv420p"}
	if !c.index.planar {
		filters += c.index.colours()
		coded = []string{"-c:v", "pam", "-pix_fmt", "rgba"}
	}
	args := append(c.input(from), "-map", "0:V:0", "-vf", filters, "-vsync", "passthrough", "-frames:v", strconv.Itoa(len(numbers)), "-f", "image2pipe")
	return append(append(args, coded...), "pipe:1")
}

// among is ffmpeg's expression for one of the values, which rise: a tree, as it is asked of every frame.
func among(variable string, values []int64) string {
	if len(values) == 1 {
		return fmt.Sprintf("eq(%s,%d)", variable, values[0])
	}
	half := len(values) / 2
	return fmt.Sprintf("if(lt(%s,%d),%s,%s)", variable, values[half], among(variable, values[:half]), among(variable, values[half:]))
}

// decoded is a picture that came, or why none came.
type decoded struct {
	image *image.RGBA
	err   error
}

// ahead reads what a child decodes, a picture ahead of who takes them, so that neither waits while the other works. The last has an error, after
// which the child's output is read to its end.
func (c *Clip) ahead(ctx context.Context, out io.Reader) <-chan decoded {
	pictures := make(chan decoded)
	go func() {
		defer close(pictures)
		r := bufio.NewReaderSize(out, 64<<10)
		var samples []uint8
		if c.index.planar {
			samples = make([]uint8, yuv.Size(c.index.columns, c.index.rows))
		}
		for {
			img, err := c.picture(r, samples)
			select {
			case pictures <- decoded{img, err}:
			case <-ctx.Done():
				err = cmp.Or(err, context.Cause(ctx))
			}
			if err != nil {
				_, _ = io.Copy(io.Discard, r)
				return
			}
		}
	}()
	return pictures
}

// drain waits until the output of a child is read to its end.
func drain(pictures <-chan decoded) {
	for range pictures {
	}
}

// aheadOf is how many pictures are on their way at once: one is looked at, one read.
const aheadOf = 2

func spares() chan *image.RGBA { return make(chan *image.RGBA, aheadOf) }

// Recycle gives the picture of a frame back that nobody looks at any more: a later one may be decoded into it. It need not be called; to make
// eight megabytes anew for each frame of a long video costs as much as to decode it.
func (c *Clip) Recycle(img *image.RGBA) {
	select {
	case c.spare <- img:
	default:
	}
}

// picked is a picture to decode into.
func (c *Clip) picked(columns, rows int) *image.RGBA {
	select {
	case img := <-c.spare:
		if img.Rect == image.Rect(0, 0, columns, rows) {
			return img
		}
	default:
	}
	return blank(columns, rows)
}

// picture reads the next picture, which is of the size that the video has.
func (c *Clip) picture(r *bufio.Reader, samples []uint8) (*image.RGBA, error) {
	size := image.Pt(c.index.columns, c.index.rows)
	if !c.index.planar {
		img, err := readPicture(r, c.options.Bounds.Pixels, c.picked)
		if err == nil && img.Rect.Size() != size {
			return nil, errSizes
		}
		return img, err
	}
	other := false
	err := readSamples(r, pgm, yuv.Size(c.options.Bounds.Pixels, 1), func(columns, rows int) []uint8 {
		if other = columns != size.X || 2*rows != 3*size.Y; other {
			return make([]uint8, columns*rows)
		}
		return samples
	})
	switch {
	case err != nil:
		return nil, err
	case other:
		return nil, errSizes
	}
	img := c.picked(size.X, size.Y)
	c.index.colourMatrix().RGBA(samples, size.X, size.Y, img.Pix)
	return img, nil
}

var errSizes = fmt.Errorf("%w: frames of the video are of several sizes", pixeldata.ErrCorrupt)

// bounded is a writer that ends with ctx, and where there is no room for more.
type bounded struct {
	ctx  context.Context
	w    io.Writer
	room func() error
	left int // bytes before there is asked for room again
}

// asked is after how many bytes there is asked for room again.
const asked = 16 << 20

// ErrNoRoom says that a video was not copied: it is tried again when there is room.
var ErrNoRoom = errors.New("no room to copy the video to")

func (b *bounded) Write(p []byte) (int, error) {
	if b.ctx.Err() != nil {
		return 0, context.Cause(b.ctx)
	}
	if b.left -= len(p); b.left <= 0 && b.room != nil {
		if err := b.room(); err != nil {
			return 0, fmt.Errorf("%w: %w", ErrNoRoom, err)
		}
		b.left = asked
	}
	n, err := b.w.Write(p)
	if errors.Is(err, syscall.ENOSPC) {
		err = fmt.Errorf("%w: %w", ErrNoRoom, err)
	}
	return n, err
}

// Scenes are the numbers of the frames with which another scene begins, from the first on: which differ from the one before by more
// than so much, 0..1, as ffmpeg's select filter has it. All frames are decoded for it.
func (c *Clip) Scenes(ctx context.Context, difference float64) ([]int, error) {
	filters := fmt.Sprintf(counted+"scale=160:-2:flags=fast_bilinear,select='eq(n,0)+gt(scene,%f)',"+named, difference)
	arguments := append(c.input(0), "-map", "0:V:0", "-vf", filters, "-vsync", "passthrough", "-f", "null", "pipe:1")
	if !c.index.timed {
		return nil, fmt.Errorf("%w: frames of a video without times are not found by scene; choose another way to select", pixeldata.ErrUnsupported)
	}
	child, err := c.child(ctx, arguments, c.count, c.count)
	if err != nil {
		return nil, err
	}
	_, _ = io.Copy(io.Discard, child.out)
	err = child.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case pixeldata.Ended(err, c.options.Bounds, c.count) != nil:
		return nil, pixeldata.Ended(err, c.options.Bounds, c.count)
	case err != nil:
		return nil, fmt.Errorf("%w: scenes are not found: %s", pixeldata.ErrCorrupt, child.said.why())
	}
	var numbers []int
	for len(child.said.come) > 0 {
		m := <-child.said.come
		if n, err := c.at(m.at); err == nil && n <= c.count {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return slices.Compact(numbers), nil
}
