package video

import (
	"bytes"
	"image"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"endogate/dicomnode/dicom"
)

// words is what a child says on its standard error: a line at a time, of which what counts is kept.
type words struct {
	come     chan moment // of frames that come, in their order; closed never
	progress func()      // called of each frame that is decoded, whether it comes or not; may be nil

	line   []byte
	stream string // what it says the video is
	last   string // the last error
	first  string // the first error

	decoded       int  // frames, whether they come or not
	bidirectional bool // there are frames among those decoded that refer to later ones
}

// moment is a frame that comes.
type moment struct {
	at   int64       // when it is shown
	nth  int         // of those that were decoded, from 1
	size image.Point // as it was coded: its picture may have been cut to that of the first
}

const maxLine = 4 << 10

func (w *words) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		line, behind, whole := bytes.Cut(rest, []byte("\n"))
		if w.line = append(w.line, line[:min(len(line), maxLine)]...); len(w.line) > maxLine {
			w.line = w.line[:maxLine]
		}
		if whole {
			w.said(string(w.line))
			w.line = w.line[:0]
		}
		rest = behind
	}
	return len(p), nil
}

var (
	shown  = regexp.MustCompile(`showinfo@come .* n: *(\d+) pts: *(-?\d+|NOPTS) .* s:(\d+)x(\d+) `)
	stream = regexp.MustCompile(`Stream #0:\d+.*: Video: (.*)`)
)

func (w *words) said(line string) {
	if strings.Contains(line, "[showinfo@decoded ") {
		w.bidirectional = w.bidirectional || strings.Contains(line+" ", " type:B ")
		if strings.Contains(line, " n:") { // else it is more of the same frame
			if w.decoded++; w.progress != nil {
				w.progress()
			}
		}
		return
	}
	if of := shown.FindStringSubmatch(line); of != nil {
		at, err := strconv.ParseInt(of[2], 10, 64)
		if err != nil {
			at = noTime
		}
		columns, _ := strconv.Atoi(of[3])
		rows, _ := strconv.Atoi(of[4])
		select {
		case w.come <- moment{at, w.decoded, image.Pt(columns, rows)}:
		default: // more than were asked for
		}
		return
	}
	if of := stream.FindStringSubmatch(line); of != nil && w.stream == "" {
		w.stream = of[1]
	}
	if _, text, ok := strings.Cut(line, "[error] "); ok {
		w.last = text
	} else if _, text, ok := strings.Cut(line, "[fatal] "); ok {
		w.last = text
	}
	if w.first == "" {
		w.first = w.last
	}
}

var (
	pixels = regexp.MustCompile(`\b[a-z]+[0-9]*p?[0-9a-z]*\(([^()]*)\)`)
	shape  = regexp.MustCompile(`\[SAR (\d+):(\d+) `)
	usual  = regexp.MustCompile(`, yuv420p[(,]`)
	spaces = regexp.MustCompile(`^(bt709|bt470bg|smpte170m|smpte240m|bt2020\w*|fcc|gbr|ycgco)\b`)
)

// aspect is the shape of the stream's pixels; zero where it does not say.
func (w *words) aspect() dicom.Aspect {
	if of := shape.FindStringSubmatch(w.stream); of != nil {
		return aspectOf(of[1] + "/" + of[2])
	}
	return dicom.Aspect{}
}

// colours are how those of the stream are coded: the matrix, "" where it is not said, and whether they use all of the range.
func (w *words) colours() (matrix string, full bool) {
	for _, of := range pixels.FindAllStringSubmatch(w.stream, -1) {
		for word := range strings.SplitSeq(of[1], ", ") {
			full = full || word == "pc"
			if name := spaces.FindString(word); name != "" && matrix == "" {
				matrix = name
			}
		}
	}
	return matrix, full
}

// usual: the stream has samples of eight bits, and colour differences of two by two pixels.
func (w *words) usual() bool { return usual.MatchString(w.stream) }

// codec is ffmpeg's name of how the stream is coded; "" where it does not say.
func (w *words) codec() string {
	name, _, _ := strings.Cut(w.stream, " ")
	return clean(strings.TrimSuffix(name, ","))
}

// foreign: the video is of a codec that is not decoded here.
func (w *words) foreign() bool {
	return strings.Contains(w.first+w.last, "not on whitelist") && !strings.Contains(w.last, "matches no streams")
}

// why says in words what was wrong.
func (w *words) why() string {
	all := w.first + " " + w.last
	switch {
	case strings.Contains(all, "moov atom not found"):
		return "its MP4 container has no index (moov), as where recording did not end or the end is cut off"
	case strings.Contains(all, "matches no streams"):
		return "there is no video in it, as where it has sound alone"
	case w.last == "":
		return "it holds no frame"
	}
	return clean(w.last)
}

// clean is a text of ffmpeg's without what a stream could have put into it.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ReplaceAll(s, input, "the stream"))
	return s[:min(len(s), 200)]
}
