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

// readPicture reads a PAM file of so many pixels at most, of four samples as an image has them, into one that it is given; io.EOF where there is none any more, or it
// is cut off.
func readPicture(r *bufio.Reader, pixels int, into func(columns, rows int) *image.RGBA) (*image.RGBA, error) {
	var columns, rows int
	if _, err := r.Peek(1); err != nil {
		return nil, io.EOF
	}
	if _, err := fmt.Fscanf(r, "P7\nWIDTH %d\nHEIGHT %d\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n", &columns, &rows); err != nil || columns < 1 || rows < 1 {
		return nil, fmt.Errorf("%w: this ffmpeg gives no pictures as they are expected", pixeldata.ErrNoDecoder)
	}
	if columns > pixels/rows {
		return nil, fmt.Errorf("%w: a picture of %d x %d pixels", pixeldata.ErrTooMuch, columns, rows)
	}
	img := into(columns, rows)
	if _, err := io.ReadFull(r, img.Pix); err != nil {
		return nil, io.EOF
	}
	return img, nil
}

func blank(columns, rows int) *image.RGBA { return image.NewRGBA(image.Rect(0, 0, columns, rows)) }
