package dicomweb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/pixeldata/video"
)

// maxFrames bounds the frames of one request.
const maxFrames = 1000

// frames answers with frames of an instance (PS3.18 10.4.1.1.6): as they are stored where Accept takes that, else decoded where it
// asks for samples that are not compressed.
func (s *Server) frames(w http.ResponseWriter, r *http.Request) error {
	f, err := scope(r)
	if err != nil {
		return err
	}
	numbers, err := frameList(r.PathValue("frames"))
	if err != nil {
		return err
	}
	all, err := s.sum(r.Context(), f)
	if err != nil {
		return err
	}
	choose := func(ranges []mediaRange) (form, error) { return formOf(all.first, ranges) }
	if moving(all.first) {
		choose = formOfVideo
	}
	how, err := choose(accepted(r))
	if err != nil {
		return err
	}
	if !how.multipart && len(numbers) > 1 {
		return notAcceptable("several frames are answered in several parts", `send Accept: multipart/related; type="`+how.media+`"; transfer-syntax=*`)
	}
	if len(numbers) > 1 { // that one is not there is said before others are sent
		if count, err := s.drawable(all.first); err != nil || count > 0 && slices.Max(numbers) > count {
			return cmp.Or(err, pixelFault(pixeldata.ErrNoFrame))
		}
	}
	if fresh(w, r, all.tag, fmt.Sprintf("f.%s.%t", how.syntax, how.multipart)) {
		return nil
	}
	return s.sendFrames(w, r, all.first, numbers, how)
}

// form is how frames are sent.
type form struct {
	media     string
	syntax    dicom.UID
	decoded   bool
	coded     bool // as JPEG, after it was decoded
	multipart bool
}

func (f form) contentType() string { return f.media + "; transfer-syntax=" + string(f.syntax) }

// formOf chooses how frames of an instance are sent.
func formOf(i ledger.SpooledInstance, ranges []mediaRange) (form, error) {
	ts, _ := dicom.LookupTransferSyntax(i.TransferSyntaxUID)
	stored := form{media: mediaOf(ts), syntax: ts.UID}
	if !ts.Encapsulated || ts.UID == dicom.EncapsulatedUncompressed {
		stored.syntax = dicom.ExplicitVRLittleEndian // samples have no other form than this one's
	}
	for _, m := range ranges {
		stored.multipart = m.multipart || m.media == "*/*"
		switch {
		case m.matches(stored.media) && (m.takes(stored.syntax) || ts.Encapsulated && m.media == "*/*"):
			return stored, nil
		case m.matches(mediaOctets) && m.syntax != "" && m.takes(stored.syntax):
			stored.media = mediaOctets
			return stored, nil
		case m.matches(mediaOctets) && (m.syntax == "" || m.syntax == string(dicom.ExplicitVRLittleEndian)):
			return form{media: mediaOctets, syntax: dicom.ExplicitVRLittleEndian, decoded: true, multipart: m.multipart}, nil
		}
	}
	return form{}, notAcceptable("the frames are stored as "+stored.contentType()+", and Accept takes neither that nor samples",
		`send Accept: multipart/related; type="`+mediaOctets+`"; transfer-syntax=*`)
}

// frameList reads "1,2,5".
func frameList(text string) ([]int, error) {
	var numbers []int
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 1 || strconv.Itoa(n) != part {
			return nil, badRequest("frames are named by their numbers from 1, with commas between", "ask for frames/1 or frames/1,2")
		}
		if numbers = append(numbers, n); len(numbers) > maxFrames {
			return nil, &Fault{Code: http.StatusRequestEntityTooLarge, Why: fmt.Sprintf("more than %d frames are asked for", maxFrames), Next: "ask for fewer at once"}
		}
	}
	return numbers, nil
}

// sendFrames sends frames, one in memory at a time.
func (s *Server) sendFrames(w http.ResponseWriter, r *http.Request, i ledger.SpooledInstance, numbers []int, how form) error {
	first, err := s.frame(r.Context(), i, numbers[0], how)
	if err != nil {
		return err
	}
	if !how.multipart {
		w.Header().Set("Content-Type", how.contentType())
		w.Header().Set("Content-Length", strconv.Itoa(len(first)))
		_, err = w.Write(first)
		return err
	}
	parts := newParts(w, how.media, http.StatusOK)
	for k, n := range numbers {
		bytes := first
		if k > 0 {
			if bytes, err = s.frame(r.Context(), i, n, how); err != nil {
				return err
			}
		}
		part, err := parts.CreatePart(textproto.MIMEHeader{
			"Content-Type":     {how.contentType()},
			"Content-Location": {resource(s.base(r), i.SOPInstance) + "/frames/" + strconv.Itoa(n)},
		})
		if err == nil {
			_, err = part.Write(bytes)
		}
		if err != nil {
			return err
		}
		first = nil
	}
	return parts.Close()
}

// frame returns a frame in its form.
func (s *Server) frame(ctx context.Context, i ledger.SpooledInstance, number int, how form) ([]byte, error) {
	if how.decoded {
		if err := s.turn(ctx, s.decode); err != nil {
			return nil, err
		}
		defer func() { <-s.decode }()
	}
	if moving(i) {
		f, err := s.shot(ctx, i, number)
		switch {
		case err != nil:
			return nil, err
		case how.coded:
			return asJPEG(f.Image)
		}
		return rgb(f.Image), nil
	}
	_, data, err := s.Spool.Open(i.Entry)
	if err != nil {
		return nil, err
	}
	defer func() { _ = data.Close() }()
	ts, _ := dicom.LookupTransferSyntax(i.TransferSyntaxUID)
	instance, err := pixeldata.OpenSeekable(data, ts, s.Decode)
	var frame []byte
	switch {
	case err != nil:
	case how.decoded && instance.Encapsulated():
		frame, err = samples(ctx, instance, number)
	default:
		frame, err = instance.Stored(ctx, number)
	}
	return frame, pixelFault(err)
}

// samples decodes a colour frame to RGB. Of others the samples are not what a picture shows.
func samples(ctx context.Context, instance *pixeldata.Instance, number int) ([]byte, error) {
	a := instance.Attributes
	colours, _ := a.Int(dicom.SamplesPerPixel)
	bits, _ := a.Int(dicom.BitsAllocated)
	if colours != 3 || bits != 8 {
		return nil, notAcceptable("only frames of three colours with 8 bits each are decoded to samples", `send Accept: multipart/related; type="`+mediaOctets+`"; transfer-syntax=*`)
	}
	f, err := instance.Frame(ctx, number)
	if err != nil {
		return nil, err
	}
	return rgb(f.Image), nil
}

func rgb(img *image.RGBA) []byte {
	out := make([]byte, 0, len(img.Pix)/4*3)
	for p := img.Pix; len(p) >= 4; p = p[4:] {
		out = append(out, p[0], p[1], p[2])
	}
	return out
}

// pixelFault says why a frame is not there.
func pixelFault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pixeldata.ErrNoFrame):
		return &Fault{Code: http.StatusNotFound, Why: "the instance has no such frame", Next: "see Number of Frames in its metadata"}
	case errors.Is(err, video.ErrNoRoom):
		return &Fault{Code: http.StatusServiceUnavailable, Why: "there is no room on the disk to open the video", Next: "try again later; see /readyz", Err: err}
	case errors.Is(err, pixeldata.ErrUnsupported), errors.Is(err, pixeldata.ErrCorrupt), errors.Is(err, pixeldata.ErrTooMuch):
		return notAcceptable("the frame cannot be taken out or decoded here: "+err.Error(), "retrieve the whole instance as "+mediaDICOM)
	}
	return err
}
