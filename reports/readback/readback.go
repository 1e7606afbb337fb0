// Package readback reads data sets with a parser that did not write them, github.com/grailbio/go-dicom, and holds what it
// reads against what was meant. A fault that writer and reader of dicomnode/dicom share would pass any test that has only
// these two; the gate asks this package before a document leaves.
//
// That parser is old: it panics, believes lengths and may not end. So it sees only what dicomnode/dicom wrote and reads
// again, no more than MaxSize of it, in a goroutine of its own that is waited for no longer than a deadline; a few may be
// left behind, and no more. It is imported nowhere else.
//
// It leaves out big endian and deflated data sets, and elements of OV, SV and UV, which that parser does not know.
package readback

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	godicom "github.com/grailbio/go-dicom"
	"github.com/grailbio/go-dicom/dicomio"
	"github.com/grailbio/go-dicom/dicomtag"

	"endogate/dicomnode/dicom"
)

// MaxSize is the most bytes of a data set that are read.
const MaxSize = 256 << 20

const (
	deadline = time.Minute // a long report on a busy machine takes seconds
	atOnce   = 4           // readings, those included that nobody waits for any more
)

var (
	// ErrDiffers: the other parser reads something else than was meant. Writing the same again does not help.
	ErrDiffers = errors.New("readback: read differently by another parser")
	// ErrNoTime: the parser did not end in time. It would not the next time either.
	ErrNoTime = errors.New("readback: the other parser did not end in time")
	// ErrNoPlace: as many readings as may be have not ended. This one says nothing of the data set; it is worth another try.
	ErrNoPlace = errors.New("readback: earlier readings by the other parser have not ended and leave no place: start the gateway again")
	// ErrUnsupported: this is none of the data sets that the parser knows.
	ErrUnsupported = errors.New("readback: unsupported by the other parser")
)

var places = make(chan struct{}, atOnce)

// Check reads encoded, which ds became in the transfer syntax (with its character set stated), and reports the first
// difference from ds: in the elements that are there, in their VR, number of values and values, in items too. Errors name
// tags, never values.
func Check(ds dicom.Dataset, encoded []byte, ts dicom.TransferSyntax) error {
	if err := readable(encoded, ts); err != nil {
		return err
	}
	return bounded(places, deadline, func() error {
		c := comparison{explicit: ts.ExplicitVR, undecoded: takesOver(ds)}
		elements, err := parse(encoded, ts, !c.undecoded)
		if err != nil {
			return err
		}
		return c.dataset(ds, elements)
	})
}

// readable lets through what our own bounded reader reads to the end: no length leads outside, no sequence too deep.
func readable(encoded []byte, ts dicom.TransferSyntax) error {
	switch {
	case ts.BigEndian, ts.Deflated:
		return fmt.Errorf("%w: %s", ErrUnsupported, ts.Name)
	case len(encoded) > MaxSize:
		return fmt.Errorf("%w: %d bytes, more than %d", ErrUnsupported, len(encoded), MaxSize)
	}
	r := dicom.NewReader(bytes.NewReader(encoded), ts)
	for {
		t, err := r.Next()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("%w: by our own: %w", ErrDiffers, err)
		case slices.Contains([]string{"OV", "SV", "UV"}, t.VR):
			return fmt.Errorf("%w: %v of VR %s", ErrUnsupported, t.Tag, t.VR)
		}
	}
}

// bounded runs f in one of the places and waits for it no longer than the limit. A panic is an error.
func bounded(places chan struct{}, limit time.Duration, f func() error) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case places <- struct{}{}:
	case <-timer.C:
		return ErrNoPlace
	}
	timer.Reset(limit)
	done := make(chan error, 1)
	go func() {
		defer func() { <-places }()
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Errorf("%w: it panicked", ErrDiffers) // with a text that may quote values
			}
		}()
		done <- f()
	}()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return ErrNoTime
	}
}

// takesOver says whether ds takes texts over from elsewhere as they are encoded: its character set may then be any, and its
// items may have another, which that parser does not know.
func takesOver(ds dicom.Dataset) bool {
	for t := range ds {
		switch value, vr := ds.Value(t); v := value.(type) {
		case dicom.Bytes:
			if slices.Contains([]string{"LO", "LT", "PN", "SH", "ST", "UC", "UT"}, vr) {
				return true
			}
		case dicom.Items:
			if slices.ContainsFunc(v, takesOver) {
				return true
			}
		}
	}
	return false
}

// parse reads the elements of a data set, and decodes their texts if told to.
func parse(encoded []byte, ts dicom.TransferSyntax, decode bool) ([]*godicom.Element, error) {
	implicit := dicomio.ImplicitVR
	if ts.ExplicitVR {
		implicit = dicomio.ExplicitVR
	}
	d := dicomio.NewBytesDecoder(encoded, binary.LittleEndian, implicit)
	d.PushLimit(int64(len(encoded))) // so that no length makes it allocate more
	var elements []*godicom.Element
	for !d.EOF() {
		e := godicom.ReadElement(d, godicom.ReadOptions{})
		if d.Error() != nil || e == nil {
			return nil, fmt.Errorf("%w: it stops at element %d of the data set", ErrDiffers, len(elements)+1)
		}
		elements = append(elements, e)
		if e.Tag != dicomtag.SpecificCharacterSet || !decode {
			continue
		}
		terms, err := e.GetStrings()
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrDiffers, dicom.SpecificCharacterSet)
		}
		charset, err := dicomio.ParseSpecificCharacterSet(terms)
		if err != nil {
			return nil, fmt.Errorf("%w: its Specific Character Set", ErrUnsupported)
		}
		d.SetCodingSystem(charset)
	}
	return elements, nil
}
