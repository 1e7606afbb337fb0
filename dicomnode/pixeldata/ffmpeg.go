package pixeldata

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Bounds of a child process.
const (
	ffmpegTimeout = 30 * time.Second
	ffmpegWords   = 4 << 10 // of what it says that is kept
)

// Missing is an error where the program is not there that decodes what this package does not decode by itself.
func (o Options) Missing() error {
	if _, err := exec.LookPath(cmp.Or(o.FFmpeg, "ffmpeg")); err != nil {
		return fmt.Errorf("JPEG 2000, JPEG-LS and lossless JPEG cannot be decoded here, install ffmpeg: %w", err)
	}
	return nil
}

// ffmpegJob is the decoding of one frame.
type ffmpegJob struct {
	options          Options
	decoder, demuxer string // ffmpeg's names
	format           string // ffmpeg's name of the pixel format wanted
	size             int    // bytes wanted
	syntax           string // for errors
}

// run feeds data to ffmpeg and returns the raw pixels. No shell, no file, no network: two pipes.
func (j ffmpegJob) run(ctx context.Context, data []byte) ([]byte, error) {
	timeout := j.options.Timeout
	if timeout <= 0 {
		timeout = ffmpegTimeout
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	out, said := &limitedBuffer{limit: j.size + 1}, &limitedBuffer{limit: ffmpegWords}
	cmd := exec.CommandContext(limited, cmp.Or(j.options.FFmpeg, "ffmpeg"), j.arguments(len(data))...)
	input := &held{Reader: bytes.NewReader(data), confined: make(chan struct{})}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = input, out, said
	cmd.Env = []string{"LC_ALL=C", "OPENBLAS_NUM_THREADS=1"} // a library of filters that are not used begins threads, and hangs where it may not
	cmd.WaitDelay = time.Second
	bounds := j.options.Bounds.withDefaults()
	err := runConfined(cmd, input, bounds)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case bounds.spent(err):
		return nil, fmt.Errorf("%s: %w", j.syntax, bounds.outOfTime())
	case strings.Contains(said.buffer.String(), "Cannot allocate memory"):
		return nil, fmt.Errorf("%s: %w: ffmpeg needs %s", j.syntax, ErrTooMuch, bounds.words()[3])
	case limited.Err() != nil:
		return nil, fmt.Errorf("pixeldata: ffmpeg: %s: no frame within %v", j.syntax, timeout)
	case killed(err): // not by us: the machine's lack and no fault of the frame
		return nil, fmt.Errorf("%s: %w", j.syntax, Ended(err, bounds, 1))
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %s needs ffmpeg, which is not installed", ErrNoDecoder, j.syntax)
	case strings.Contains(said.buffer.String(), "Unknown decoder"), strings.Contains(said.buffer.String(), "Unknown input format"):
		return nil, fmt.Errorf("%w: %s needs an ffmpeg with the %s decoder", ErrNoDecoder, j.syntax, j.decoder)
	case strings.Contains(said.buffer.String(), "unsupported marker 0xFF50"): // CAP: it is HTJ2K, and came out as garbage
		return nil, fmt.Errorf("%w: %s of this kind needs ffmpeg 6.1 or later", ErrNoDecoder, j.syntax)
	case err == nil && out.buffer.Len() == j.size:
		return out.buffer.Bytes(), nil
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, io.ErrShortWrite) {
		return nil, fmt.Errorf("pixeldata: ffmpeg: %w", err)
	}
	why := said.lastLine()
	if why == "" {
		why = fmt.Sprintf("it said nothing, as where it needs more than %d MiB of memory", bounds.Memory>>20)
	}
	return nil, fmt.Errorf("%w: %s: ffmpeg gave %d bytes of %d: %s", ErrCorrupt, j.syntax, out.buffer.Len(), j.size, why)
}

// held is the input of a child, which gets nothing before it is confined.
type held struct {
	io.Reader
	confined chan struct{} // closed then
}

func (h *held) Read(b []byte) (int, error) {
	<-h.confined
	return h.Reader.Read(b)
}

// runConfined runs cmd within the bounds. What it decodes comes from elsewhere, and so may what it does then.
func runConfined(cmd *exec.Cmd, input *held, b Bounds) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	err := confine(cmd.Process.Pid, b)
	if errors.Is(err, syscall.ESRCH) {
		err = nil // it has ended
	}
	if err != nil {
		_ = cmd.Process.Kill() // it is waited for below
	}
	close(input.confined)
	return cmp.Or(err, cmd.Wait())
}

// arguments give the demuxer the frame's length, so that it looks for no frame limits inside.
func (j ffmpegJob) arguments(length int) []string {
	b := j.options.Bounds.withDefaults()
	return []string{
		"-nostdin", "-hide_banner", "-loglevel", "error", "-xerror", "-max_alloc", strconv.FormatInt(b.Memory, 10),
		"-protocol_whitelist", "pipe", "-threads", "1", "-err_detect", "explode", "-max_pixels", strconv.Itoa(b.Pixels),
		"-f", j.demuxer, "-frame_size", strconv.Itoa(length), "-c:v", j.decoder, "-i", "pipe:0",
		"-frames:v", "1", "-f", "rawvideo", "-pix_fmt", j.format, "pipe:1",
	}
}

// limitedBuffer keeps limit bytes and refuses the rest. It hides the buffer's ReadFrom, which knows no limit.
type limitedBuffer struct {
	buffer bytes.Buffer
	limit  int
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	n := min(len(p), b.limit-b.buffer.Len())
	b.buffer.Write(p[:n])
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

func (b *limitedBuffer) lastLine() string {
	lines := strings.Split(strings.TrimSpace(b.buffer.String()), "\n")
	line := lines[len(lines)-1]
	return line[:min(len(line), 200)]
}
