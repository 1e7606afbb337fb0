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

// errNoPicture says that a file is none of the kinds that can be explained.
var errNoPicture = errors.New("neither DICOM nor JPEG nor PNG")

// eachFrame hands over the frames of files and of the files in folders. In a folder, what is no picture is passed over.
func eachFrame(ctx context.Context, paths []string, o pixeldata.Options, do func(ctx context.Context, f sourceFrame) error) error {
	for _, path := range paths {
		err := filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			err = fileFrames(ctx, file, o, do)
			if file != path && errors.Is(err, errNoPicture) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
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
	if err != nil {
		return fmt.Errorf("%w: %w", errNoPicture, err)
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
