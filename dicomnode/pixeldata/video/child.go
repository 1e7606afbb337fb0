package video

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"time"

	"endogate/dicomnode/pixeldata"

	"golang.org/x/sys/unix"
)

// child is an ffmpeg that runs. The caller reads what it gives to its end, and waits for it.
type child struct {
	*exec.Cmd
	said *words
	out  io.Reader
}

// launch starts ffmpeg, with nothing but what is asked for, two pipes and files: to decode so many frames. It ends with ctx.
func launch(ctx context.Context, ffmpeg string, arguments []string, said *words, files []*os.File, b pixeldata.Bounds, frames int) (*child, error) {
	c := &child{Cmd: exec.CommandContext(ctx, cmp.Or(ffmpeg, "ffmpeg"), arguments...), said: said}
	c.Stderr, c.ExtraFiles, c.WaitDelay = said, files, waitDelay
	c.Env = []string{"LC_ALL=C", "OPENBLAS_NUM_THREADS=1"}
	var err error
	if c.out, err = c.StdoutPipe(); err != nil {
		return nil, err
	}
	widen(c.out)
	return c, c.start(b, frames)
}

// pipeSize is as much as Linux gives everybody (fs.pipe-max-size).
const pipeSize = 1 << 20

// widen has a pipe hold a good part of a picture, so that child and reader wait less for each other. Where it may not, it stays as it is.
func widen(pipe io.Reader) {
	file, ok := pipe.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := file.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
	}
}

func (c *child) start(b pixeldata.Bounds, frames int) error {
	err := pixeldata.Start(c.Cmd, b, frames)
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: video needs ffmpeg, which is not installed", pixeldata.ErrNoDecoder)
	case err != nil && c.Process != nil:
		_ = c.Process.Kill()
		_ = c.Wait()
		fallthrough
	case err != nil:
		return fmt.Errorf("video: ffmpeg: %w", err)
	}
	return nil
}

// child starts one on the stream: to hand over so many frames, of so many that are decoded.
func (c *Clip) child(ctx context.Context, arguments []string, asked, decoded int) (*child, error) {
	said := &words{come: make(chan moment, asked+1), progress: c.Progress}
	return launch(ctx, c.options.FFmpeg, arguments, said, []*os.File{c.file}, c.options.Bounds, decoded)
}

// patience is how long what a child says may come after the picture that it says it of.
const patience = 30 * time.Second

// next is the next frame that comes.
func (w *words) next(ctx context.Context) (moment, error) {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-ctx.Done():
		return moment{}, context.Cause(ctx)
	case <-late.C:
		return moment{}, fmt.Errorf("%w: this ffmpeg does not say which frame it has decoded", pixeldata.ErrNoDecoder)
	case m := <-w.come:
		return m, nil
	}
}

// How the pictures of a child begin, which come one behind the other: in PAM files of four samples as an image has them; and in PGM files
// of brightness, and of colour differences below, as ffmpeg's pgmyuv writes them and [yuv.Matrix] reads them.
const (
	pam = "P7\nWIDTH %d\nHEIGHT %d\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n"
	pgm = "P5\n%d %d\n255\n"
)

// readSamples reads those of a picture that begins so, of so many columns times rows at most, into what it is given; io.EOF where there is none any
// more, or it is cut off.
func readSamples(r *bufio.Reader, header string, most int, into func(columns, rows int) []uint8) error {
	var columns, rows int
	if _, err := r.Peek(1); err != nil {
		return io.EOF
	}
	if _, err := fmt.Fscanf(r, header, &columns, &rows); err != nil || columns < 1 || rows < 1 {
		return fmt.Errorf("%w: this ffmpeg gives no pictures as they are expected", pixeldata.ErrNoDecoder)
	}
	if columns > most/rows {
		return fmt.Errorf("%w: a picture of %d x %d samples", pixeldata.ErrTooMuch, columns, rows)
	}
	if _, err := io.ReadFull(r, into(columns, rows)); err != nil {
		return io.EOF
	}
	return nil
}

// readPicture reads a PAM file of so many pixels at most into an image that it is given. Errors are those of readSamples.
func readPicture(r *bufio.Reader, pixels int, into func(columns, rows int) *image.RGBA) (img *image.RGBA, err error) {
	err = readSamples(r, pam, pixels, func(columns, rows int) []uint8 {
		img = into(columns, rows)
		return img.Pix
	})
	if err != nil {
		return nil, err
	}
	return img, nil
}

func blank(columns, rows int) *image.RGBA { return image.NewRGBA(image.Rect(0, 0, columns, rows)) }
