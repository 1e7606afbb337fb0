package admin

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"net/http"
	"strconv"
	"strings"

	"endogate/dicomnode/dicom"

	"github.com/labstack/echo/v4"
	"golang.org/x/image/draw"
)

// maxRenders bounds the frames decoded at once: each holds a frame in memory and a core.
const maxRenders = 2

// jpegQuality is high enough that mucosa shows no blocks.
const jpegQuality = 92

// frame serves one frame as PNG or JPEG, scaled down to ?width= when that is narrower.
func (s *Server) frame(c echo.Context) error {
	number, format, ok := splitFrameFile(param(c, "file"))
	if !ok {
		return badRequest("a frame is named by its number from 1 and .png or .jpg", "ask for frames/1.png")
	}
	width, err := parseWidth(c.Request().URL.RawQuery)
	if err != nil {
		return err
	}
	encoded, err := s.encodeFrame(c.Request().Context(), param(c, "instance"), number, width, format)
	if err != nil {
		return faultOf("the frame was not rendered", err)
	}
	return c.Blob(http.StatusOK, "image/"+format, encoded)
}

// timeline serves what a model said of a video over time as PNG.
func (s *Server) timeline(c echo.Context) error {
	study, instance := dicom.UID(param(c, "uid")), dicom.UID(param(c, "sop"))
	if !study.Fileable() || !instance.Fileable() {
		return badRequest("study and instance are not named by UIDs", "use those of /api/v1/studies/{uid}")
	}
	q, err := parse(c.Request().URL.RawQuery)
	if err != nil {
		return err
	}
	model := q.text("model")
	if err := q.done(); err != nil {
		return err
	}
	encoded, err := s.encode(c.Request().Context(), 0, "png", func(ctx context.Context) (image.Image, error) {
		return s.Frames.Timeline(ctx, study, instance, model)
	})
	if err != nil {
		return faultOf("the timeline was not drawn", err)
	}
	return c.Blob(http.StatusOK, "image/png", encoded)
}

func (s *Server) encodeFrame(ctx context.Context, instance string, number, width int, format string) ([]byte, error) {
	return s.encode(ctx, width, format, func(ctx context.Context) (image.Image, error) { return s.Frames.Rendered(ctx, instance, number) })
}

// encode has a picture drawn where not as many are as may be at once, and encodes it.
func (s *Server) encode(ctx context.Context, width int, format string, drawn func(context.Context) (image.Image, error)) ([]byte, error) {
	select {
	case s.render <- struct{}{}:
		defer func() { <-s.render }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: too many frames are being rendered", ErrBusy)
	}
	img, err := drawn(ctx)
	if err != nil {
		return nil, err
	}
	img = narrowed(img, width)
	var b bytes.Buffer
	if format == "png" {
		err = (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, img)
	} else {
		err = jpeg.Encode(&b, img, &jpeg.Options{Quality: jpegQuality})
	}
	return b.Bytes(), err
}

// splitFrameFile splits "12.jpg" into 12 and the media subtype.
func splitFrameFile(file string) (number int, format string, ok bool) {
	digits, ext, _ := strings.Cut(file, ".")
	number, err := strconv.Atoi(digits)
	format, known := map[string]string{"png": "png", "jpg": "jpeg", "jpeg": "jpeg"}[ext]
	return number, format, err == nil && number >= 1 && known && digits == strconv.Itoa(number)
}

// narrowed scales img down to width and keeps its shape; it never enlarges.
func narrowed(img image.Image, width int) image.Image {
	b := img.Bounds()
	if width == 0 || width >= b.Dx() {
		return img
	}
	small := image.NewRGBA(image.Rect(0, 0, width, max(1, b.Dy()*width/b.Dx())))
	draw.BiLinear.Scale(small, small.Bounds(), img, b, draw.Src, nil)
	return small
}
