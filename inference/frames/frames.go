// Package frames reads the frames of files: DICOM, JPEG and PNG, videos as a whole, and folders of them.
package frames

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"image"
	"image/draw"
	_ "image/jpeg" // a frame may be a JPEG file
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/pixeldata/video"
)

// Frame is a frame of a file.
type Frame struct {
	Name   string // for files made of it
	Path   string
	Number int // from 1
	Image  *image.RGBA
	// Orientation is how the picture is to be turned to be upright, as its file says (pixeldata.Orientation); Image is as it is stored.
	Orientation int
	Aspect      dicom.Aspect // of its pixels

	Attributes     *dicom.Attributes // of the instance; nil for what is no DICOM file
	TransferSyntax dicom.UID
	Size           int64 // bytes of the file
}

// ID tells frames of all files apart.
func (f Frame) ID() string { return fmt.Sprintf("%s %d", f.Path, f.Number) }

// ErrFolder says that a folder is to be read and left out.
var ErrFolder = errors.New("the frames need a folder of their own")

// errNoPicture says that a file is none of the kinds that are read.
var errNoPicture = errors.New("neither DICOM nor JPEG nor PNG, nor a video where videos are read")

// errEmpty says that a file has no bytes, as one has whose copying broke off.
var errEmpty = errors.New("is empty; copy it again")

// ErrUnread says that the other files are done and some could not be read.
var ErrUnread = errors.New("files that could not be read")

// Files are files, and folders of them.
type Files struct {
	Paths    []string
	Except   string // a folder in them that is left out
	Decoding pixeldata.Options
	// Video is handed a video in place of its frames: a DICOM file, or MP4, transport or program stream, which is open until it returns. Of
	// the frame there is all but number and image. Nil: videos are not read.
	Video func(ctx context.Context, of Frame, clip *video.Clip) error
	Tell  func(file string, why error) // why a file is not read, once for each

	read, failed int             // files
	told         map[string]bool // of them was said why they are not read
}

// Each hands over the frames of all files. In a folder, what is no picture is passed over. A file that cannot be read is told,
// and the error comes when the others are done; an error of do ends it, [fs.SkipAll] without being one. Whoever goes
// over them again is told nothing twice.
func (l *Files) Each(ctx context.Context, do func(ctx context.Context, f Frame) error) error {
	l.read, l.failed = 0, 0
	for _, path := range l.Paths {
		if sameFolder(path, l.Except) {
			return fmt.Errorf("%s: %w", path, ErrFolder)
		}
		err := filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.IsDir() && sameFolder(file, l.Except):
				return fs.SkipDir
			case entry.IsDir():
				return nil
			}
			return l.file(ctx, file, file != path, do)
		})
		if err != nil {
			return err
		}
	}
	if l.failed > 0 {
		return fmt.Errorf("%w: %d of %d; the lines above say why", ErrUnread, l.failed, l.read+l.failed)
	}
	return nil
}

func (l *Files) file(ctx context.Context, file string, inFolder bool, do func(ctx context.Context, f Frame) error) error {
	var stop error
	err := l.frames(ctx, file, func(ctx context.Context, f Frame, clip *video.Clip) error {
		if clip != nil {
			stop = l.Video(ctx, f, clip)
		} else {
			stop = do(ctx, f)
		}
		return stop
	})
	switch {
	case err == nil:
		l.read++
	case errors.Is(stop, fs.SkipAll):
		l.read++
		return fs.SkipAll
	case stop != nil || ctx.Err() != nil || !inFolder && len(l.Paths) == 1:
		return fmt.Errorf("%s: %w", file, err)
	case inFolder && (errors.Is(err, errNoPicture) || errors.Is(err, pixeldata.ErrUnsupported)): // reports, videos, notes
		l.tell(file, fmt.Errorf("passed over: %w", err))
	default:
		l.failed++
		l.tell(file, err)
	}
	return nil
}

// tell says once why a file is not read.
func (l *Files) tell(file string, why error) {
	if l.told[file] {
		return
	}
	if l.told == nil {
		l.told = map[string]bool{}
	}
	l.told[file] = true
	l.Tell(file, why)
}

func sameFolder(a, b string) bool {
	x, errX := filepath.Abs(a)
	y, errY := filepath.Abs(b)
	return b != "" && errX == nil && errY == nil && x == y
}

// maxExif is how far into a file its EXIF segment is looked for: a segment has 64 KiB, and others may come first.
const maxExif = 160 << 10

// hand takes a frame, or a video in place of its frames.
type hand func(ctx context.Context, f Frame, clip *video.Clip) error

// frames hands over the frames of one file.
func (l *Files) frames(ctx context.Context, path string, do hand) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	r := bufio.NewReaderSize(f, maxExif)
	meta, err := dicom.ReadFileMeta(r)
	if _, nothing := r.Peek(1); errors.Is(nothing, io.EOF) && err != nil {
		return errEmpty
	}
	if err == nil {
		return l.instance(ctx, Frame{Name: name, Path: path}, r, meta.TransferSyntaxUID, do)
	}
	if !errors.Is(err, dicom.ErrNoFileMeta) {
		return err
	}
	begin, _ := r.Peek(maxExif)
	orientation := pixeldata.Orientation(begin)
	picture, _, err := image.Decode(r)
	if errors.Is(err, image.ErrFormat) {
		return l.stream(ctx, Frame{Name: name, Path: path}, do)
	}
	if err != nil {
		return fmt.Errorf("cannot be decoded: %w", err)
	}
	return do(ctx, Frame{Name: name, Path: path, Number: 1, Image: toRGBA(picture), Orientation: orientation}, nil)
}

// stream hands over a file that is a video itself.
func (l *Files) stream(ctx context.Context, f Frame, do hand) error {
	if l.Video == nil {
		return errNoPicture
	}
	clip, err := video.OpenFile(ctx, f.Path, l.Decoding)
	if errors.Is(err, video.ErrNoVideo) {
		return errNoPicture
	}
	if err != nil {
		return err
	}
	return errors.Join(do(ctx, f, clip), clip.Close())
}

// moving hands over the video of an instance.
func moving(ctx context.Context, f Frame, i *pixeldata.Instance, do hand) error {
	clip, err := video.Open(ctx, i)
	if err != nil {
		return err
	}
	return errors.Join(do(ctx, f, clip), clip.Close())
}

// instance hands over the frames of a DICOM file, with the attributes of the instance.
func (l *Files) instance(ctx context.Context, f Frame, dataset io.Reader, syntax dicom.UID, do hand) error {
	ts, ok := dicom.LookupTransferSyntax(syntax)
	if !ok {
		return fmt.Errorf("transfer syntax %s is unknown", syntax)
	}
	if err := f.readAttributes(ts); err != nil {
		return err
	}
	i, err := pixeldata.Open(dataset, ts, l.Decoding)
	if err != nil {
		return err
	}
	if i.Video() && l.Video != nil {
		return moving(ctx, f, i, do)
	}
	name := f.Name
	for frame, err := range i.Frames(ctx) {
		if err != nil {
			return err
		}
		f.Name, f.Number, f.Image = fmt.Sprintf("%s-%d", name, frame.Number), frame.Number, frame.Image
		f.Orientation, f.Aspect = frame.Orientation, frame.Aspect
		if err := do(ctx, f, nil); err != nil {
			return err
		}
	}
	return nil
}

// readAttributes reads what derived objects copy.
func (f *Frame) readAttributes(ts dicom.TransferSyntax) error {
	file, err := os.Open(f.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	r := bufio.NewReader(file)
	if _, err := dicom.ReadFileMeta(r); err != nil {
		return err
	}
	f.Attributes, err = dicom.ReadAttributes(r, ts)
	f.TransferSyntax, f.Size = ts.UID, info.Size()
	return err
}

func toRGBA(picture image.Image) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, picture.Bounds().Dx(), picture.Bounds().Dy()))
	draw.Draw(out, out.Rect, picture, picture.Bounds().Min, draw.Src)
	return out
}
