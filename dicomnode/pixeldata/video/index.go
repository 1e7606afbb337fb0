package video

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/pixeldata"
)

// index is what a look through the stream tells, without a frame of it decoded.
type index struct {
	demuxer, codec string // ffmpeg's names
	rows, columns  int
	aspect         dicom.Aspect // of its pixels; zero where it does not say
	unit           float64      // seconds
	high           bool         // it says no colour matrix and is of high definition, which is BT.709 (PS3.5 8.2.5, 8.2.7)
	matrix         string       // how its colours are coded, by ffmpeg's name; "": neither the stream nor its container says it
	full           bool         // they use all of the range
	planar         bool         // brightness and colour differences come as they are decoded, and RGB is made of them here
	packets        []packet
	// timed: every packet has a time of its own, by which frames are told apart and decoding can begin in the middle. Else
	// they are counted.
	timed bool
}

// packet is a coded frame.
type packet struct {
	at  int64 // when it is shown, in units
	key bool  // decoding may begin with it
}

// maxPackets bounds an index: nine hours of 120 frames a second.
const maxPackets = 4 << 20

// codecs are those of the transfer syntaxes (PS3.5 A.4.6 to A.4.10); a container may hold nothing else.
var codecs = []string{"mpeg1video", "mpeg2video", "h264", "hevc"}

// demuxerOf tells the container by its first bytes, so that none is chosen that reads lists of other files. What has none is HEVC or H.264 as its units
// are, or where these say nothing, as somebody says.
func demuxerOf(head []byte, hevc bool) string {
	begins := func(at int, s string) bool { return len(head) >= at && bytes.HasPrefix(head[at:], []byte(s)) }
	for _, box := range []string{"ftyp", "moov", "mdat", "free", "skip", "wide", "moof", "styp", "pnot"} { // ISO/IEC 14496-12
		if begins(4, box) {
			return "mov"
		}
	}
	switch {
	case begins(0, "\x47") && begins(188, "\x47"), begins(4, "\x47") && begins(196, "\x47"): // ISO/IEC 13818-1
		return "mpegts"
	case begins(0, "nut/multimedia container\x00"): // as Bare writes it
		return "nut"
	case begins(0, "\x00\x00\x01\xba"):
		return "mpeg"
	case begins(0, "\x00\x00\x01\xb3"):
		return "mpegvideo"
	case begins(0, "\x00\x00\x01"), begins(0, "\x00\x00\x00\x01"):
		return cmp.Or(unitsOf(head), map[bool]string{true: "hevc", false: "h264"}[hevc])
	}
	return ""
}

// look fills an index.
func (c *Clip) look(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	arguments := append(c.input(0), "-map", "0:V:0", "-c:v", "copy", "-copyinkf", "-f", "framecrc", "pipe:1")
	child, err := c.child(ctx, arguments, 0, lookedFrames)
	if err != nil {
		return err
	}
	bad := c.index.read(child.out)
	if bad != nil {
		cancel()
	}
	err = child.Wait()
	switch {
	case ctx.Err() != nil && bad == nil:
		return context.Cause(ctx)
	case bad != nil:
		return bad
	case pixeldata.Ended(err, c.options.Bounds, lookedFrames) != nil:
		return fmt.Errorf("video: %w", pixeldata.Ended(err, c.options.Bounds, lookedFrames))
	case c.index.demuxer == "mov" && encrypted(c.file):
		return fmt.Errorf("%w: the video is encrypted", pixeldata.ErrUnsupported)
	case len(c.index.packets) == 0 && child.said.foreign(), len(c.index.packets) > 0 && !slices.Contains(codecs, c.index.codec): // sound and titles, of whatever kind, are passed over
		return fmt.Errorf("%w: the video is %s, and only MPEG-2, H.264 and HEVC are decoded", pixeldata.ErrUnsupported, cmp.Or(child.said.codec(), "coded in another way"))
	case len(c.index.packets) == 0:
		return fmt.Errorf("%w: the video cannot be read: %s", pixeldata.ErrCorrupt, child.said.why())
	}
	if err != nil {
		c.note = "ffmpeg did not come to its end: " + child.said.why()
	}
	c.index.matrix, c.index.full = child.said.colours()
	c.index.high = c.index.matrix == "" && c.index.rows >= highRows
	_, known := matrices[c.index.matrix]
	c.index.planar = child.said.usual() && !c.index.full && (known || c.index.matrix == "") && c.index.rows%2 == 0 && c.index.columns%2 == 0
	return nil
}

// highRows are those of high definition.
const highRows = 720

// lookedFrames is for how many frames CPU time is given to look through the stream.
const lookedFrames = 12

// read reads what ffmpeg's framecrc says: a line for each packet with stream, decoding time, time, duration, size, checksum
// and flags, where these are others than that of a key frame.
func (x *index) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " 0: ")
		switch name {
		case "#tb":
			n, d, _ := strings.Cut(value, "/")
			numerator, _ := strconv.ParseFloat(n, 64)
			denominator, _ := strconv.ParseFloat(d, 64)
			x.unit = numerator / cmp.Or(denominator, 1)
		case "#codec_id":
			x.codec = value
		case "#dimensions":
			w, h, _ := strings.Cut(value, "x")
			x.columns, _ = strconv.Atoi(w)
			x.rows, _ = strconv.Atoi(h)
		case "#sar":
			x.aspect = aspectOf(value)
		}
		if strings.HasPrefix(name, "#") {
			continue
		}
		fields := strings.Split(lines.Text(), ",")
		if len(fields) < 6 {
			return fmt.Errorf("%w: ffmpeg's list of packets is not as it should be", pixeldata.ErrNoDecoder)
		}
		if len(x.packets) == maxPackets {
			return fmt.Errorf("%w: a video of more than %d frames", pixeldata.ErrTooMuch, maxPackets)
		}
		at, err := strconv.ParseInt(strings.TrimSpace(fields[2]), 10, 64)
		if err != nil {
			return fmt.Errorf("%w: ffmpeg's list of packets is not as it should be", pixeldata.ErrNoDecoder)
		}
		key := true
		for _, f := range fields[6:] {
			if flags, ok := strings.CutPrefix(strings.TrimSpace(f), "F=0x"); ok {
				n, _ := strconv.ParseUint(flags, 16, 32)
				key = n&1 != 0
			}
		}
		x.packets = append(x.packets, packet{at, key})
	}
	x.order()
	return lines.Err()
}

// aspectOf reads a ratio of ffmpeg's, whose first number is the width.
func aspectOf(ratio string) dicom.Aspect {
	w, h, _ := strings.Cut(ratio, "/")
	wide, _ := strconv.Atoi(w)
	high, _ := strconv.Atoi(h)
	return dicom.NewAspect(high, wide)
}

// noTime is ffmpeg's AV_NOPTS_VALUE.
const noTime = -1 << 63

// order puts packets into the order in which they are shown.
func (x *index) order() {
	if x.demuxer == "h264" || x.demuxer == "hevc" || x.demuxer == "mpegvideo" {
		return // what they have for times is made up
	}
	sorted := slices.Clone(x.packets)
	slices.SortFunc(sorted, func(a, b packet) int { return cmp.Compare(a.at, b.at) })
	for i, p := range sorted {
		if p.at == noTime || i > 0 && p.at == sorted[i-1].at {
			return
		}
	}
	x.packets, x.timed = sorted, true
}

// key is the last frame up to the one at i with which decoding may begin; 0 where it has to begin at the beginning.
func (x *index) keyOf(i int) int {
	for ; x.timed && i > 0; i-- {
		if x.packets[i].key {
			return i
		}
	}
	return 0
}

// encrypted: the sample entry in the index of an MP4 file says so (ISO/IEC 14496-12 8.12.1).
func encrypted(r io.ReaderAt) bool {
	for at := int64(0); ; {
		var head [16]byte
		if n, _ := r.ReadAt(head[:], at); n < len(head) {
			return false
		}
		size := int64(binary.BigEndian.Uint32(head[:]))
		if size == 1 {
			size = int64(min(binary.BigEndian.Uint64(head[8:]), 1<<60))
		}
		if string(head[4:8]) == "moov" {
			moov := make([]byte, min(max(size, 8), maxMoov))
			n, _ := r.ReadAt(moov, at)
			return bytes.Contains(moov[:n], []byte("encv")) && bytes.Contains(moov[:n], []byte("sinf"))
		}
		if size < 8 {
			return false
		}
		at += size
	}
}

// maxMoov bounds what is looked through of the index of an MP4 file; what describes the samples stands near its beginning.
const maxMoov = 4 << 20
