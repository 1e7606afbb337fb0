package video

import (
	"bytes"
	"fmt"
)

// headSize is how much of a stream is looked at to find out what it is: the units that name a stream without a container stand within it.
const headSize = 4 << 10

// codings are ffmpeg's codecs as transfer syntaxes name them.
var codings = map[string]string{"mpeg1video": "MPEG-1", "mpeg2video": "MPEG-2", "h264": "H.264", "hevc": "HEVC"}

// unitsOf tells HEVC from H.264 by the headers of units (ISO/IEC 23008-2 7.3.1.2, 14496-10 7.3.1): by the first parameter set, which only one of the two can
// have. It is empty where there is none.
func unitsOf(head []byte) string {
	for {
		_, rest, there := bytes.Cut(head, []byte{0, 0, 1})
		if head = rest; !there || len(head) < 2 {
			return ""
		}
		switch first := head[0]; {
		case (first == 32<<1 || first == 33<<1) && head[1] == 1: // of all layers, of a sequence: in the base layer, of the lowest temporal one
			return "hevc"
		case first&0x9f == 7 && first&0x60 != 0: // of a sequence, to which others refer
			return "h264"
		}
	}
}

// seen says what the pixel data begin as.
func seen(head []byte) string {
	for _, known := range []struct {
		at           int
		begins, name string
	}{
		{0, "\xff\xd8\xff", "as a JPEG stream"},
		{0, "\xff\x4f\xff\x51", "as a JPEG 2000 stream"},
		{4, "jP  \r\n\x87\n", "as a JPEG 2000 file"},
		{8, "AVI ", "as an AVI file, which DICOM does not have"},
		{0, "\x1a\x45\xdf\xa3", "as a Matroska or WebM file, which DICOM does not have"},
		{0, "\x30\x26\xb2\x75", "as a Windows Media file, which DICOM does not have"},
		{0, "FLV", "as a Flash video, which DICOM does not have"},
		{128, "DICM", "as another DICOM file"},
	} {
		if len(head) >= known.at && bytes.HasPrefix(head[known.at:], []byte(known.begins)) {
			return known.name
		}
	}
	if len(bytes.Trim(head, "\x00")) == 0 {
		return "with zeros"
	}
	return "as nothing that is known"
}

// compare notes where the stream is another one than the transfer syntax says.
func (c *Clip) compare(said string) {
	if found := codings[c.index.codec]; found != said && said != "" {
		c.other = fmt.Sprintf("the video is %s, not %s as its transfer syntax says", found, said)
	}
}

// otherwise adds to why a stream cannot be read that it is another one than the transfer syntax says, as far as that is known.
func otherwise(err error, x index, said string) error {
	found := codings[x.codec]
	if found == "" {
		found = map[string]string{"h264": "H.264", "hevc": "HEVC", "mpegvideo": "MPEG-2"}[x.demuxer]
	}
	if found == "" || found == said || said == "" {
		return err
	}
	return fmt.Errorf("%w; it is %s, the transfer syntax says %s", err, found, said)
}
