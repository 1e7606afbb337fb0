//go:build bench

package bench_test

import (
	"bufio"
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
)

// template is an instance of which new ones are made by putting other UIDs into a copy of its head;
// the pixel data is shared.
type template struct {
	name           string
	header         dicom.Header
	transferSyntax dicom.UID
	head, tail     []byte // of the data set
}

// object is one instance, ready to be sent.
type object struct {
	uid        dicom.UID
	head, tail []byte
}

// numbers makes UIDs that no receiver of this process or of an earlier one has seen.
var (
	numbers atomic.Uint64
	process = rand.Uint32()
)

// freshUID has the length of the UID it stands for, which has to be long enough, so that no length changes.
func freshUID(like dicom.UID) dicom.UID {
	prefix := fmt.Sprintf("2.25.7%010d", process)
	return dicom.UID(fmt.Sprintf("%s%0*d", prefix, len(like)-len(prefix), numbers.Add(1)))
}

func newTemplate(name string, dataset []byte, header dicom.Header, ts dicom.UID) template {
	const ample = 8 << 10 // every attribute but the pixel data
	return template{name: name, header: header, transferSyntax: ts, head: dataset[:min(ample, len(dataset))], tail: dataset[min(ample, len(dataset)):]}
}

// smallTemplate is a VL Endoscopic Image of 720 × 576 in JPEG Baseline, as large as 100 KB allow.
func smallTemplate(t *testing.T) template {
	t.Helper()
	picture := noisy(720, 576, 24)
	var stream bytes.Buffer
	for quality := 95; ; quality-- {
		stream.Reset()
		if err := jpeg.Encode(&stream, picture, &jpeg.Options{Quality: quality}); err != nil {
			t.Fatal(err)
		}
		if stream.Len() <= 99_000 || quality == 1 {
			break
		}
	}
	dataset, header := dicomtest.Endoscopic(dicomtest.Options{
		TransferSyntax: dicom.JPEGBaseline8Bit, Study: "bench", Series: "small", Rows: 576, Columns: 720, JPEG: [][]byte{stream.Bytes()},
	})
	return newTemplate("100 KB", dataset, header, dicom.JPEGBaseline8Bit)
}

// largeTemplate is a VL Endoscopic Image of 1280 × 1024, native RGB: 3.93 MB.
func largeTemplate(t *testing.T) template {
	t.Helper()
	dataset, header := dicomtest.Endoscopic(dicomtest.Options{Study: "bench", Series: "large", Rows: 1024, Columns: 1280})
	return newTemplate("4 MB", dataset, header, dicom.ExplicitVRLittleEndian)
}

// noisy is a picture that JPEG cannot make small, like a textured mucosa.
func noisy(columns, rows, amount int) *image.RGBA {
	m := dicomtest.Picture(columns, rows, 1)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range m.Pix {
		if i%4 != 3 {
			m.Pix[i] = uint8(min(255, max(0, int(m.Pix[i])+r.IntN(2*amount+1)-amount)))
		}
	}
	return m
}

// readTemplate makes a template of a Part 10 file.
func readTemplate(t *testing.T, path string) template {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(bytes.NewReader(file))
	meta, err := dicom.ReadFileMeta(r)
	if err != nil {
		t.Fatal(err)
	}
	dataset, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	ts, _ := dicom.LookupTransferSyntax(meta.TransferSyntaxUID)
	attributes, err := dicom.ReadAttributes(bytes.NewReader(dataset), ts)
	if err != nil {
		t.Fatal(err)
	}
	return newTemplate(filepath.Base(path), dataset, attributes.Header(), ts.UID)
}

// study makes n new instances of one new study.
func (tpl template) study(n int) (study dicom.UID, objects []object) {
	old := tpl.header
	study = freshUID(old.StudyInstanceUID)
	series := freshUID(old.SeriesInstanceUID)
	for range n {
		o := object{uid: freshUID(old.SOPInstanceUID), head: bytes.Clone(tpl.head), tail: tpl.tail}
		// The instance UID first: in some files it begins with the series', and that with the study's.
		for _, change := range [][2]dicom.UID{{old.SOPInstanceUID, o.uid}, {old.SeriesInstanceUID, series}, {old.StudyInstanceUID, study}} {
			o.head = bytes.Replace(o.head, []byte(change[0]), []byte(change[1]), 1)
		}
		objects = append(objects, o)
	}
	return study, objects
}

func (o object) size() int { return len(o.head) + len(o.tail) }

func (tpl template) request(o object) *dicomnode.StoreRequest {
	return &dicomnode.StoreRequest{
		SOPClassUID: tpl.header.SOPClassUID, SOPInstanceUID: o.uid, TransferSyntax: tpl.transferSyntax,
		Dataset: io.MultiReader(bytes.NewReader(o.head), bytes.NewReader(o.tail)),
	}
}

// file writes one new instance as a Part 10 file, for senders that read files.
func (tpl template) file(t *testing.T, dir string) string {
	t.Helper()
	_, objects := tpl.study(1)
	var b bytes.Buffer
	err := dicom.WriteFileMeta(&b, dicom.FileMeta{
		SOPClassUID: tpl.header.SOPClassUID, SOPInstanceUID: objects[0].uid, TransferSyntaxUID: tpl.transferSyntax,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Write(objects[0].head)
	b.Write(objects[0].tail)
	path := filepath.Join(dir, string(objects[0].uid)+".dcm")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
