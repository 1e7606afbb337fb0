package dicomweb

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"math"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/image/draw"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata"
)

// Media types of pictures (PS3.18 table 8.7.4-1).
const (
	mediaJPEG = "image/jpeg"
	mediaPNG  = "image/png"
)

// Bounds and defaults of pictures.
const (
	maxViewport    = 4096 // pixels of each side
	thumbnailSide  = 256  // where no viewport is asked for
	defaultQuality = 90
	maxBetween     = 8 << 20 // pixels of 32 bytes that a scaler holds between columns and rows; beyond, one that holds none is taken
	maxTries       = 20      // instances that are looked at for one that a thumbnail can be made of
)

// rendering is how a picture is made.
type rendering struct {
	media     string
	multipart bool
	quality   int // of JPEG, 1 to 100
	viewport  viewport
	window    *pixeldata.Window // of grey frames; nil: their own
}

// viewport is the part of a frame that is shown, and the size that it is scaled to fit into (PS3.18 8.3.5.1.3). A width of 0: as it is.
type viewport struct {
	width, height int
	left, top     float64 // of the region, in pixels of the frame
	across, down  float64 // its size, negative where it is turned round; 0: up to the frame's edge
}

// picture is a frame that can be drawn.
type picture struct {
	of    ledger.SpooledInstance
	frame int // inTheMiddle: of a video
}

const inTheMiddle = 0

// rendered answers with pictures of frames: of some, of an instance, or of all images of a series or study (PS3.18 10.4.1.1.3).
func (s *Server) rendered(w http.ResponseWriter, r *http.Request) error { return s.draws(w, r, false) }

// thumbnail answers with one small picture of what is asked for (PS3.18 10.4.1.1.5).
func (s *Server) thumbnail(w http.ResponseWriter, r *http.Request) error { return s.draws(w, r, true) }

func (s *Server) draws(w http.ResponseWriter, r *http.Request, small bool) error {
	f, err := scope(r)
	if err != nil {
		return err
	}
	var numbers []int
	if text := r.PathValue("frames"); text != "" {
		if numbers, err = frameList(text); err != nil {
			return err
		}
	}
	how, err := renderingOf(w.Header(), r.URL.Query(), small)
	if err != nil {
		return err
	}
	all, err := s.sum(r.Context(), f)
	if err != nil {
		return err
	}
	if f.SOP != "" && numbers == nil && !small && moving(all.first) {
		return s.play(w, r, all.first, all.tag, accepted(r))
	}
	pictures, err := s.pictures(r.Context(), f, numbers, small)
	if err != nil {
		return err
	}
	if err = how.accepted(accepted(r), len(pictures)); err != nil {
		return err
	}
	code := http.StatusOK
	if f.SOP == "" && all.incomplete(w.Header()) {
		code = http.StatusPartialContent
	}
	query := sha256.Sum256([]byte(r.URL.RawQuery))
	if fresh(w, r, all.tag, fmt.Sprintf("r.%t.%s", small, base64.RawURLEncoding.EncodeToString(query[:6]))) {
		return nil
	}
	return s.sendPictures(w, r, pictures, how, code)
}

// renderingOf reads the parameters of a rendering (PS3.18 8.3.5). Those that nothing is done with are said in h.
func renderingOf(h http.Header, query url.Values, small bool) (rendering, error) {
	how := rendering{quality: defaultQuality}
	if small {
		how.viewport = viewport{width: thumbnailSide, height: thumbnailSide}
	}
	for name := range query {
		text := query.Get(name)
		var err error
		switch {
		case name == "accept":
		case name == "viewport":
			how.viewport, err = readViewport(text, small)
		case name == "quality" && !small:
			how.quality, err = strconv.Atoi(text)
			if err != nil || how.quality < 1 || how.quality > 100 {
				err = badRequest("quality is not a whole number from 1 to 100", "ask for quality=90, or leave it out")
			}
		case name == "window" && !small:
			how.window, err = readWindow(text)
		default:
			warn(h, "of the parameters of a rendering, viewport, quality and window are followed; of a thumbnail's, viewport")
		}
		if err != nil {
			return how, err
		}
	}
	return how, nil
}

// readViewport reads vw,vh[,sx,sy,sw,sh]; a thumbnail has the first two alone.
func readViewport(text string, small bool) (viewport, error) {
	bad := badRequest("viewport is not width,height[,left,top,width,height] in pixels", fmt.Sprintf("ask for viewport=512,512 or viewport=512,512,0,0,640,480, of at most %d pixels a side", maxViewport))
	fields := strings.Split(text, ",")
	if len(fields) < 2 || len(fields) > 6 || small && len(fields) > 2 {
		return viewport{}, bad
	}
	var v viewport
	for i, to := range []*int{&v.width, &v.height} {
		n, err := strconv.Atoi(fields[i])
		if err != nil || n < 1 || n > maxViewport {
			return viewport{}, bad
		}
		*to = n
	}
	for i, to := range []*float64{&v.left, &v.top, &v.across, &v.down} {
		if i+2 >= len(fields) || fields[i+2] == "" {
			continue // the frame's own
		}
		x, err := strconv.ParseFloat(fields[i+2], 64)
		if err != nil || math.IsNaN(x) || math.Abs(x) > math.MaxUint16 || i < 2 && x < 0 || i >= 2 && math.Abs(x) < 1 {
			return viewport{}, bad
		}
		*to = x
	}
	return v, nil
}

// functions are those of a window, as the parameter has them.
var functions = map[string]pixeldata.Function{"linear": pixeldata.Linear, "linear-exact": pixeldata.LinearExact, "sigmoid": pixeldata.Sigmoid}

// readWindow reads center,width,function (PS3.18 8.3.5.1.4).
func readWindow(text string) (*pixeldata.Window, error) {
	fields := strings.Split(text, ",")
	if len(fields) == 3 {
		function, known := functions[strings.ToLower(fields[2])]
		center, err1 := strconv.ParseFloat(fields[0], 64)
		width, err2 := strconv.ParseFloat(fields[1], 64)
		w := pixeldata.Window{Center: center, Width: width, Function: function}
		if known && err1 == nil && err2 == nil && w.Valid() {
			return &w, nil
		}
	}
	return nil, badRequest("window is not center,width,function with a width above 0, of linear 1 or more", "ask for window=40,400,linear, linear-exact or sigmoid, or leave it out for the frame's own")
}

// accepted chooses the media type of so many pictures.
func (how *rendering) accepted(ranges []mediaRange, pictures int) error {
	alone := "" // what is taken of one picture, where there are more
	for _, m := range ranges {
		for _, media := range []string{mediaJPEG, mediaPNG} {
			if !m.matches(media) {
				continue
			}
			how.media, how.multipart = media, m.multipart || m.media == "*/*" && pictures > 1
			if how.multipart || pictures == 1 {
				return nil
			}
			alone = cmp.Or(alone, media)
		}
	}
	if alone != "" {
		return notAcceptable("several frames are answered in several parts", `send Accept: multipart/related; type="`+alone+`", or ask for …/frames/1/rendered`)
	}
	return notAcceptable("pictures are made as "+mediaJPEG+" and "+mediaPNG, "send Accept: "+mediaJPEG)
}

// pictures lists the frames of f that can be drawn: those of numbers, or all; one alone for a thumbnail.
func (s *Server) pictures(ctx context.Context, f ledger.SpooledInstances, numbers []int, small bool) ([]picture, error) {
	var found []picture
	tries := 0
	for i, err := range s.instances(ctx, f) {
		if err != nil {
			return nil, err
		}
		if moving(i) && (numbers != nil || small) {
			found = append(found, shots(i, numbers)...)
		}
		frames, err := s.drawable(i)
		if err != nil {
			return nil, meanwhile(err, f)
		}
		switch {
		case numbers != nil && frames > 0:
			for _, n := range numbers {
				if n > frames { // said before the first is sent
					return nil, pixelFault(pixeldata.ErrNoFrame)
				}
				found = append(found, picture{i, n})
			}
		default:
			for n := range min(frames, maxFrames+1) {
				found = append(found, picture{i, n + 1})
			}
		}
		if small && len(found) > 0 {
			return found[:1], nil
		}
		if len(found) > maxFrames {
			return nil, &Fault{Code: http.StatusRequestEntityTooLarge, Why: fmt.Sprintf("these are more than %d frames", maxFrames), Next: "ask for a series, an instance or some of its frames"}
		}
		if tries++; small && tries == maxTries {
			break
		}
	}
	if len(found) == 0 {
		return nil, notAcceptable("nothing of it is a picture: of reports and documents none are made here, of a video of each frame that is asked for", "retrieve it as "+mediaDICOM+", of a video ask for …/instances/{instance}/rendered")
	}
	return found, nil
}

// shots are frames of a video: those of numbers, else the one in its middle, as a video begins and ends outside of the body.
func shots(i ledger.SpooledInstance, numbers []int) (found []picture) {
	for _, n := range numbers {
		found = append(found, picture{i, n})
	}
	if numbers == nil {
		found = []picture{{i, inTheMiddle}}
	}
	return found
}

// drawable is how many frames of an instance can be drawn: none of a video, of which those are that are asked for, and of what has no pixels.
func (s *Server) drawable(i ledger.SpooledInstance) (int, error) {
	if moving(i) {
		return 0, nil
	}
	ts, _ := dicom.LookupTransferSyntax(i.TransferSyntaxUID)
	_, data, err := s.Spool.Open(i.Entry)
	if err != nil {
		return 0, err
	}
	defer func() { _ = data.Close() }()
	instance, err := pixeldata.OpenSeekable(data, ts, s.Decode)
	if errors.Is(err, pixeldata.ErrCorrupt) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if rows, ok := instance.Attributes.Int(dicom.Rows); !ok || rows == 0 {
		return 0, nil
	}
	return instance.Count(), nil
}

// sendPictures sends pictures, one in memory at a time.
func (s *Server) sendPictures(w http.ResponseWriter, r *http.Request, pictures []picture, how rendering, code int) error {
	first, err := s.draw(r.Context(), pictures[0], how)
	if err != nil {
		return err
	}
	if !how.multipart {
		w.Header().Set("Content-Type", how.media)
		w.Header().Set("Content-Length", strconv.Itoa(len(first)))
		w.WriteHeader(code)
		_, err = w.Write(first)
		return err
	}
	parts := newParts(w, how.media, code)
	for k, p := range pictures {
		bytes := first
		if k > 0 {
			if bytes, err = s.draw(r.Context(), p, how); err != nil {
				return err
			}
		}
		part, err := parts.CreatePart(textproto.MIMEHeader{
			"Content-Type":     {how.media},
			"Content-Location": {resource(s.base(r), p.of.SOPInstance) + "/frames/" + strconv.Itoa(p.frame) + "/rendered"},
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

// draw makes one picture.
func (s *Server) draw(ctx context.Context, p picture, how rendering) ([]byte, error) {
	if err := s.turn(ctx, s.decode); err != nil {
		return nil, err
	}
	defer func() { <-s.decode }()
	frame, err := s.decoded(ctx, p, how.window)
	if err != nil {
		return nil, err
	}
	shown, err := how.viewport.of(frame)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if how.media == mediaPNG {
		err = (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, shown)
	} else {
		err = jpeg.Encode(&b, shown, &jpeg.Options{Quality: how.quality})
	}
	return b.Bytes(), err
}

// decoded is a frame as it is.
func (s *Server) decoded(ctx context.Context, p picture, window *pixeldata.Window) (pixeldata.Frame, error) {
	coloured := badRequest("window is of grey frames, and this one has colours", "leave window out")
	if moving(p.of) {
		if window != nil {
			return pixeldata.Frame{}, coloured
		}
		return s.shot(ctx, p.of, p.frame)
	}
	_, data, err := s.Spool.Open(p.of.Entry)
	if err != nil {
		return pixeldata.Frame{}, err
	}
	defer func() { _ = data.Close() }()
	ts, _ := dicom.LookupTransferSyntax(p.of.TransferSyntaxUID)
	options := s.Decode
	options.Window = window
	instance, err := pixeldata.OpenSeekable(data, ts, options)
	if err != nil {
		return pixeldata.Frame{}, pixelFault(err)
	}
	if samples, _ := instance.Attributes.Int(dicom.SamplesPerPixel); window != nil && samples != 1 {
		return pixeldata.Frame{}, coloured
	}
	f, err := instance.Frame(ctx, p.frame)
	return f, pixelFault(err)
}

// of is what the viewport shows of a frame, as large as fits into it in the region's own shape: without one, as it is.
func (v viewport) of(f pixeldata.Frame) (*image.RGBA, error) {
	frame, all := f.Image, f.Image.Bounds()
	if v.width == 0 && f.Aspect.Square() {
		return frame, nil
	}
	across, down := cmp.Or(v.across, float64(all.Dx())-v.left), cmp.Or(v.down, float64(all.Dy())-v.top)
	region := image.Rect(int(v.left), int(v.top), int(math.Ceil(v.left+math.Abs(across))), int(math.Ceil(v.top+math.Abs(down)))).Intersect(all)
	if region.Empty() || v.left >= float64(all.Dx()) || v.top >= float64(all.Dy()) {
		return nil, badRequest("the region of the viewport is outside of the frame", fmt.Sprintf("ask for one within %d columns and %d rows", all.Dx(), all.Dy()))
	}
	shape := f.Aspect.Shown(region.Size()) // in square pixels, as those of a viewport are
	share := 1.0
	if v.width > 0 {
		share = min(float64(v.width)/float64(shape.X), float64(v.height)/float64(shape.Y))
	}
	size := image.Rect(0, 0, max(1, int(share*float64(shape.X)+0.5)), max(1, int(share*float64(shape.Y)+0.5)))
	shown := image.NewRGBA(size)
	scaler := draw.Scaler(draw.BiLinear)
	if size.Dx()*region.Dy() > maxBetween {
		scaler = draw.ApproxBiLinear
	}
	scaler.Scale(shown, size, frame, region, draw.Src, nil)
	if v.across >= 0 && v.down >= 0 {
		return shown, nil
	}
	turned := image.NewRGBA(size)
	for y := range size.Dy() {
		for x := range size.Dx() {
			fromX, fromY := x, y
			if v.across < 0 {
				fromX = size.Dx() - 1 - x
			}
			if v.down < 0 {
				fromY = size.Dy() - 1 - y
			}
			turned.SetRGBA(x, y, shown.RGBAAt(fromX, fromY))
		}
	}
	return turned, nil
}
