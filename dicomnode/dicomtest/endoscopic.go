package dicomtest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"strconv"

	"endogate/dicomnode/dicom"
)

// VLEndoscopicImageStorage is the SOP class of what Endoscopic builds.
const VLEndoscopicImageStorage dicom.UID = "1.2.840.10008.5.1.4.1.1.77.1.1"

// Options say what instance Endoscopic builds. The zero value is a 64 × 48 RGB still of an invented patient in
// Explicit VR Little Endian; equal options give equal bytes.
type Options struct {
	TransferSyntax dicom.UID // native, deflated, JPEG Baseline or RLE Lossless
	Study, Series  string    // names that UIDs are derived from; equal names, equal UIDs
	Instance       int       // Instance Number, 1 by default; with Series it names the SOP Instance
	Rows, Columns  int
	Frames         int      // more than one adds Number of Frames, which the VL Endoscopic IOD does not have
	JPEG           [][]byte // the frames as JPEG streams, in place of the drawn ones; Rows and Columns must fit
	CharacterSet   string   // Specific Character Set, absent when empty; names are given encoded
	PatientID      string
	PatientName    string
	Accession      string
	More           []Element // put in place of, or added to, what is built
}

// Endoscopic builds the data set of a VL Endoscopic Image (PS3.3 A.32.1) and the header that reading it gives.
func Endoscopic(o Options) ([]byte, dicom.Header) {
	o = o.withDefaults()
	ds := o.dataset()
	ds = append(ds, o.pixels()...)
	for _, e := range o.More {
		ds = ds.Set(e)
	}
	return ds.Encode(o.TransferSyntax), o.header()
}

func (o Options) withDefaults() Options {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	positive := func(n *int, v int) {
		if *n <= 0 {
			*n = v
		}
	}
	def((*string)(&o.TransferSyntax), string(dicom.ExplicitVRLittleEndian))
	def(&o.Study, "study")
	def(&o.Series, "series")
	def(&o.PatientID, "TEST-0001")
	def(&o.PatientName, "Test^Patient")
	def(&o.Accession, "ACC-0001")
	positive(&o.Instance, 1)
	positive(&o.Rows, 48)
	positive(&o.Columns, 64)
	positive(&o.Frames, max(1, len(o.JPEG)))
	return o
}

func (o Options) header() dicom.Header {
	study := dicom.DerivedUID("dicomtest.study", o.Study)
	return dicom.Header{
		SOPInstance: dicom.SOPInstance{
			SOPClassUID:       VLEndoscopicImageStorage,
			SOPInstanceUID:    dicom.DerivedUID("dicomtest.instance", o.Study, o.Series, strconv.Itoa(o.Instance)),
			SeriesInstanceUID: dicom.DerivedUID("dicomtest.series", o.Study, o.Series),
			StudyInstanceUID:  study,
		},
		PatientID: o.PatientID, PatientName: o.PatientName, AccessionNumber: o.Accession,
		Modality: "ES", StationName: "SCOPE1",
		StudyDate: "20260102", StudyTime: "101500", StudyDescription: "Colonoscopy",
		InstanceNumber: o.Instance, NumberOfFrames: o.Frames,
	}
}

func (o Options) dataset() Dataset {
	h := o.header()
	ds := Dataset{
		Text(0x00080008, "CS", `ORIGINAL\PRIMARY`),
		Text(0x00080016, "UI", string(h.SOPClassUID)), Text(0x00080018, "UI", string(h.SOPInstanceUID)),
		Text(0x00080020, "DA", h.StudyDate), Text(0x00080023, "DA", h.StudyDate), Text(0x0008002A, "DT", "20260102101501"),
		Text(0x00080030, "TM", h.StudyTime), Text(0x00080033, "TM", "101501"),
		Text(0x00080050, "SH", h.AccessionNumber), Text(0x00080060, "CS", h.Modality), Text(0x00080070, "LO", "Endogate Test"),
		Text(0x00080090, "PN", ""), Text(0x00081010, "SH", h.StationName), Text(0x00081030, "LO", h.StudyDescription),
		Text(0x00100010, "PN", h.PatientName), Text(0x00100020, "LO", h.PatientID),
		Text(0x00100030, "DA", "19700101"), Text(0x00100040, "CS", "O"),
		Text(0x0020000D, "UI", string(h.StudyInstanceUID)), Text(0x0020000E, "UI", string(h.SeriesInstanceUID)),
		Text(0x00200010, "SH", "1"), Text(0x00200011, "IS", "1"), Text(0x00200013, "IS", strconv.Itoa(o.Instance)),
		Text(0x00200020, "CS", ""), Sequence(0x00400555), // Acquisition Context, type 2
	}
	if o.CharacterSet != "" {
		ds = append(ds, Text(0x00080005, "CS", o.CharacterSet))
	}
	if o.Frames > 1 {
		ds = append(ds, Text(0x00280008, "IS", strconv.Itoa(o.Frames)))
	}
	return ds
}

// pixels returns the Image Pixel module (PS3.3 C.7.6.3) and pixel data as the transfer syntax asks.
func (o Options) pixels() Dataset {
	photometric, lossy := "RGB", "00"
	element := Element{Tag: 0x7FE00010, VR: "OW"}
	switch {
	case o.TransferSyntax == dicom.JPEGBaseline8Bit || o.JPEG != nil:
		photometric, lossy = "YBR_FULL_422", "01"
		element.VR, element.Fragments = "OB", o.encapsulate(o.jpegFrame)
	case o.TransferSyntax == dicom.RLELossless:
		element.VR, element.Fragments = "OB", o.encapsulate(o.rleFrame)
	default:
		element.Value = o.native()
	}
	ds := Dataset{
		US(0x00280002, 3), Text(0x00280004, "CS", photometric), US(0x00280006, 0),
		US(0x00280010, uint16(o.Rows)), US(0x00280011, uint16(o.Columns)),
		US(0x00280100, 8), US(0x00280101, 8), US(0x00280102, 7), US(0x00280103, 0),
		Text(0x00282110, "CS", lossy), element,
	}
	if lossy == "01" {
		ds = append(ds, Text(0x00282112, "DS", "10"), Text(0x00282114, "CS", "ISO_10918_1"))
	}
	return ds
}

// Picture draws frame number (from 1) as Endoscopic does: a lit, round mucosa with a paler polyp, no two numbers alike.
func Picture(columns, rows, number int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, columns, rows))
	cx, cy, r := float64(columns)/2, float64(rows)/2, float64(min(columns, rows))/2
	px, py := cx+r/2*math.Cos(float64(number)), cy+r/2*math.Sin(float64(number))
	for y := range rows {
		for x := range columns {
			d := math.Hypot(float64(x)-cx, float64(y)-cy) / r
			if d > 1 {
				img.SetRGBA(x, y, color.RGBA{A: 255}) // the black border of an endoscope's field
				continue
			}
			light := 230 * (1 - d*d/2)
			pale := math.Exp(-math.Pow(math.Hypot(float64(x)-px, float64(y)-py)/(r/4), 2))
			img.SetRGBA(x, y, color.RGBA{uint8(light), uint8(light * (0.45 + 0.3*pale)), uint8(light * (0.35 + 0.3*pale)), 255})
		}
	}
	return img
}

func (o Options) planes(number int) [3][]byte {
	img := Picture(o.Columns, o.Rows, o.Instance*1000+number)
	var planes [3][]byte
	for i := 0; i < len(img.Pix); i += 4 {
		for c := range planes {
			planes[c] = append(planes[c], img.Pix[i+c])
		}
	}
	return planes
}

func (o Options) native() []byte {
	var b []byte
	for number := range o.Frames {
		p := o.planes(number + 1)
		for i := range p[0] {
			b = append(b, p[0][i], p[1][i], p[2][i])
		}
	}
	if len(b)%2 != 0 {
		b = append(b, 0)
	}
	return b
}

// encapsulate returns the basic offset table and one fragment for each frame (PS3.5 A.4).
func (o Options) encapsulate(frame func(number int) []byte) [][]byte {
	fragments := [][]byte{nil}
	var table []byte
	offset := 0
	for number := range o.Frames {
		f := frame(number + 1)
		if len(f)%2 != 0 {
			f = append(f[:len(f):len(f)], 0)
		}
		table = binary.LittleEndian.AppendUint32(table, uint32(offset))
		offset += 8 + len(f)
		fragments = append(fragments, f)
	}
	fragments[0] = table
	return fragments
}

func (o Options) jpegFrame(number int) []byte {
	if o.JPEG != nil {
		return o.JPEG[number-1]
	}
	var b bytes.Buffer
	img := Picture(o.Columns, o.Rows, o.Instance*1000+number)
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 90}); err != nil {
		panic(fmt.Sprintf("dicomtest: jpeg: %v", err))
	}
	return b.Bytes()
}

// rleFrame codes a frame with literal runs only, which is valid RLE Lossless (PS3.5 G) if not small.
func (o Options) rleFrame(number int) []byte {
	header := make([]byte, 64)
	binary.LittleEndian.PutUint32(header, 3)
	out := header
	for i, plane := range o.planes(number) {
		binary.LittleEndian.PutUint32(out[4+4*i:], uint32(len(out)))
		for len(plane) > 0 {
			n := min(128, len(plane))
			out = append(append(out, byte(n-1)), plane[:n]...)
			plane = plane[n:]
		}
		if len(out)%2 != 0 {
			out = append(out, 0x80) // no operation
		}
	}
	return out
}
