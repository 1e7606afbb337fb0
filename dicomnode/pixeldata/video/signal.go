package video

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/failure"
	"endogate/dicomnode/pixeldata"
)

// Signal is a live picture: a V4L2 device (/dev/video0), a stream by RTSP (rtsp://host/path, RFC 2326), or a file that is shown at its
// own speed. Its methods may be called from any goroutine.
type Signal struct {
	// Name is the device, the address or the path.
	Name string
	// Listen has a source of RTSP send by itself (ANNOUNCE and RECORD) to the address of Name, rather than being asked.
	Listen bool
	// Stall is how long a source that has shown a frame may show no other before it counts as gone; 0: 10 s.
	Stall time.Duration
	// Wait is between tries to reach a source that is gone; zero: from 1 s to 30 s.
	Wait failure.Backoff
	// Lost is called when the source is gone, with the reason and the time to the next try; may be nil.
	Lost func(why error, next time.Duration)
	// Frames counts those that have come. Watches that follow one another share it, so that no number is given twice; nil: a count of its own.
	Frames *atomic.Int64

	FFmpeg string // "": ffmpeg
	Bounds pixeldata.Bounds

	high bool // it is known to be of high definition and to say no colour matrix, which is BT.709
}

// errHigh ends a connection of which that is seen.
var errHigh = errors.New("its colours are read anew")

// Shot is a frame of a signal. The picture is whoever's it is given to.
type Shot struct {
	Number int // from 1, of all that were decoded, also over connections, and over watches that count together
	// Time is when it is shown, by the source's clock, since the first frame of its connection.
	Time time.Duration
	At   time.Time // when it had come out of the decoder
	// Connection is from 1: what a source shows when it is there again may be another examination.
	Connection int
	Aspect     dicom.Aspect // of its pixels
	*image.RGBA
}

// ErrSource is why a signal cannot be one, or cannot be had: of a file it ends, others are tried again.
var ErrSource = errors.New("source")

// kind of a signal.
type kind int

const (
	ofFile kind = iota
	ofDevice
	ofRTSP
)

const (
	defaultStall = 10 * time.Second
	// hours are what a child has of CPU time: a year of them, as nobody knows how many frames there will be. What bounds it is that it
	// ends where no frame comes.
	hours = 365 * 24
	// ahead is how many times of frames may be known before their pictures have come.
	ahead = 64
)

// maxAddress bounds an address; a pipe holds it with what is said of it.
const maxAddress = 2000

var defaultWait = failure.Backoff{First: time.Second, Last: 30 * time.Second}

// bounds are those of a child.
func (s Signal) bounds() pixeldata.Bounds {
	b := pixeldata.Options{Bounds: s.Bounds}.WithDefaults().Bounds
	b.CPU = time.Hour
	return b
}

func (s Signal) kind() kind {
	switch {
	case s.rtsp():
		return ofRTSP
	case strings.HasPrefix(filepath.Clean(s.Name), "/dev/"):
		return ofDevice
	}
	return ofFile
}

func (s Signal) rtsp() bool {
	scheme, _, ok := strings.Cut(s.Name, "://")
	return ok && strings.EqualFold(scheme, "rtsp")
}

// Check is an error where the signal cannot be one, whatever is there: it says what to write.
func (s Signal) Check() error {
	scheme, _, remote := strings.Cut(s.Name, "://")
	switch u, err := url.Parse(s.Name); {
	case s.Name == "":
		return fmt.Errorf("%w: none is named: write a device (/dev/video0), an address (rtsp://HOST/PATH) or a file", ErrSource)
	case remote && !s.rtsp():
		return fmt.Errorf("%w: %s: signals are taken by rtsp:// alone", ErrSource, scheme)
	case s.rtsp() && (err != nil || u.Host == ""):
		return fmt.Errorf("%w: the address is none: write rtsp://HOST:PORT/PATH", ErrSource)
	case s.rtsp() && len(s.Name) > maxAddress:
		return fmt.Errorf("%w: the address has %d characters, at most %d are taken", ErrSource, len(s.Name), maxAddress)
	case s.Listen && !s.rtsp():
		return fmt.Errorf("%w: listening is for RTSP: name the address to listen at, as rtsp://0.0.0.0:8554/live", ErrSource)
	}
	return nil
}

// String names the signal without a password.
func (s Signal) String() string {
	if u, err := url.Parse(s.Name); s.rtsp() && err == nil {
		return u.Redacted()
	}
	return s.Name
}

// Ends says whether the signal is a file, which has an end.
func (s Signal) Ends() bool { return s.kind() == ofFile }

// Watch hands over frames until ctx is done, or the end of a file: nil then. It waits for take alone, which should return
// at once: a source that is not read drops its connection. A device or stream that is gone is tried again until ctx is done.
func (s Signal) Watch(ctx context.Context, take func(Shot)) error {
	if err := s.Check(); err != nil {
		return err
	}
	waits := failure.Waits{Backoff: s.Wait}
	if s.Wait.Last == 0 {
		waits.Backoff = defaultWait
	}
	if s.Frames == nil {
		s.Frames = new(atomic.Int64)
	}
	for connection := 1; ; connection++ {
		came := false
		err := s.connection(ctx, func(shot Shot) {
			came = true
			shot.Number, shot.Connection = int(s.Frames.Add(1)), connection
			take(shot)
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errHigh):
			s.high = true
			connection--
			continue
		case s.Ends(), errors.Is(err, pixeldata.ErrNoDecoder):
			return err
		case came:
			waits.Over()
		}
		next := waits.Next()
		if s.Lost != nil {
			s.Lost(cmp.Or(err, fmt.Errorf("%w: it has ended", ErrSource)), next)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(next):
		}
	}
}

// connection reads the source once, until it is gone: nil where it has ended by itself.
func (s Signal) connection(ctx context.Context, take func(Shot)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stall := cmp.Or(s.Stall, defaultStall)
	var stalled atomic.Bool
	watchdog := time.AfterFunc(stall, func() { stalled.Store(true); cancel() })
	defer watchdog.Stop()
	if s.Listen {
		watchdog.Stop() // nobody knows when somebody will send
	}
	child, err := s.start(ctx)
	if err != nil {
		return err
	}
	said, pictures := child.said, bufio.NewReaderSize(child.out, 256<<10)
	first, frames, aspect := int64(0), 0, dicom.Aspect{}
	for err == nil {
		var shot Shot
		if shot.RGBA, err = readPicture(pictures, s.bounds().Pixels, blank); err != nil {
			break
		}
		shot.At = time.Now()
		watchdog.Reset(stall)
		var m moment
		if m, err = said.next(ctx); err != nil {
			break
		}
		if m.size != shot.Rect.Size() { // its picture is cut to the size of those before
			err = fmt.Errorf("%w: its pictures have another size now, %d x %d", ErrSource, m.size.X, m.size.Y)
			break
		}
		if frames++; frames == 1 {
			first, aspect = m.at, said.aspect()
			// Who sends by itself might not come again.
			if matrix, _ := said.colours(); matrix == "" && shot.Rect.Dy() >= highRows && !s.high && !s.Listen {
				err = errHigh
				break
			}
		}
		shot.Aspect = aspect
		shot.Time = time.Duration(m.at-first) * time.Microsecond
		take(shot)
	}
	cancelled := ctx.Err() != nil
	if !errors.Is(err, io.EOF) {
		cancel()
	}
	_, _ = io.Copy(io.Discard, pictures)
	waited := child.Wait()
	watchdog.Stop()
	switch {
	case stalled.Load():
		return fmt.Errorf("%w: no frame has come for %s", ErrSource, stall)
	case cancelled:
		return nil
	case !errors.Is(err, io.EOF):
		return err
	case pixeldata.Ended(waited, s.bounds(), hours) != nil:
		return pixeldata.Ended(waited, s.bounds(), hours)
	case frames == 0 && said.foreign():
		return fmt.Errorf("%w: it is coded in another way than %s", ErrSource, strings.Join(signalCodecs, ", "))
	case waited != nil, frames == 0:
		return fmt.Errorf("%w: %s", ErrSource, s.why(said))
	}
	return nil
}

// why says in words why a source is gone.
func (s Signal) why(said *words) string {
	said.last = s.discreet(said.last)
	text := said.first + " " + said.last
	for _, known := range []struct{ said, why string }{
		{"Connection refused", "nobody answers at the address; is it switched on, and are host and port right?"},
		{"No route to host", "the host cannot be reached; is it switched on, and on this network?"},
		{"Name or service not known", "the host's name is not known; name its address"},
		{"401 Unauthorized", "it wants a user and a password: rtsp://USER:PASSWORD@HOST/PATH"},
		{"404", "it has no such path; the source's manual says which it has"},
		{"Connection timed out", "it does not answer; is it switched on, and is the port open in firewalls between?"},
		{"No such file or directory", "there is no such device or file"},
		{"Permission denied", "this user may not read it; of a device, put the user into the group video"},
		{"Device or resource busy", "another program uses the device; end that"},
		{"Address already in use", "another program listens there; choose another port"},
		{"Cannot assign requested address", "this machine does not have the address to listen at"},
	} {
		if strings.Contains(text, known.said) {
			return known.why
		}
	}
	return said.why()
}

// discreet is a text of ffmpeg's without the password of an address.
func (s Signal) discreet(text string) string {
	u, err := url.Parse(s.Name)
	if !s.rtsp() || err != nil {
		return text
	}
	text = strings.ReplaceAll(text, s.Name, s.String())
	if password, ok := u.User.Password(); ok && password != "" {
		text = strings.NewReplacer(password, "xxxxx", url.QueryEscape(password), "xxxxx", url.PathEscape(password), "xxxxx").Replace(text)
	}
	return text
}

// signalCodecs are those of cameras, capture cards and their recordings.
var signalCodecs = append([]string{"mjpeg", "rawvideo", "mpeg4"}, codecs...)

// signalFormats are the containers of files, none of which reads other files.
const signalFormats = "mov,matroska,mpegts,mpeg,avi,mpegvideo,h264,hevc,mjpeg"

// start starts the child that decodes the source.
func (s Signal) start(ctx context.Context) (*child, error) {
	var files []*os.File
	if s.kind() == ofFile {
		f, err := os.Open(s.Name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("%w: there is no file %s", ErrSource, s.Name)
		case err != nil:
			return nil, fmt.Errorf("%w: %w", ErrSource, err)
		}
		defer func() { _ = f.Close() }() // the child has its own
		files = append(files, f)
	}
	if s.kind() == ofRTSP && !s.Listen {
		list, err := s.list()
		if err != nil {
			return nil, err
		}
		defer func() { _ = list.Close() }() // the child has its own
		files = append(files, list)
	}
	if s.kind() == ofDevice {
		if _, err := os.Stat(s.Name); err != nil {
			return nil, fmt.Errorf("%w: there is no device %s: plug it in, and see /dev/video*", ErrSource, s.Name)
		}
	}
	return launch(ctx, s.FFmpeg, s.arguments(), &words{come: make(chan moment, ahead)}, files, s.bounds(), hours)
}

// list is a pipe with a list that names the address of RTSP and how it is asked: what stands among a child's arguments, whoever may list
// processes can read, and an address may hold a password.
func (s Signal) list() (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("video: %w", err)
	}
	timeout := cmp.Or(s.Stall, defaultStall).Microseconds()
	_, err = fmt.Fprintf(w, "ffconcat version 1.0\nfile '%s'\noption rtsp_transport tcp\noption timeout %d\noption analyzeduration 1000000\n", strings.ReplaceAll(s.Name, "'", `'\''`), timeout)
	if err = errors.Join(err, w.Close()); err != nil { // it holds more than an address has
		_ = r.Close()
		return nil, fmt.Errorf("video: %w", err)
	}
	return r, nil
}

// arguments have every frame come as a PAM picture, with a line by showinfo that says when it is shown, in microseconds.
func (s Signal) arguments() []string {
	b := s.bounds()
	args := []string{
		"-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+info", "-max_alloc", strconv.FormatInt(b.Memory, 10),
		"-codec_whitelist", strings.Join(signalCodecs, ","), "-threads", "1", "-max_pixels", strconv.Itoa(b.Pixels), "-noautorotate",
	}
	switch s.kind() {
	case ofDevice:
		args = append(args, "-f", "v4l2", "-i", s.Name)
	case ofRTSP:
		args = append(args, "-fflags", "nobuffer", "-flags", "low_delay", "-analyzeduration", "1000000")
		if s.Listen {
			args = append(args, "-protocol_whitelist", "rtsp,rtp,tcp,udp", "-f", "rtsp", "-rtsp_flags", "listen", "-i", s.Name)
		} else {
			args = append(args, "-protocol_whitelist", "pipe,rtsp,rtp,tcp,udp", "-format_whitelist", "concat,rtsp", "-f", "concat", "-safe", "0", "-i", "pipe:3")
		}
	default:
		args = append(args, "-protocol_whitelist", "file", "-format_whitelist", signalFormats, "-re", "-i", input)
	}
	return append(args, "-map", "0:V:0", "-vf", "settb=1/1000000,"+named+index{high: s.high}.colours(), "-vsync", "passthrough", "-f", "image2pipe", "-c:v", "pam", "-pix_fmt", "rgba", "pipe:1")
}
