package pixeldata

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"

	"endogate/dicomnode/dicom"
)

// Video reports whether the pixel data are one stream of moving pictures (PS3.5 8.2.5 to 8.2.9), for package video.
func (i *Instance) Video() bool { return i.ts.Video && i.token.Kind != 0 }

// TransferSyntax is the one that the instance was opened with.
func (i *Instance) TransferSyntax() dicom.TransferSyntax { return i.ts }

// Options are those that the instance was opened with, none of them zero.
func (i *Instance) Options() Options { return i.options.WithDefaults() }

// WithDefaults are options none of whose bounds is zero.
func (o Options) WithDefaults() Options {
	o.Bounds = o.Bounds.withDefaults()
	return o
}

// Stream writes the stream of a video: what its fragments hold, one behind the other (PS3.5 A.4, 8.2). The Basic Offset Table is
// passed over, whether it is empty or, as some write it, four zero bytes. What is cut off ends early, with ErrCorrupt. It is called once.
func (i *Instance) Stream(w io.Writer) error {
	if i.token.Tag != dicom.PixelData {
		return fmt.Errorf("%w: the instance has no Pixel Data", ErrUnsupported)
	}
	if i.token.Kind == dicom.ElementToken { // of a length, in place of fragments
		_, err := io.CopyN(w, i.reader, int64(i.token.Length))
		return streamed(err)
	}
	for first := true; ; first = false {
		t, err := i.reader.Next()
		switch {
		case err != nil && i.reader.LacksDelimiter():
			return nil
		case err != nil:
			return asCorrupt(err)
		case t.Kind != dicom.Fragment:
			return nil
		case first:
			err = i.reader.Skip(int64(t.Length))
		default:
			_, err = io.CopyN(w, i.reader, int64(t.Length))
		}
		if err != nil {
			return streamed(err)
		}
	}
}

func streamed(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return asCorrupt(err)
}

// Start begins a child that decodes so many frames, within the bounds of as many, and ends with this process. The caller waits for it,
// and kills it where there is an error.
func Start(cmd *exec.Cmd, b Bounds, frames int) error {
	cmd.SysProcAttr = dying()
	if err := cmd.Start(); err != nil {
		return err
	}
	err := confine(cmd.Process.Pid, b.of(frames))
	if errors.Is(err, syscall.ESRCH) {
		return nil // it has ended
	}
	return err
}

// of are the bounds of a child that decodes so many frames.
func (b Bounds) of(frames int) Bounds {
	b = b.withDefaults()
	b.CPU *= time.Duration(max(frames, 1))
	return b
}

// Ended is why a child that was started so ended before its time, where that is not for it to say by its exit status, and nobody here
// has killed it: ErrTooLong, or an error that may not come again.
func Ended(err error, b Bounds, frames int) error {
	b = b.of(frames)
	if b.spent(err) {
		return b.outOfTime()
	}
	if by, ok := killer(err); ok {
		return fmt.Errorf("pixeldata: ffmpeg was ended by a signal (%s), as by the kernel where memory is short", by)
	}
	return nil
}

// spent reports whether a child has used up its CPU time. ffmpeg catches the signal that says so and exits, or is killed a second later;
// what it has used is counted a little below what the kernel counts.
func (b Bounds) spent(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	by, _ := killer(err)
	return by == syscall.SIGXCPU || exit.UserTime()+exit.SystemTime() >= b.CPU*9/10
}

// killed reports whether a child was made to end: one that breaks down ends by another signal.
func killed(err error) bool {
	by, _ := killer(err)
	return by == syscall.SIGKILL || by == syscall.SIGTERM
}

func killer(err error) (by syscall.Signal, ok bool) {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0, false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return status.Signal(), ok && status.Signaled()
}
