// Package frames reads the frames of files: DICOM, JPEG and PNG, and folders of them.
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
)

// Frame is a frame of a file.
type Frame struct {
	Name   string // for files made of it
	Path   string
	Number int // from 1
	Image  *image.RGBA
	// Orientation is how the picture is to be turned to be upright, as its file says (pixeldata.Orientation); Image is as it is stored.
	Orientation int

	Attributes     *dicom.Attributes // of the instance; nil for what is no DICOM file
	TransferSyntax dicom.UID
	Size           int64 // bytes of the file
}

// ID tells frames of all files apart.
func (f Frame) ID() string { return fmt.Sprintf("%s %d", f.Path, f.Number) }

// ErrFolder says that a folder is to be read and left out.
var ErrFolder = errors.New("the frames need a folder of their own")

// errNoPicture says that a file is none of the kinds that are read.
var errNoPicture = errors.New("neither DICOM nor JPEG nor PNG")

// ErrUnread says that the other files are done and some could not be read.
var ErrUnread = errors.New("files that could not be read")

// Files are files, and folders of them.
type Files struct {
	Paths    []string
	Except   string // a folder in them that is left out
	Decoding pixeldata.Options
	Tell     func(file string, why error) // why a file is not read, once for each

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
	err := fileFrames(ctx, file, l.Decoding, func(ctx context.Context, f Frame) error {
		stop = do(ctx, f)
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

// fileFrames hands over the frames of one file.
func fileFrames(ctx context.Context, path string, o pixeldata.Options, do func(ctx context.Context, f Frame) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	r := bufio.NewReaderSize(f, maxExif)
	meta, err := dicom.ReadFileMeta(r)
	if err == nil {
		return instanceFrames(ctx, Frame{Name: name, Path: path}, r, meta.TransferSyntaxUID, o, do)
	}
	if !errors.Is(err, dicom.ErrNoFileMeta) {
		return err
	}
	begin, _ := r.Peek(maxExif)
	orientation := pixeldata.Orientation(begin)
	picture, _, err := image.Decode(r)
	if errors.Is(err, image.ErrFormat) {
		return errNoPicture
	}
	if err != nil {
		return fmt.Errorf("cannot be decoded: %w", err)
	}
	return do(ctx, Frame{Name: name, Path: path, Number: 1, Image: toRGBA(picture), Orientation: orientation})
}

// instanceFrames hands over the frames of a DICOM file, with the attributes of the instance.
func instanceFrames(ctx context.Context, f Frame, dataset io.Reader, syntax dicom.UID, o pixeldata.Options, do func(ctx context.Context, f Frame) error) error {
	ts, ok := dicom.LookupTransferSyntax(syntax)
	if !ok {
		return fmt.Errorf("transfer syntax %s is unknown", syntax)
	}
	if err := f.readAttributes(ts); err != nil {
		return err
	}
	name := f.Name
	for frame, err := range pixeldata.Frames(ctx, dataset, ts, o) {
		if err != nil {
			return err
		}
		f.Name, f.Number, f.Image, f.Orientation = fmt.Sprintf("%s-%d", name, frame.Number), frame.Number, frame.Image, frame.Orientation
		if err := do(ctx, f); err != nil {
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
