package dicomweb

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/jpeg"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/pixeldata/video"
)

// Bounds of what is played.
const (
	maxPlaying = 8                // at once, beside other requests: a player that stands still holds what it has not taken
	stillStand = 30 * time.Second // of a player, until it has to ask again
)

// Moving has do look at the video of a spool entry, whose data set is opened as i. do is not called where the video cannot be opened.
type Moving func(ctx context.Context, entry string, i *pixeldata.Instance, do func(*video.Clip) error) error

// moving reports whether an instance is one stream of moving pictures.
func moving(i ledger.SpooledInstance) bool {
	ts, _ := dicom.LookupTransferSyntax(i.TransferSyntaxUID)
	return ts.Video
}

// mostAsked is how many frames of a video a viewer may ask for one by one: ten seconds of 25.
const mostAsked = 250

// played reports whether metadata say how a video is coded: where they say H.264, OHIF 3.13 plays it, and shows no frame of it that a report refers to; else it
// asks at once for every frame of a Video Endoscopic Image, each of which has to be decoded. No report refers to what was made here. HEVC is not played
// by all browsers, MPEG-2 by none.
func played(i ledger.SpooledInstance, a *dicom.Attributes) bool {
	ts, _ := dicom.LookupTransferSyntax(i.TransferSyntaxUID)
	frames, _ := a.Int(dicom.NumberOfFrames)
	return ts.Coding == "H.264" && (i.Place.Made || frames < 2 || frames > mostAsked)
}

// clip has do look at the video of an instance, which is opened when it is its turn.
func (s *Server) clip(ctx context.Context, i ledger.SpooledInstance, do func(*video.Clip) error) error {
	if s.Moving == nil {
		return notAcceptable("of videos there are no frames and films here", "retrieve the whole instance as "+mediaDICOM)
	}
	_, data, err := s.Spool.Open(i.Entry)
	if err != nil {
		return err
	}
	defer func() { _ = data.Close() }()
	ts, _ := dicom.LookupTransferSyntax(i.TransferSyntaxUID)
	instance, err := pixeldata.OpenSeekable(data, ts, s.Decode)
	if err != nil {
		return pixelFault(err)
	}
	return s.Moving(ctx, i.Entry, instance, do)
}

// shot decodes one frame of a video, or the one in its middle. Whoever calls it has a turn to decode.
func (s *Server) shot(ctx context.Context, i ledger.SpooledInstance, number int) (f pixeldata.Frame, err error) {
	err = s.clip(ctx, i, func(c *video.Clip) error {
		if number == inTheMiddle {
			number = (c.Count() + 1) / 2
		}
		f, err = c.Frame(ctx, number)
		return err
	})
	return f, pixelFault(err)
}

// asJPEG encodes a frame of a video, which has lost as much before: the form in which frames of videos are sent (PS3.18 8.7.3.5).
func asJPEG(img *image.RGBA) ([]byte, error) {
	var b bytes.Buffer
	err := jpeg.Encode(&b, img, &jpeg.Options{Quality: defaultQuality})
	return b.Bytes(), err
}

// formOfVideo chooses how frames of a video are sent.
func formOfVideo(ranges []mediaRange) (form, error) {
	for _, m := range ranges {
		coded := form{media: mediaJPEG, syntax: dicom.JPEGBaseline8Bit, decoded: true, coded: true, multipart: m.multipart || m.media == "*/*"}
		switch {
		case m.matches(mediaJPEG) && m.takes(coded.syntax):
			return coded, nil
		case m.matches(mediaOctets) && m.syntax != "" && m.takes(coded.syntax):
			coded.media = mediaOctets
			return coded, nil
		case m.matches(mediaOctets) && (m.syntax == "" || m.syntax == string(dicom.ExplicitVRLittleEndian)):
			return form{media: mediaOctets, syntax: dicom.ExplicitVRLittleEndian, decoded: true, multipart: m.multipart}, nil
		}
	}
	return form{}, notAcceptable("frames of a video are sent as "+mediaJPEG+" or as samples, and Accept takes neither",
		`send Accept: multipart/related; type="`+mediaJPEG+`"`)
}

// plays reports whether Accept names a film.
func plays(ranges []mediaRange) bool {
	for _, m := range ranges {
		if strings.HasPrefix(m.media, "video/") {
			return true
		}
	}
	return false
}

// play answers with the whole video as players take it (PS3.18 8.7.4, table 8.7.4-1), in one part and by ranges of bytes (RFC 9110 14),
// or as the one part of several.
func (s *Server) play(w http.ResponseWriter, r *http.Request, i ledger.SpooledInstance, tag string, ranges []mediaRange) error {
	for name := range r.URL.Query() {
		if name != "accept" {
			warn(w.Header(), "a video is sent as it is: parameters of a rendering are not followed, ask for …/frames/1/rendered")
			break
		}
	}
	if err := s.turn(r.Context(), s.decode); err != nil {
		return err
	}
	opening := true
	opened := func() {
		if opening {
			<-s.decode
		}
		opening = false
	}
	defer opened()
	var sent error
	err := s.clip(r.Context(), i, func(c *video.Clip) error {
		sent = s.film(w, r, c, tag, ranges, opened)
		return nil
	})
	if sent != nil {
		return sent
	}
	return pixelFault(err)
}

func (s *Server) film(w http.ResponseWriter, r *http.Request, c *video.Clip, tag string, ranges []mediaRange, opened func()) error {
	media := c.Media()
	at := slices.IndexFunc(ranges, func(m mediaRange) bool { return m.matches(media) })
	if at < 0 {
		return notAcceptable("the video is sent as "+media, "send Accept: "+media)
	}
	f, err := c.Film(r.Context())
	opened()
	if err != nil {
		return pixelFault(err)
	}
	if out, ok := w.(*answer); ok {
		if err := s.moved(r.Context(), out, s.players); err != nil {
			return err
		}
		out.stands = stillStand
	}
	whole := io.NewSectionReader(f, 0, f.Size)
	if ranges[at].multipart {
		if fresh(w, r, tag, "vp") {
			return nil
		}
		parts := newParts(w, media, http.StatusOK)
		part, err := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {media}})
		if err == nil {
			_, err = io.Copy(part, whole)
		}
		if err != nil {
			return err
		}
		return parts.Close()
	}
	if fresh(w, r, tag, "v") {
		return nil
	}
	w.Header().Set("Content-Type", media)
	http.ServeContent(w, r, "", time.Time{}, whole)
	if out, ok := w.(*answer); ok && out.failed != nil && !errors.Is(out.failed, errHead) {
		return out.failed
	}
	return nil
}
