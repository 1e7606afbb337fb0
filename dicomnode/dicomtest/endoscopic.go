package dicomtest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"maps"
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
	CharacterSet   string   // Specific Character Set, absent when empty; the patient's name is given encoded
	PatientID      string
	PatientName    string
	Accession      string
	More           dicom.Dataset // put in place of, or added to, what is built
}

// Endoscopic builds the data set of a VL Endoscopic Image (PS3.3 A.32.1) and the header that reading it gives.
func Endoscopic(o Options) ([]byte, dicom.Header) {
	o = o.withDefaults()
	ds := o.dataset()
	maps.Copy(ds, o.pixels())
	maps.Copy(ds, o.More)
	return Encode(ds, o.TransferSyntax), o.header()
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
	h := dicom.Header{
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
	if class, ok := o.More[dicom.SOPClassUID].(dicom.Text); ok {
		h.SOPClassUID = dicom.UID(class[0])
	}
	return h
}

func (o Options) dataset() dicom.Dataset {
	h := o.header()
	ds := dicom.Dataset{
		dicom.ImageType:   dicom.Text{"ORIGINAL", "PRIMARY"},
		dicom.SOPClassUID: dicom.Text{string(h.SOPClassUID)}, dicom.SOPInstanceUID: dicom.Text{string(h.SOPInstanceUID)},
		dicom.StudyDate: dicom.Text{h.StudyDate}, dicom.ContentDate: dicom.Text{h.StudyDate},
		dicom.AcquisitionDateTime: dicom.Text{"20260102101501"},
		dicom.StudyTime:           dicom.Text{h.StudyTime}, dicom.ContentTime: dicom.Text{"101501"},
		dicom.AccessionNumber: dicom.Text{h.AccessionNumber}, dicom.Modality: dicom.Text{h.Modality},
		dicom.Manufacturer: dicom.Text{"Endogate Test"}, dicom.ReferringPhysicianName: dicom.Text{},
		dicom.StationName: dicom.Text{h.StationName}, dicom.StudyDescription: dicom.Text{h.StudyDescription},
		dicom.PatientName: dicom.Bytes(h.PatientName), dicom.PatientID: dicom.Text{h.PatientID},
		dicom.PatientBirthDate: dicom.Text{"19700101"}, dicom.PatientSex: dicom.Text{"O"},
		dicom.StudyInstanceUID: dicom.Text{string(h.StudyInstanceUID)}, dicom.SeriesInstanceUID: dicom.Text{string(h.SeriesInstanceUID)},
		dicom.StudyID: dicom.Text{"1"}, dicom.SeriesNumber: dicom.Ints{1}, dicom.InstanceNumber: dicom.Ints{o.Instance},
		dicom.PatientOrientation: dicom.Text{}, acquisitionContext: dicom.Bytes{}, // type 2
	}
	if o.CharacterSet != "" {
		ds[dicom.SpecificCharacterSet] = dicom.Bytes(o.CharacterSet)
	}
	if o.Frames > 1 {
		ds[dicom.NumberOfFrames] = dicom.Ints{o.Frames}
	}
	return ds
}

const acquisitionContext dicom.Tag = 0x00400555

// pixels returns the Image Pixel module (PS3.3 C.7.6.3) and pixel data as the transfer syntax asks.
func (o Options) pixels() dicom.Dataset {
	ds := dicom.Dataset{
		dicom.SamplesPerPixel: dicom.Ints{3}, dicom.PhotometricInterpretation: dicom.Text{"RGB"}, dicom.PlanarConfiguration: dicom.Ints{0},
		dicom.Rows: dicom.Ints{o.Rows}, dicom.Columns: dicom.Ints{o.Columns},
		dicom.BitsAllocated: dicom.Ints{8}, dicom.BitsStored: dicom.Ints{8}, dicom.HighBit: dicom.Ints{7}, dicom.PixelRepresentation: dicom.Ints{0},
		dicom.LossyImageCompression: dicom.Text{"00"},
	}
	switch {
	case o.TransferSyntax == dicom.JPEGBaseline8Bit || o.JPEG != nil:
		ds[dicom.PhotometricInterpretation] = dicom.Text{"YBR_FULL_422"}
		ds[dicom.LossyImageCompression] = dicom.Text{"01"}
		ds[dicom.LossyImageCompressionRatio] = dicom.Text{"10"}
		ds[dicom.LossyImageCompressionMethod] = dicom.Text{"ISO_10918_1"}
		ds[dicom.PixelData] = o.encapsulate(o.jpegFrame)
	case o.TransferSyntax == dicom.RLELossless:
		ds[dicom.PixelData] = o.encapsulate(o.rleFrame)
	default:
		ds[dicom.PixelData] = dicom.Bytes(o.native())
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
	return b
}

func (o Options) encapsulate(frame func(number int) []byte) dicom.Fragments {
	var frames [][]byte
	for number := range o.Frames {
		frames = append(frames, frame(number+1))
	}
	return dicom.Encapsulate(frames...)
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
