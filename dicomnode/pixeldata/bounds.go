package pixeldata

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// ErrTooMuch: to decode the frame would cost, or has cost, more than the Bounds. It stays however often it is tried.
var ErrTooMuch = errors.New("pixeldata: beyond the bounds of one frame")

// ErrTooLong: what has cost more is CPU time, up to the bound.
var ErrTooLong = fmt.Errorf("%w in time", ErrTooMuch)

// Bounds limit what the decoding of one frame may cost. A zero field takes the value in parentheses.
type Bounds struct {
	Pixels int           // Rows x Columns (100 million)
	Scans  int           // of a JPEG, which are few but for one that is made to be slow (100)
	CPU    time.Duration // (10 s)
	Memory int64         // of the decoder, compressed data apart (512 MiB)
	File   int64         // what a child may write into a file that it is given, in bytes: most write into pipes (1 MiB)
}

func (b Bounds) withDefaults() Bounds {
	return Bounds{
		Pixels: cmp.Or(b.Pixels, 100_000_000), Scans: cmp.Or(b.Scans, 100),
		CPU: cmp.Or(b.CPU, 10*time.Second), Memory: cmp.Or(b.Memory, 512<<20),
		File: cmp.Or(b.File, 1<<20),
	}
}

// admit refuses a frame by what the attributes say, before memory is spent on it: samples and picture are held together.
func (b Bounds) admit(px pixels) error {
	if px.rows*px.columns > b.Pixels {
		return fmt.Errorf("%w: %d x %d, %s", ErrTooMuch, px.columns, px.rows, b.words()[0])
	}
	return b.holds(int64(px.size()) + 4*int64(px.rows*px.columns))
}

// admitStream refuses a codestream by what its header says. A progressive JPEG is held as coefficients of 32 bits until its last scan.
func (b Bounds) admitStream(s stream) error {
	if s.scans > b.Scans {
		return fmt.Errorf("%w: a JPEG of %d scans, %s", ErrTooMuch, s.scans, b.words()[1])
	}
	samples := int64(s.rows * s.columns * s.samples)
	need := samples + 4*int64(s.rows*s.columns)
	if s.progressive {
		need += 4 * samples
	}
	return b.holds(need)
}

func (b Bounds) holds(need int64) error {
	if need > b.Memory {
		return fmt.Errorf("%w: it takes %d MiB, %s", ErrTooMuch, need>>20, b.words()[3])
	}
	return nil
}

// pace is what a frame is decoded at in this process: whatever takes long asks now and then whether it may go on. It ends where
// ctx does, or the time of its thread is used up.
type pace struct {
	ctx  context.Context
	used func() time.Duration
	most time.Duration
}

// begin begins a frame on a thread of its own until end is called.
func (b Bounds) begin(ctx context.Context) (p pace, end func()) {
	used, end := ownTime()
	return pace{ctx, used, b.CPU}, end
}

// over says why it does not go on.
func (p pace) over() error {
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	if p.used() > p.most {
		return Bounds{CPU: p.most}.outOfTime()
	}
	return nil
}

// band is how many pixels are done without asking: some hundred microseconds' work, and an even number.
const band = 1 << 16

// bands does n pixels.
func (p pace) bands(n int, do func(from, to int)) error {
	for from := 0; from < n; from += band {
		if err := p.over(); err != nil {
			return err
		}
		do(from, min(from+band, n))
	}
	return nil
}

// paced is input that is read at a pace.
type paced struct {
	pace
	r io.Reader
}

func (p paced) Read(b []byte) (int, error) {
	if err := p.over(); err != nil {
		return 0, err
	}
	return p.r.Read(b[:min(len(b), band)])
}

func (b Bounds) outOfTime() error {
	return fmt.Errorf("%w: it is not decoded after %s", ErrTooLong, b.words()[2])
}

// words are how an error says which bound it was.
func (b Bounds) words() [4]string {
	return [...]string{
		fmt.Sprintf("more than %d pixels", b.Pixels), fmt.Sprintf("more than %d scans", b.Scans),
		fmt.Sprintf("%v of CPU time", b.CPU), fmt.Sprintf("more than %d MiB of memory", b.Memory>>20),
	}
}

// Other says whether a frame was refused, for this reason, by bounds that are other ones by now.
func (b Bounds) Other(reason string) bool {
	words := b.withDefaults().words()
	return strings.Contains(reason, ErrTooMuch.Error()) &&
		!slices.ContainsFunc(words[:], func(said string) bool { return strings.Contains(reason, said) })
}
