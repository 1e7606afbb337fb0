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
func (i *Instance) Options() Options {
	o := i.options
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

// Start begins a child that decodes so many frames, within the bounds of as many. The caller waits for it, and kills it where
// there is an error.
func Start(cmd *exec.Cmd, b Bounds, frames int) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	b = b.withDefaults()
	b.CPU *= time.Duration(frames)
	err := confine(cmd.Process.Pid, b)
	if errors.Is(err, syscall.ESRCH) {
		return nil // it has ended
	}
	return err
}

// OutOfTime is why a child that was started ended before its time; nil where that was not its CPU time.
func OutOfTime(err error, b Bounds) error {
	if killedBy(err, syscall.SIGXCPU) {
		return b.withDefaults().outOfTime()
	}
	return nil
}
