package main

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
	"endogate/reports"
)

// sourceFrame is a frame of a file.
type sourceFrame struct {
	name   string // for files made of it
	path   string
	number int // from 1
	image  *image.RGBA
	source reports.Source // of a DICOM file; without attributes otherwise
}

// id tells frames of all files apart.
func (f sourceFrame) id() string { return fmt.Sprintf("%s %d", f.path, f.number) }

// errNoPicture says that a file is none of the kinds that can be explained.
var errNoPicture = errors.New("neither DICOM nor JPEG nor PNG")

// errUnread says that the other files are done and some could not be read.
var errUnread = errors.New("files that could not be read")

// frameFiles are files, and folders of them.
type frameFiles struct {
	paths    []string
	except   string // a folder in them that is left out
	decoding pixeldata.Options
	tty      console

	read, failed int             // files
	told         map[string]bool // of them was said why they are not read
}

// each hands over the frames of all files. In a folder, what is no picture is passed over. A file that cannot be read is told,
// and the error comes when the others are done; an error of do ends it, [fs.SkipAll] without being one. Whoever goes
// over them again is told nothing twice.
func (l *frameFiles) each(ctx context.Context, do func(ctx context.Context, f sourceFrame) error) error {
	l.read, l.failed = 0, 0
	for _, path := range l.paths {
		if sameFolder(path, l.except) {
			return usageError(fmt.Sprintf("%s: the frames need a folder of their own", path))
		}
		err := filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.IsDir() && sameFolder(file, l.except):
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
		return fmt.Errorf("%w: %d of %d; the lines above say why", errUnread, l.failed, l.read+l.failed)
	}
	return nil
}

func (l *frameFiles) file(ctx context.Context, file string, inFolder bool, do func(ctx context.Context, f sourceFrame) error) error {
	var stop error
	err := fileFrames(ctx, file, l.decoding, func(ctx context.Context, f sourceFrame) error {
		stop = do(ctx, f)
		return stop
	})
	switch {
	case err == nil:
		l.read++
	case errors.Is(stop, fs.SkipAll):
		l.read++
		return fs.SkipAll
	case stop != nil || ctx.Err() != nil || !inFolder && len(l.paths) == 1:
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
func (l *frameFiles) tell(file string, why error) {
	if l.told[file] {
		return
	}
	if l.told == nil {
		l.told = map[string]bool{}
	}
	l.told[file] = true
	fmt.Fprintf(l.tty.err, "%s: %v\n", file, why)
}

func sameFolder(a, b string) bool {
	x, errX := filepath.Abs(a)
	y, errY := filepath.Abs(b)
	return b != "" && errX == nil && errY == nil && x == y
}

// fileFrames hands over the frames of one file.
func fileFrames(ctx context.Context, path string, o pixeldata.Options, do func(ctx context.Context, f sourceFrame) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	r := bufio.NewReader(f)
	meta, err := dicom.ReadFileMeta(r)
	if err == nil {
		return instanceFrames(ctx, sourceFrame{name: name, path: path}, r, meta.TransferSyntaxUID, o, do)
	}
	if !errors.Is(err, dicom.ErrNoFileMeta) {
		return err
	}
	picture, _, err := image.Decode(r)
	if errors.Is(err, image.ErrFormat) {
		return errNoPicture
	}
	if err != nil {
		return fmt.Errorf("cannot be decoded: %w", err)
	}
	return do(ctx, sourceFrame{name: name, path: path, number: 1, image: toRGBA(picture)})
}

// instanceFrames hands over the frames of a DICOM file, with the attributes of the instance.
func instanceFrames(ctx context.Context, f sourceFrame, dataset io.Reader, syntax dicom.UID, o pixeldata.Options, do func(ctx context.Context, f sourceFrame) error) error {
	ts, ok := dicom.LookupTransferSyntax(syntax)
	if !ok {
		return fmt.Errorf("transfer syntax %s is unknown", syntax)
	}
	var err error
	if f.source, err = readSource(f.path, ts); err != nil {
		return err
	}
	name := f.name
	for frame, err := range pixeldata.Frames(ctx, dataset, ts, o) {
		if err != nil {
			return err
		}
		f.name, f.number, f.image = fmt.Sprintf("%s-%d", name, frame.Number), frame.Number, frame.Image
		if err := do(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// readSource reads the attributes that derived objects copy.
func readSource(path string, ts dicom.TransferSyntax) (reports.Source, error) {
	f, err := os.Open(path)
	if err != nil {
		return reports.Source{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return reports.Source{}, err
	}
	r := bufio.NewReader(f)
	if _, err := dicom.ReadFileMeta(r); err != nil {
		return reports.Source{}, err
	}
	attributes, err := dicom.ReadAttributes(r, ts)
	return reports.Source{Attributes: attributes, TransferSyntaxUID: ts.UID, Size: info.Size()}, err
}

func toRGBA(picture image.Image) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, picture.Bounds().Dx(), picture.Bounds().Dy()))
	draw.Draw(out, out.Rect, picture, picture.Bounds().Min, draw.Src)
	return out
}
