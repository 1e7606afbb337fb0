package dicom

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// What endogate calls itself in the files it writes and the associations it makes (PS3.7 D.3.3.2).
const (
	ImplementationClassUID    UID    = "2.25.147735434988143263086379472628021013885"
	ImplementationVersionName string = "ENDOGATE_1" // at most 16 characters
)

// Tags of the file meta information (PS3.10 table 7.1-1).
const (
	fileMetaVersion              Tag = 0x00020001
	mediaStorageSOPClassUID      Tag = 0x00020002
	mediaStorageSOPInstanceUID   Tag = 0x00020003
	transferSyntaxUID            Tag = 0x00020010
	implementationClassUID       Tag = 0x00020012
	implementationVersionName    Tag = 0x00020013
	sourceApplicationEntityTitle Tag = 0x00020016
)

const (
	preambleLength  = 128
	filePrefix      = "DICM"
	maxMetaElement  = 64 << 10
	maxMetaElements = 256
)

// ErrNoFileMeta: the bytes do not begin with file meta information; they may be a bare data set.
var ErrNoFileMeta = errors.New("dicom: no file meta information (PS3.10 7.1)")

// FileMeta is the file meta information of a Part 10 file, as far as the gateway uses it.
type FileMeta struct {
	SOPClassUID                  UID
	SOPInstanceUID               UID
	TransferSyntaxUID            UID
	SourceApplicationEntityTitle string
}

// WriteFileMeta writes preamble, prefix and group 0002, after which the data set follows. The preamble is zeros:
// nothing a stranger sent gets to the start of a file, where other programs look for other formats.
func WriteFileMeta(w io.Writer, m FileMeta) error {
	if !m.SOPClassUID.Fileable() || !m.SOPInstanceUID.Fileable() || !m.TransferSyntaxUID.Valid() {
		return errors.New("dicom: file meta information: SOP Class, SOP Instance or Transfer Syntax is not a UID")
	}
	group := Dataset{
		fileMetaVersion:            Bytes{0, 1},
		mediaStorageSOPClassUID:    As{Verbatim: true, Value: Text{string(m.SOPClassUID)}},
		mediaStorageSOPInstanceUID: As{Verbatim: true, Value: Text{string(m.SOPInstanceUID)}}, // as the data set has them
		transferSyntaxUID:          Text{string(m.TransferSyntaxUID)},
		implementationClassUID:     Text{string(ImplementationClassUID)},
		implementationVersionName:  Text{ImplementationVersionName},
	}
	if title := strings.Trim(m.SourceApplicationEntityTitle, " "); title != "" && len(title) <= 16 {
		group[sourceApplicationEntityTitle] = Bytes(title) // as the peer wrote it
	}
	out, err := group.appendGroup(append(make([]byte, preambleLength, 512), filePrefix...), 0x0002, true)
	if err == nil {
		_, err = w.Write(out)
	}
	return err
}

// ReadFileMeta reads the file meta information and leaves r at the first byte of the data set. The group length is
// not relied on, as some writers get it wrong or leave it out. Where r does not begin with a preamble, or with group
// 0002 at once, the error is ErrNoFileMeta and nothing has been taken from r. TransferSyntaxUID is "" where the
// file does not say; such a file has to be given one by whoever knows. r needs a buffer of 256 bytes or more.
func ReadFileMeta(r *bufio.Reader) (FileMeta, error) {
	start, _ := r.Peek(preambleLength + len(filePrefix))
	switch {
	case len(start) == preambleLength+len(filePrefix) && string(start[preambleLength:]) == filePrefix:
		if _, err := r.Discard(len(start)); err != nil {
			return FileMeta{}, err
		}
	case len(start) < 8 || start[0] != 2 || start[1] != 0 || start[3] != 0 || !letters(start[4:6]):
		return FileMeta{}, ErrNoFileMeta
	}
	var m FileMeta
	meta := NewReader(r, TransferSyntax{ExplicitVR: true})
	for range maxMetaElements {
		next, err := r.Peek(2)
		if err != nil || next[0] != 2 || next[1] != 0 {
			return m, nil // the data set, or a file that ends here
		}
		if err := m.element(meta); err != nil {
			return m, fmt.Errorf("dicom: file meta information: %w", err)
		}
	}
	return m, fmt.Errorf("%w: more than %d elements of file meta information", ErrTooLarge, maxMetaElements)
}

// element reads one element of group 0002, its value included.
func (m *FileMeta) element(r *Reader) error {
	t, err := r.Next()
	if err != nil {
		return err
	}
	if t.Kind != ElementToken || t.Length > maxMetaElement {
		return fmt.Errorf("%w: %v has a length of %d", ErrCorrupt, t.Tag, t.Length)
	}
	value := make([]byte, t.Length)
	if _, err := io.ReadFull(r, value); err != nil {
		return fmt.Errorf("value of %v: %w", t.Tag, io.ErrUnexpectedEOF)
	}
	text := strings.Trim(string(value), " \x00")
	switch t.Tag {
	case mediaStorageSOPClassUID:
		m.SOPClassUID = UID(text)
	case mediaStorageSOPInstanceUID:
		m.SOPInstanceUID = UID(text)
	case transferSyntaxUID:
		m.TransferSyntaxUID = UID(text)
	case sourceApplicationEntityTitle:
		m.SourceApplicationEntityTitle = text
	}
	return nil
}
