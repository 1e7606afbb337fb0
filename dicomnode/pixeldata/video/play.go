package video

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"endogate/dicomnode/pixeldata"
)

// Film is a video as players take it.
type Film struct {
	Media string // video/mp4 (H.264 and HEVC, ISO/IEC 14496-12) or video/mpeg (MPEG-1 and MPEG-2)
	io.ReaderAt
	Size int64 // bytes
}

// Media types of films (PS3.18 8.7.4).
const (
	MediaMP4  = "video/mp4"
	MediaMPEG = "video/mpeg"
)

// made is an MP4 file that a child wrote of the stream, once; or why there is none, but for a lack that passes.
type made struct {
	mu   sync.Mutex
	file *os.File
	err  error
}

// of is the file, which write makes where it was not made.
func (m *made) of(write func() (*os.File, error)) (*os.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.file != nil || m.err != nil {
		return m.file, m.err
	}
	file, err := write()
	if err == nil {
		m.file = file
	} else if !errors.Is(err, ErrNoRoom) {
		m.err = err
	}
	return file, err
}

// Media is the media type of Film.
func (c *Clip) Media() string {
	if c.index.demuxer != "mov" && strings.HasPrefix(c.index.codec, "mpeg") {
		return MediaMPEG
	}
	return MediaMP4
}

// Film is the whole video, valid until Close: the stream as it is stored where players take that, else its packets in an MP4 file, none
// of them coded anew. A stream without a container whose frames are coded in another order than they are shown in has no times to
// write: ErrUnsupported.
func (c *Clip) Film(ctx context.Context) (Film, error) {
	file := c.file
	if c.Media() == MediaMP4 && c.index.demuxer != "mov" {
		var err error
		file, err = c.film.of(func() (*os.File, error) { return c.remux(context.WithoutCancel(ctx)) }) // others wait for it who go on where this one gives up
		if err != nil {
			return Film{}, err
		}
	}
	info, err := file.Stat()
	if err != nil {
		return Film{}, fmt.Errorf("video: %w", err)
	}
	return Film{c.Media(), file, info.Size()}, nil
}

// toWrite is the second of a child's extra files.
const toWrite = "/proc/self/fd/4"

// remux writes the packets of the stream into an MP4 file, its index first.
func (c *Clip) remux(ctx context.Context) (_ *os.File, err error) {
	if !c.index.timed {
		if err := c.inOrder(ctx); err != nil {
			return nil, err
		}
	}
	stored, err := c.file.Stat()
	if err != nil {
		return nil, fmt.Errorf("video: %w", err)
	}
	if c.options.Room != nil {
		if err := c.options.Room(); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoRoom, err)
		}
	}
	file, err := scratch(c.options.Scratch)
	if err != nil {
		return nil, fmt.Errorf("video: %w", err)
	}
	defer func() {
		if err != nil {
			_ = file.Close()
		}
	}()
	bounds := c.options.Bounds
	bounds.File = stored.Size() + stored.Size()/8 + 1<<20 // what an index takes is far below that
	arguments := append(c.input(0), "-map", "0:V:0", "-c:v", "copy", "-map_metadata", "-1", "-fflags", "+bitexact",
		"-movflags", "+faststart", "-f", "mp4", "-y", toWrite)
	said := &words{come: make(chan moment, 1)}
	child, err := launch(ctx, c.options.FFmpeg, arguments, said, []*os.File{c.file, file}, bounds, lookedFrames)
	if err != nil {
		return nil, err
	}
	_, _ = io.Copy(io.Discard, child.out) // there is nothing in it
	switch err := child.Wait(); {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case pixeldata.Ended(err, bounds, lookedFrames) != nil:
		return nil, pixeldata.Ended(err, bounds, lookedFrames)
	case err != nil:
		return nil, fmt.Errorf("%w: no MP4 file can be made of the video: %s", pixeldata.ErrCorrupt, said.why())
	}
	return file, nil
}

// firstFrames are decoded to see in which order frames are coded.
const firstFrames = 64

// inOrder is an error where frames are shown in another order than they are coded in.
func (c *Clip) inOrder(ctx context.Context) error {
	arguments := append(c.input(0), "-map", "0:V:0", "-vf", "showinfo@decoded=checksum=0", "-frames:v", fmt.Sprint(firstFrames), "-f", "null", "pipe:1")
	child, err := c.child(ctx, arguments, 0, firstFrames)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, child.out)
	err = child.Wait()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case pixeldata.Ended(err, c.options.Bounds, firstFrames) != nil:
		return pixeldata.Ended(err, c.options.Bounds, firstFrames)
	case err != nil:
		return fmt.Errorf("%w: the video cannot be decoded: %s", pixeldata.ErrCorrupt, child.said.why())
	case child.said.bidirectional:
		return fmt.Errorf("%w: the stream has no container, which would say when its frames are shown: they are coded in another order; its frames can be had one by one", pixeldata.ErrUnsupported)
	}
	return nil
}

// Close lets the stream go, and the film.
func (c *Clip) Close() error {
	err := c.file.Close()
	if c.film.file != nil {
		err = errors.Join(err, c.film.file.Close())
	}
	return err
}
