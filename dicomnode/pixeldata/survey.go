package pixeldata

import (
	"encoding/binary"
	"io"
	"slices"

	"endogate/dicomnode/dicom"
)

// Survey is what a look at the headers of all fragments tells of an instance of several frames: which fragments make which
// frame, whatever its offset table says.
type Survey struct {
	counts []int // fragments of each frame, in their order; frames that are missing have none
	before int   // fragments in front of the first frame
}

// Look surveys the instance in r, which is left where it stood. The zero Survey says nothing. Errors are r's alone.
func Look(r io.ReadSeeker, ts dicom.TransferSyntax) (s Survey, err error) {
	start, err := r.Seek(0, io.SeekCurrent)
	if err != nil {
		return Survey{}, err
	}
	source, err := newSeekable(r)
	if err != nil {
		return Survey{}, err
	}
	reader := dicom.NewReader(source, ts)
	attributes, token, err := reader.Attributes()
	if frames := number(attributes, dicom.NumberOfFrames, 1); err == nil && frames > 1 && token.Kind == dicom.FragmentsStart && !ts.Video {
		s = survey(reader, attributes, frames)
	}
	_, err = r.Seek(start, io.SeekStart)
	return s, err
}

// survey stops where the data set cannot be read any further: so does who decodes it.
func survey(r *dicom.Reader, a *dicom.Attributes, frames int) Survey {
	t, err := r.Next()
	if err != nil || t.Kind != dicom.Fragment {
		return Survey{}
	}
	table, err := offsets(r, t, a)
	if err != nil {
		return Survey{}
	}
	var parts []part
	for at := uint64(0); ; {
		t, err := r.Next()
		if err != nil || t.Kind != dicom.Fragment {
			break
		}
		head := make([]byte, min(t.Length, longestSignature))
		if _, err := io.ReadFull(r, head); err != nil {
			break
		}
		parts = append(parts, part{at, beginsCodestream(head)})
		at += 8 + uint64(t.Length)
	}
	before := ahead(parts, frames)
	return Survey{counts(parts[before:], table, frames), before}
}

// part is a fragment.
type part struct {
	offset uint64 // where its item begins
	signed bool   // it begins as a codestream does
}

// ahead is how many fragments stand in front of the first frame: some writers begin with an empty one, or with a second offset
// table. They begin as no codestream does, and without them there are still as many codestreams as frames.
func ahead(parts []part, frames int) int {
	first := slices.IndexFunc(parts, func(p part) bool { return p.signed })
	if first > 0 && codestreams(parts) == frames {
		return first
	}
	return 0
}

func codestreams(parts []part) (n int) {
	for _, p := range parts {
		if p.signed {
			n++
		}
	}
	return n
}

// counts says how many fragments each frame has. What the first bytes of the fragments say goes before the offset table,
// which is wrong in the field, but for a frame whose own first bytes are spoilt.
func counts(parts []part, table []uint64, frames int) []int {
	signed := codestreams(parts)
	isFirst := func(int) bool { return true } // each is a frame: as many as there are, or fewer
	switch {
	case len(parts) <= frames:
	case signed == frames && parts[0].signed:
		isFirst = func(i int) bool { return parts[i].signed }
	case fits(table, parts, frames):
		isFirst = func(i int) bool { return contains(table, parts[i].offset) }
	case signed > 0 && parts[0].signed:
		isFirst = func(i int) bool { return parts[i].signed }
	}
	var out []int
	for i := range parts {
		switch {
		case i == 0 || isFirst(i) && len(out) < frames:
			out = append(out, 1)
		case isFirst(i): // more than was said
			return out
		default:
			out[len(out)-1]++
		}
	}
	return out
}

// fits reports whether each of a table's frames begins with a fragment.
func fits(table []uint64, parts []part, frames int) bool {
	if len(table) != frames || table[0] != 0 || !slices.IsSorted(table) || len(slices.Compact(slices.Clone(table))) != frames {
		return false
	}
	i := 0
	for _, p := range parts {
		if i < len(table) && table[i] == p.offset {
			i++
		}
	}
	return i == len(table)
}

func contains(table []uint64, offset uint64) bool {
	_, found := slices.BinarySearch(table, offset)
	return found
}

// offsets reads the Basic Offset Table, which t is the item of, or the Extended one where that is empty.
func offsets(r *dicom.Reader, t dicom.Token, a *dicom.Attributes) (table []uint64, err error) {
	if t.Length <= maxTable {
		basic, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		for ; len(basic) >= 4; basic = basic[4:] {
			table = append(table, uint64(binary.LittleEndian.Uint32(basic)))
		}
	}
	if e, ok := a.Get(dicom.ExtendedOffsetTable); ok && len(table) == 0 {
		for v := e.Value; len(v) >= 8; v = v[8:] {
			table = append(table, binary.LittleEndian.Uint64(v))
		}
	}
	return table, nil
}
