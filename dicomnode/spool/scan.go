package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// gap is a stretch of a segment that holds no whole record.
type gap struct{ off, size int64 }

// scanner walks over the whole records of a segment.
type scanner struct {
	r       io.ReaderAt
	salt    uint64
	through uint64 // of the segment
	until   uint64 // records from this Seq on do not count; 0: all count and their data is checked
	size    int64  // of the file
	end     int64  // end of the last whole record
	gaps    []gap  // between whole records
	tail    int64  // bytes after the last whole record, up to the last that is not zero
	seq     uint64 // of the last whole record that counts
	err     error

	scratch  []byte // for checkData
	buf      []byte // for window
	window   []byte // what search looks at, from windowAt on
	windowAt int64
	used     int64 // end of the last byte that is not zero, as far as search has come

	// The record found by next.
	off    int64
	header recordHeader
	entry  Entry
}

func newScanner(r io.ReaderAt, size int64, first, until uint64) (*scanner, error) {
	var header [segmentHeaderSize]byte
	var err error
	if size < segmentHeaderSize {
		err = fmt.Errorf("%w: the file ends in it", errHeader)
	} else {
		err = readFull(r, header[:], 0)
	}
	var got, through, salt uint64
	if err == nil {
		got, through, salt, err = decodeSegmentHeader(header[:])
	}
	if err == nil && got != first {
		err = fmt.Errorf("%w: it is of segment %s", errHeader, segmentName(got))
	}
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	return &scanner{
		r: r, salt: salt, through: through, until: until, size: size, end: segmentHeaderSize, seq: first - 1,
		buf: make([]byte, 256<<10), scratch: make([]byte, 256<<10),
	}, nil
}

// next finds the next whole record that counts.
func (c *scanner) next() bool {
	for at := c.end; ; {
		ok, err := c.at(at)
		if err != nil {
			c.err = err
			return false
		}
		if ok {
			if at > c.end {
				c.gaps = append(c.gaps, gap{c.end, at - c.end})
			}
			c.off, c.end, c.seq = at, at+c.header.size(), c.header.seq
			return true
		}
		if at, err = c.search(at); err != nil {
			c.err = err
			return false
		}
		if at < 0 {
			return false
		}
	}
}

// slot is that of the record that next has found.
func (c *scanner) slot() slot {
	return slot{id: c.entry.ID, seq: c.header.seq, off: c.off, size: c.header.size(), bytes: c.entry.Size, large: c.header.large, action: c.entry.Kind == Action}
}

// at reports whether a whole record that follows the last one starts at off.
func (c *scanner) at(off int64) (bool, error) {
	h, e, err := readRecord(c.r, off, c.size, c.salt)
	if errors.Is(err, errNoRecord) || err == nil && (h.seq <= c.seq || c.until > 0 && h.seq >= c.until) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if c.until == 0 {
		if ok, err := checkData(c.r, off, h, c.scratch); !ok || err != nil {
			if errors.Is(err, errNoRecord) {
				err = nil
			}
			return false, err
		}
	}
	c.header, c.entry = h, e
	return true, nil
}

// search returns the next place after off where a record may start, or -1 and sets tail.
func (c *scanner) search(off int64) (int64, error) {
	for at := off + 1; at < c.size; {
		if err := c.load(at); err != nil {
			return 0, err
		}
		if i := bytes.Index(c.window[at-c.windowAt:], recordMagic); i >= 0 {
			return at + int64(i), nil
		}
		end := c.windowAt + int64(len(c.window))
		if end == c.size {
			break
		}
		at = max(at+1, end-int64(len(recordMagic))+1)
	}
	c.tail = max(c.used, c.end) - c.end
	return -1, nil
}

// load puts the bytes from at on into the window, unless it has enough of them.
func (c *scanner) load(at int64) error {
	end := c.windowAt + int64(len(c.window))
	if at >= c.windowAt && (end == c.size || end-at >= int64(len(recordMagic))) {
		return nil
	}
	c.windowAt, c.window = at, c.buf[:min(int64(len(c.buf)), c.size-at)]
	if err := readFull(c.r, c.window, at); err != nil {
		return err
	}
	if n := len(bytes.TrimRight(c.window, "\x00")); n > 0 {
		c.used = at + int64(n)
	}
	return nil
}
