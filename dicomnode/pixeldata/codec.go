package pixeldata

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"strings"

	"endogate/dicomnode/dicom"
)

// codec decodes frames of one instance.
type codec struct {
	px      *pixels
	ts      dicom.TransferSyntax
	options Options
}

// decode turns one frame's codestream into a picture.
func (c codec) decode(pace pace, data []byte) (*image.RGBA, error) {
	px := *c.px
	px.planar = false // of the codestream, not of what comes out of it
	c.ts = meant(data, c.ts)
	switch uid := string(c.ts.UID); {
	case c.ts.UID == dicom.RLELossless:
		raw, err := decodeRLE(pace, data, px.rows*px.columns, px.samples, px.bytes())
		if err != nil {
			return nil, err
		}
		if px.photometric == "YBR_FULL_422" {
			px.photometric = "YBR_FULL" // annex G has a segment for every sample of every pixel
		}
		c.px.table = px.levels()
		return px.picture(pace, raw)
	case c.ts.UID == dicom.EncapsulatedUncompressed:
		return c.native(pace, bytes.NewReader(data))
	case c.ts.UID == dicom.DeflatedImageFrame:
		return c.native(pace, flate.NewReader(bytes.NewReader(data)))
	case c.ts.UID == dicom.JPEGBaseline8Bit, c.ts.UID == dicom.JPEGExtended12Bit, c.ts.UID == dicom.JPEGSpectralSelection, c.ts.UID == dicom.JPEGFullProgression:
		img, err := decodeJPEG(pace, data, px, c.options.Bounds.withDefaults())
		if !errors.Is(err, ErrUnsupported) {
			return img, err
		}
		again, ffmpegErr := c.ffmpeg(pace, data, "mjpeg", "jpeg_pipe")
		if errors.Is(ffmpegErr, ErrCorrupt) {
			return nil, err // what neither of the two decodes is beyond them, not broken
		}
		return again, ffmpegErr
	case strings.HasPrefix(uid, "1.2.840.10008.1.2.4.5"), strings.HasPrefix(uid, "1.2.840.10008.1.2.4.7"):
		return c.ffmpeg(pace, data, "mjpeg", "jpeg_pipe")
	case strings.HasPrefix(uid, "1.2.840.10008.1.2.4.8"):
		return c.ffmpeg(pace, data, "jpegls", "jpegls_pipe")
	case strings.HasPrefix(uid, "1.2.840.10008.1.2.4.9"):
		return c.ffmpeg(pace, data, "jpeg2000", "j2k_pipe")
	case strings.HasPrefix(uid, "1.2.840.10008.1.2.4.20"):
		return c.highThroughput(pace, data)
	case strings.HasPrefix(uid, "1.2.840.10008.1.2.4.11"):
		return c.ffmpeg(pace, data, "libjxl", "jpegxl_pipe")
	}
	return nil, fmt.Errorf("%w: no decoder for %s", ErrUnsupported, c.ts.Name)
}

// families of transfer syntaxes whose codestreams begin alike.
var families = map[string]string{"5": "JPEG", "7": "lossless JPEG", "8": "JPEG-LS", "9": "JPEG 2000", "2": "JPEG 2000"}

func family(ts dicom.TransferSyntax) string {
	kind, ok := strings.CutPrefix(string(ts.UID), "1.2.840.10008.1.2.4.")
	switch {
	case !ok || kind == "":
		return ""
	case kind == "57":
		kind = "70"
	}
	return families[kind[:1]]
}

// meant is the transfer syntax of a codestream that begins as one of another family than the data set says: converters and archives
// that encode anew, or do no more, forget to say so. Else it is what is said.
func meant(data []byte, said dicom.TransferSyntax) dicom.TransferSyntax {
	is := dicom.UID("1.2.840.10008.1.2.4.91") // JPEG 2000
	switch s, err := inspect(data, said); {
	case err != nil || s.samples == 0:
		return said
	case s.ls:
		is = "1.2.840.10008.1.2.4.81" // JPEG-LS, near lossless or not
	case s.dct:
		is = dicom.JPEGBaseline8Bit
	case s.jpeg:
		is = "1.2.840.10008.1.2.4.70" // lossless JPEG
	}
	if ts, ok := dicom.LookupTransferSyntax(is); ok && family(ts) != family(said) {
		return ts
	}
	return said
}

// native reads a frame that is stored as native ones are (PS3.5 A.4.11), or deflated (A.4.13).
func (c codec) native(pace pace, r io.Reader) (*image.RGBA, error) {
	if err := c.px.isNative(); err != nil {
		return nil, err
	}
	return (&native{r: r, px: c.px, buffer: make([]byte, c.px.size())}).next(pace)
}

// note says what is wrong with a codestream that was decoded.
func (c codec) note(data []byte) string {
	if !strings.HasPrefix(string(meant(data, c.ts).UID), "1.2.840.10008.1.2.4.5") {
		return ""
	}
	if s, err := inspectJPEG(data); err == nil && lacksEnd(data, s) {
		return NoteNoEnd
	}
	return ""
}

// highThroughput decodes HTJ2K. ffmpeg's own decoder knows it from version 6.1; before that OpenJPEG 2.5 does it, but
// ffmpeg takes only 8 bits a sample from there without mixing them up.
func (c codec) highThroughput(pace pace, data []byte) (*image.RGBA, error) {
	s, err := inspect(data, c.ts)
	if err != nil {
		return nil, err
	}
	if s.precision <= 8 {
		return c.ffmpeg(pace, data, "libopenjpeg", "j2k_pipe")
	}
	return c.ffmpeg(pace, data, "jpeg2000", "j2k_pipe")
}

// ffmpeg decodes a frame in a child process.
func (c codec) ffmpeg(pace pace, data []byte, decoder, demuxer string) (*image.RGBA, error) {
	px := *c.px
	px.planar = false
	stream, err := inspect(data, c.ts)
	if err != nil {
		return nil, err
	}
	if err := stream.fits(px); err != nil {
		return nil, err
	}
	if err := c.options.Bounds.withDefaults().admitStream(stream); err != nil {
		return nil, err
	}
	if decoder == "mjpeg" {
		if data, err = markTransform(data, stream.jpegIsYCC(px.photometric)); err != nil {
			return nil, err
		}
	}
	job := ffmpegJob{c.options, decoder, demuxer, "rgb24", px.rows * px.columns * 3, c.ts.Name}
	if px.samples == 1 {
		job.format, job.size = "gray16le", px.rows*px.columns*2
	}
	raw, err := job.run(pace.ctx, data)
	if err != nil {
		return nil, err
	}
	if px.samples == 1 {
		if err := stream.toStored(raw, &px); err != nil {
			return nil, err
		}
		return px.picture(pace, raw)
	}
	px.allocated, px.stored, px.high, px.signed = 8, 8, 7, false
	if px.photometric != "YBR_FULL" && px.photometric != "YBR_FULL_422" || stream.givesRGB {
		px.photometric = "RGB"
	} else {
		px.photometric = "YBR_FULL"
	}
	return px.picture(pace, raw)
}

// toStored turns ffmpeg's 16-bit grey, in which the sample's top bit is bit 15, into stored values.
func (s stream) toStored(raw []byte, px *pixels) error {
	if s.precision == 0 && px.stored == px.allocated { // JPEG XL
		s.precision = px.stored
	} else if s.precision == 0 {
		return fmt.Errorf("%w: JPEG XL with %d bits stored of %d", ErrUnsupported, px.stored, px.allocated)
	} else if s.precision > px.allocated {
		return fmt.Errorf("%w: samples of %d bits where %d are allocated", ErrCorrupt, s.precision, px.allocated)
	}
	px.allocated = 16
	px.high = px.stored - 1
	for i := 0; i+1 < len(raw); i += 2 {
		v := binary.LittleEndian.Uint16(raw[i:]) >> (16 - s.precision)
		if s.signed {
			v -= 1 << (s.precision - 1)
		}
		binary.LittleEndian.PutUint16(raw[i:], v)
	}
	px.table = nil
	return nil
}
