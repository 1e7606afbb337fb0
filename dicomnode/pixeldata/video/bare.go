package video

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/pixeldata/yuv"
)

// bares is how a stream is freed of what is not pixels: the units that a decoder needs go on, and none that may hold words, such as
// those of supplemental enhancement information (ISO/IEC 14496-10 7.4.1, 23008-2 7.4.2.2) and user data (13818-2 6.2.1). Of HEVC in
// MP4 these also stand beside the stream, and are put into it first.
var bares = map[string]struct{ filters, timed, raw string }{
	"h264":       {"filter_units=pass_types=1-5|7|8|10|11", "nut", "h264"},
	"hevc":       {"hevc_mp4toannexb,filter_units=pass_types=0-21|32-34|36|37", "mpegts", "hevc"},
	"mpeg2video": {"filter_units=pass_types=0-175|179|181|183|184", "nut", "mpeg2video"},
}

// Bare writes a data set that has nothing of an instance but its video and what counting and timing its frames need: neither a UID nor
// a word about a patient. Of the stream there are the coded pictures alone, in a container of their own that has the same frames at the
// same times. It is read by Open under the same transfer syntax. An error that wraps pixeldata.ErrWords says that the video must stay
// where the instance is.
func (c *Clip) Bare(ctx context.Context, i *pixeldata.Instance, w io.Writer) error {
	ts, a := i.TransferSyntax(), i.Attributes
	ds := dicom.Dataset{dicom.Rows: dicom.Ints{c.index.rows}, dicom.Columns: dicom.Ints{c.index.columns}}
	if c.aspect != (dicom.Aspect{}) { // also where the instance says that they are square, and the stream something else
		ds[dicom.PixelAspectRatio] = dicom.Ints{c.aspect.High, c.aspect.Wide}
	}
	for _, t := range []dicom.Tag{dicom.NumberOfFrames, dicom.FrameTimeVector, dicom.FrameTime, dicom.CineRate, dicom.RecommendedDisplayFrameRate} {
		var numbers dicom.Text // as they stand there, and nothing that is none
		for _, n := range a.Texts(t) {
			if n = strings.TrimSpace(n); strings.Trim(n, "0123456789+-.eE") != "" || len(n) > 16 {
				numbers = nil
				break
			}
			numbers = append(numbers, n)
		}
		if numbers != nil {
			ds[t] = dicom.As{Verbatim: true, Value: numbers}
		}
	}
	head, err := ds.Append(nil, ts)
	if err != nil {
		return fmt.Errorf("video: %w", err)
	}
	head = dicom.AppendHeader(head, ts, dicom.PixelData, "OB", dicom.UndefinedLength)
	head = dicom.AppendHeader(head, ts, dicom.Item, "", 0)
	if _, err := w.Write(head); err != nil {
		return err
	}
	if err := c.bare(ctx, &items{w: w, ts: ts}); err != nil {
		return err
	}
	_, err = w.Write(dicom.AppendHeader(nil, ts, dicom.SequenceDelimitationItem, "", 0))
	return err
}

// items is a writer that makes each write an item, of even length as those of fragments are (PS3.5 A.4).
type items struct {
	w   io.Writer
	ts  dicom.TransferSyntax
	odd []byte // a byte that waits for the next one
}

func (i *items) Write(p []byte) (int, error) {
	all := append(i.odd, p...)
	whole := len(all) &^ 1
	i.odd = append([]byte(nil), all[whole:]...)
	if whole == 0 {
		return len(p), nil
	}
	if _, err := i.w.Write(dicom.AppendHeader(nil, i.ts, dicom.Item, "", uint32(whole))); err != nil {
		return 0, err
	}
	_, err := i.w.Write(all[:whole])
	return len(p), err
}

// end writes the byte that waits, padded.
func (i *items) end() error {
	if len(i.odd) == 0 {
		return nil
	}
	_, err := i.Write([]byte{0})
	return err
}

// bare writes the stream, and compares what was written with what it was made of.
func (c *Clip) bare(ctx context.Context, w *items) error {
	how, ok := bares[c.index.codec]
	if !ok {
		return fmt.Errorf("%w: of %s they are not told", pixeldata.ErrWords, c.index.codec)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	list, listed, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("video: %w", err)
	}
	defer func() { _ = list.Close() }() // it is only read
	format := how.raw
	if c.index.timed {
		format = how.timed
	}
	copied := []string{"-map", "0:V:0", "-c", "copy", "-copyinkf", "-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact", "-flags", "+bitexact", "-bsf:v", how.filters + c.index.saying()}
	args := append(c.input(0), copied...)
	args = append(args, "-muxdelay", "0", "-muxpreload", "0", "-f", format, "pipe:1")
	args = append(append(args, copied...), "-f", "framecrc", "pipe:4")
	said := &words{come: make(chan moment, 1)}
	child, err := launch(ctx, c.options.FFmpeg, args, said, []*os.File{c.file, listed}, c.options.Bounds, max(lookedFrames, len(c.index.packets)))
	_ = listed.Close() // the child has its own
	if err != nil {
		return err
	}
	there, read := index{demuxer: c.index.demuxer}, make(chan error, 1)
	go func() {
		err := there.read(list)
		_, _ = io.Copy(io.Discard, list)
		read <- err
	}()
	_, bad := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{child.out}, make([]byte, 256<<10))
	if bad != nil {
		cancel()
		_, _ = io.Copy(io.Discard, child.out)
	}
	listing := <-read
	waited := child.Wait()
	switch {
	case ctx.Err() != nil && bad == nil:
		return context.Cause(ctx)
	case bad != nil:
		return bad
	case pixeldata.Ended(waited, c.options.Bounds, max(lookedFrames, len(c.index.packets))) != nil:
		return pixeldata.Ended(waited, c.options.Bounds, max(lookedFrames, len(c.index.packets)))
	case listing != nil, waited != nil && c.note == "":
		return errors.Join(fmt.Errorf("%w: the video is not copied without: %s", pixeldata.ErrWords, said.why()), listing)
	case !c.index.same(there):
		return fmt.Errorf("%w: without them the video has other frames", pixeldata.ErrWords)
	}
	return w.end()
}

// same reports whether other has the same frames at the same times.
func (x index) same(other index) bool {
	return x.timed == other.timed && slices.EqualFunc(x.packets, other.packets, func(a, b packet) bool { return !x.timed || a.at == b.at })
}

// coded is the name of the colour matrix that the stream is taken to have; "" where it is one that is not known here.
func (x index) coded() string {
	switch _, known := matrices[x.matrix]; {
	case x.high:
		return "bt709"
	case known:
		return x.matrix
	}
	return ""
}

// colours are the filter that reads those of the stream as it or its container says: decoders forget what the container alone says.
func (x index) colours() string {
	matrix := x.coded()
	if matrix == "" {
		return ""
	}
	if other, ok := map[string]string{"bt470bg": "bt470", "bt2020nc": "bt2020"}[matrix]; ok {
		matrix = other
	}
	if x.full {
		matrix += ":in_range=pc"
	}
	return ",scale=in_color_matrix=" + matrix
}

// colourMatrix is that of a stream that comes in planes. What says none, and is not of high definition, has that of BT.601.
func (x index) colourMatrix() yuv.Matrix {
	of := matrices[cmp.Or(x.coded(), "smpte170m")]
	return yuv.NewMatrix(of.red, of.blue)
}

// matrices are the colour matrices of ITU-T H.273, table 4, by ffmpeg's names: their numbers, and the parts of red and blue in brightness.
var matrices = map[string]struct {
	number    int
	red, blue float64
}{
	"bt709": {1, 0.2126, 0.0722}, "fcc": {4, 0.30, 0.11}, "bt470bg": {5, 0.299, 0.114}, "smpte170m": {6, 0.299, 0.114},
	"smpte240m": {7, 0.212, 0.087}, "bt2020nc": {9, 0.2627, 0.0593},
}

// saying has the stream itself say how its colours are coded, as its container may have done.
func (x index) saying() string {
	matrix, ok := matrices[x.matrix]
	if !ok {
		return ""
	}
	name, full := strings.TrimSuffix(x.codec, "video"), ""
	if name != "mpeg2" {
		full = ":video_full_range_flag=0"
		if x.full {
			full = ":video_full_range_flag=1"
		}
	}
	return fmt.Sprintf(",%s_metadata=matrix_coefficients=%d%s", name, matrix.number, full)
}
