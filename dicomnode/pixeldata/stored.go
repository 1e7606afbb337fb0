package pixeldata

import (
	"context"
	"fmt"

	"endogate/dicomnode/dicom"
)

// Stored returns frame n, counted from 1, as it is stored: its codestream, or its samples in Little Endian. Errors are those of
// Frame. It is called once, and in place of it.
func (i *Instance) Stored(ctx context.Context, n int) ([]byte, error) {
	px, err := i.describe()
	if err != nil {
		return nil, err
	}
	if n < 1 || n > px.frames {
		return nil, fmt.Errorf("%w: %d of %d", ErrNoFrame, n, px.frames)
	}
	if i.token.Kind != dicom.ElementToken {
		frames, err := newFragments(i.reader, i.Attributes, px, i.ts, i.survey)
		for k := 1; err == nil && k < n; k++ {
			if err = context.Cause(ctx); err == nil {
				err = frames.skip()
			}
		}
		if err != nil {
			return nil, err
		}
		return frames.next()
	}
	source, err := newNative(i.reader, i.token, &px, i.ts)
	if err == nil {
		err = source.skip(ctx, n-1)
	}
	if err != nil {
		return nil, err
	}
	pace, end := i.options.Bounds.withDefaults().begin(ctx)
	defer end()
	return source.samples(pace)
}

// Encapsulated reports whether frames are stored as codestreams.
func (i *Instance) Encapsulated() bool { return i.token.Kind == dicom.FragmentsStart }
