package dicomweb

import (
	"bufio"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"endogate/dicomnode/dicom"
)

// bulkdata answers with a value that the metadata refer to (PS3.18 10.4.1.1.5): its bytes, of Pixel Data that are encapsulated
// each fragment behind the offset table; a video as players take it where Accept asks for that.
func (s *Server) bulkdata(w http.ResponseWriter, r *http.Request) error {
	f, err := scope(r)
	if err != nil {
		return err
	}
	path, err := parsePath(r.PathValue("path"))
	if err != nil {
		return err
	}
	all, err := s.sum(r.Context(), f)
	if err != nil {
		return err
	}
	if moving(all.first) && len(path) == 1 && path[0].tag == dicom.PixelData && plays(accepted(r)) {
		return s.play(w, r, all.first, all.tag, accepted(r)) // PS3.18 table 8.7.3-5
	}
	var how *mediaRange
	for _, m := range accepted(r) {
		if m.matches(mediaOctets) {
			how = &m
			break
		}
	}
	if how == nil {
		return notAcceptable("bulk data are answered as "+mediaOctets, "send Accept: "+mediaOctets)
	}
	_, data, err := s.Spool.Open(all.first.Entry)
	if err != nil {
		return err
	}
	defer func() { _ = data.Close() }()
	ts, _ := dicom.LookupTransferSyntax(all.first.TransferSyntaxUID)
	reader := dicom.NewReader(bufio.NewReaderSize(data, 64<<10), ts)
	token, err := find(reader, path)
	switch {
	case errors.Is(err, io.EOF):
		return &Fault{Code: http.StatusNotFound, Why: "the instance has no such value", Next: "use the BulkDataURIs of its metadata"}
	case err != nil:
		return err
	}
	several := token.Kind == dicom.FragmentsStart
	if several && !how.multipart && how.media != "*/*" {
		return notAcceptable("fragments are answered in several parts", `send Accept: multipart/related; type="`+mediaOctets+`"; transfer-syntax=*`)
	}
	if fresh(w, r, all.tag, "b."+strconv.FormatBool(how.multipart)) {
		return nil
	}
	if ts.BigEndian && wide(token.VR) {
		return notAcceptable("values of several bytes are stored in Big Endian", "retrieve the whole instance as "+mediaDICOM)
	}
	if !several && !how.multipart {
		w.Header().Set("Content-Type", mediaOctets)
		w.Header().Set("Content-Length", strconv.FormatInt(int64(token.Length), 10))
		_, err = io.Copy(w, reader)
		return err
	}
	parts := newParts(w, mediaOctets, http.StatusOK)
	if !several {
		err = writePart(parts, string(dicom.ExplicitVRLittleEndian), reader)
	} else {
		err = writeFragments(parts, string(ts.UID), reader)
	}
	if err != nil {
		return err
	}
	return parts.Close()
}

func writePart(parts *multipart.Writer, syntax string, value io.Reader) error {
	part, err := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {mediaOctets + "; transfer-syntax=" + syntax}})
	if err == nil {
		_, err = io.Copy(part, value)
	}
	return err
}

func writeFragments(parts *multipart.Writer, syntax string, r *dicom.Reader) error {
	for n := 0; ; n++ {
		t, err := r.Next()
		if r.LacksDelimiter() {
			return nil
		}
		if err != nil {
			return err
		}
		if t.Kind != dicom.Fragment {
			return nil
		}
		if n == 0 {
			continue // the offset table
		}
		if err := writePart(parts, syntax, r); err != nil {
			return err
		}
	}
}

// wide reports whether values of the VR have a byte order.
func wide(vr string) bool {
	return strings.Contains(" OW OF OD OL OV ", " "+vr+" ")
}

// maxPath is how many sequences a path of the JSON model leads through.
const maxPath = 64

// step is an element, and below a sequence the item it is in.
type step struct {
	tag  dicom.Tag
	item int // from 1; 0 at the top
}

// parsePath reads the path of a BulkDataURI: tags, with the number of an item behind each that is a sequence.
func parsePath(text string) ([]step, error) {
	bad := badRequest("bulk data are named by the tags of a BulkDataURI", "use the BulkDataURIs of the metadata")
	var path []step
	item := 0
	for i, part := range strings.Split(text, ".") {
		if i%2 == 1 {
			n, err := strconv.Atoi(part)
			if err != nil || n < 1 {
				return nil, bad
			}
			item = n
			continue
		}
		n, err := strconv.ParseUint(part, 16, 32)
		if err != nil || len(part) != 8 || len(path) == maxPath {
			return nil, bad
		}
		path = append(path, step{dicom.Tag(n), item})
		item = 0
	}
	if item != 0 {
		return nil, bad
	}
	return path, nil
}

// find reads up to the value that path leads to; io.EOF where there is none.
func find(r *dicom.Reader, path []step) (dicom.Token, error) {
	at, item := 0, 0 // at the element of path[at], in an item of that number
	for {
		t, err := r.Next()
		if err != nil {
			return t, err
		}
		switch {
		case t.Kind == dicom.ItemStart && t.Depth == at && at > 0:
			item++
		case t.Depth == at-1 && at > 0 && t.Kind == dicom.SequenceEnd:
			return t, io.EOF // it was in there, and is not
		case t.Depth != at || t.Tag != path[at].tag || item != path[at].item:
		case t.Kind == dicom.SequenceStart && at < len(path)-1:
			at, item = at+1, 0
		case at == len(path)-1 && (t.Kind == dicom.ElementToken || t.Kind == dicom.FragmentsStart):
			return t, nil
		}
	}
}
