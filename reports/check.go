package reports

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
)

// InvalidError says why an object is not let out. Building it again gives the same object, so it is never temporary.
type InvalidError struct {
	SOPClassUID dicom.UID
	Faults      []string
}

// It names the first faults, each once: people read it.
func (e *InvalidError) Error() string {
	var said []string
	more := 0
	for i, fault := range e.Faults {
		switch {
		case slices.Contains(e.Faults[:i], fault):
		case len(said) < maxFaults:
			said = append(said, clip(fault, maxFault))
		default:
			more++
		}
	}
	text := fmt.Sprintf("reports: object of SOP class %s is not emitted: %s", clip(string(e.SOPClassUID), 64), strings.Join(said, "; "))
	if more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// What is said of an object that is not let out.
const (
	maxFaults = 5
	maxFault  = 160 // characters
)

// Temporary reports false: see [InvalidError].
func (e *InvalidError) Temporary() bool { return false }

// faults collects what is wrong with an object.
type faults []string

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

// frameKey is a frame that a contour may be drawn on.
type frameKey struct {
	instance dicom.UID
	frame    int // 0: single-frame
}

// sizes gives the columns and rows of frames.
type sizes map[frameKey][2]int

// check is the gate that every outgoing object passes: what validators look at and what they do not. It returns an
// *[InvalidError] that names every fault. Contours are held to the sizes of their frames.
func check(ds dataset, frames sizes) error {
	var f faults
	f.attributes(ds)
	f.values(ds, true)
	switch class := dicom.UID(ds.text(tag.SOPClassUID)); class {
	case dicom.SecondaryCaptureImageStorage:
		f.need(ds, tag.ConversionType)
		f.image(ds)
		f.pixels(ds)
	case dicom.MultiFrameTrueColorSecondaryCapture:
		f.need(ds, tag.ConversionType)
		f.image(ds)
		f.clip(ds)
	case dicom.VideoEndoscopicImageStorage, dicom.VideoPhotographicImageStorage:
		f.image(ds)
		f.video(ds)
	case dicom.EncapsulatedPDFStorage:
		f.encapsulated(ds)
	case dicom.Comprehensive3DSRStorage, dicom.ComprehensiveSRStorage:
		f.report(ds)
		f.document(ds, frames)
	case dicom.KeyObjectSelectionDocumentStorage:
		f.keyObjects(ds)
		f.document(ds, frames)
	default:
		f.add("SOP class %q is none of ours", class)
	}
	if len(f) == 0 {
		return nil
	}
	return &InvalidError{SOPClassUID: dicom.UID(ds.text(tag.SOPClassUID)), Faults: f}
}

// common are the attributes of every object: type 1 needs a value, type 2 has to be there.
var (
	type1 = []tag.Tag{
		tag.SOPClassUID, tag.SOPInstanceUID, tag.StudyInstanceUID, tag.SeriesInstanceUID,
		tag.Modality, tag.SeriesNumber, tag.InstanceNumber, tag.ContentDate, tag.ContentTime, tag.TimezoneOffsetFromUTC,
		tag.Manufacturer, tag.ManufacturerModelName, tag.DeviceSerialNumber, tag.SoftwareVersions,
		tag.ContributingEquipmentSequence,
	}
	type2 = []tag.Tag{
		tag.StudyDate, tag.StudyTime, tag.AccessionNumber, tag.ReferringPhysicianName, tag.StudyID,
		tag.PatientName, tag.PatientID, tag.PatientBirthDate, tag.PatientSex,
	}
	imageType1 = []tag.Tag{
		tag.ImageType, tag.SamplesPerPixel, tag.PhotometricInterpretation,
		tag.PlanarConfiguration, tag.Rows, tag.Columns, tag.BitsAllocated, tag.BitsStored, tag.HighBit,
		tag.PixelRepresentation, tag.PixelData, tag.BurnedInAnnotation, tag.LossyImageCompression,
		tag.SourceImageSequence, tag.ReferencedSeriesSequence, tag.DerivationDescription,
	}
	documentType1 = []tag.Tag{
		tag.ValueType, tag.ConceptNameCodeSequence, tag.ContinuityOfContent, tag.ContentSequence, tag.ContentTemplateSequence,
	}
	reportType1 = []tag.Tag{tag.CompletionFlag, tag.VerificationFlag, tag.PreliminaryFlag, tag.AuthorObserverSequence}
	imageTags   = []tag.Tag{tag.PixelSpacing, tag.FrameOfReferenceUID, tag.PresentationLUTShape}
)

// characterSet wants UTF-8, and where the source's set is kept nothing of ours that it may lack.
func (f *faults) characterSet(ds dataset) {
	switch {
	case ds.text(tag.SpecificCharacterSet) == utf8Set:
	case !ds.keeps():
		f.add("SpecificCharacterSet is %q, texts are UTF-8", ds.text(tag.SpecificCharacterSet))
	default:
		f.ours(ds)
	}
}

func (f *faults) ours(ds dataset) {
	for _, t := range ds.tags() {
		for _, item := range ds.sequence(t) {
			if item.text(tag.SpecificCharacterSet) != utf8Set {
				f.ours(item)
			}
		}
		if dicom.ASCII(strings.Join(ds.strings(t), "")) != strings.Join(ds.strings(t), "") {
			f.add("%s is not in the character set of the source", keyword(t))
		}
	}
}

func (f *faults) attributes(ds dataset) {
	f.need(ds, type1...)
	f.need2(ds, type2...)
	f.characterSet(ds)
	contributors := ds.contributors()
	if len(contributors) == 0 {
		f.add("ContributingEquipmentSequence lacks the processing equipment")
	}
	for _, item := range contributors {
		for _, t := range []tag.Tag{tag.Manufacturer, tag.ManufacturerModelName, tag.SoftwareVersions, tag.DeviceUID} {
			if item.text(t) == "" {
				f.add("ContributingEquipmentSequence: %s has no value", keyword(t))
			}
		}
	}
}

// contributors are the items that describe the algorithm, one for each version of it.
func (ds dataset) contributors() (all []dataset) {
	for _, item := range ds.sequence(tag.ContributingEquipmentSequence) {
		for _, purpose := range item.sequence(tag.PurposeOfReferenceCodeSequence) {
			if purpose.text(tag.CodeValue) == processingEquipment.Value {
				all = append(all, item)
			}
		}
	}
	return all
}

func (f *faults) need(ds dataset, tags ...tag.Tag) {
	for _, t := range tags {
		if empty(ds[t]) {
			f.add("%s (type 1) has no value", keyword(t))
		}
	}
}

func (f *faults) need2(ds dataset, tags ...tag.Tag) {
	for _, t := range tags {
		if !ds.has(t) {
			f.add("%s (type 2) is missing", keyword(t))
		}
	}
}

func empty(value any) bool {
	switch v := value.(type) {
	case []string:
		return len(v) == 0 || slices.Contains(v, "")
	case []int:
		return len(v) == 0
	case []float64:
		return len(v) == 0
	case []byte:
		return len(v) == 0
	case encapsulated:
		return len(v) == 0
	case movie:
		return len(v) == 0
	case []tag.Tag:
		return len(v) == 0
	case []dataset:
		return len(v) == 0
	case kept:
		return len(bytes.Trim(v.value, " \x00")) == 0
	}
	return true
}

// image holds what is said about a Secondary Capture, and a video.
func (f *faults) image(ds dataset) {
	f.need(ds, imageType1...)
	f.need2(ds, tag.PatientOrientation)
	for _, t := range imageTags {
		if ds.has(t) {
			f.add("%s must be absent", keyword(t))
		}
	}
	if v := ds.strings(tag.PixelAspectRatio); ds.has(tag.PixelAspectRatio) && (len(v) != 2 || v[0] == v[1]) { // 1C: of pixels that are not square
		f.add("PixelAspectRatio must be absent")
	}
	if v := ds.strings(tag.ImageType); len(v) < 2 || v[0] != "DERIVED" || v[1] != "SECONDARY" {
		f.add("ImageType %q does not begin with DERIVED and SECONDARY", v)
	}
	if ds.has(tag.Laterality) && slices.Contains(unpaired, ds.text(tag.BodyPartExamined)) {
		f.add("Laterality must be absent: BodyPartExamined %s is not paired", ds.text(tag.BodyPartExamined))
	}
	if ds.has(tag.BodyPartExamined) && ds.text(tag.BodyPartExamined) == "" {
		f.add("BodyPartExamined has no value")
	}
	if v := ds.text(tag.BurnedInAnnotation); v != "YES" && v != "NO" {
		f.add("BurnedInAnnotation %q is neither YES nor NO", v)
	}
	f.lossy(ds)
	f.sourceImage(ds)
}

// clip holds what is said about a Multi-frame True Color Secondary Capture of JPEG streams (PS3.3 A.8.5).
func (f *faults) clip(ds dataset) {
	f.need(ds, tag.NumberOfFrames, tag.FrameIncrementPointer, tag.FrameTime, tag.LossyImageCompressionRatio)
	frames, _ := ds[tag.PixelData].(encapsulated)
	if n := ds.text(tag.NumberOfFrames); n != strconv.Itoa(len(frames)) {
		f.add("NumberOfFrames is %s, PixelData has %d", n, len(frames))
	}
	for _, frame := range frames {
		if !bytes.HasPrefix(frame, []byte{0xFF, 0xD8, 0xFF}) {
			f.add("PixelData has a frame that is no JPEG stream")
		}
	}
	if ds.text(tag.PhotometricInterpretation) != "YBR_FULL_422" || ds.int(tag.SamplesPerPixel) != 3 || ds.int(tag.PlanarConfiguration) != 0 {
		f.add("pixels are not YBR_FULL_422 by pixel")
	}
}

// video holds what is said about a Video Endoscopic or Photographic Image of one H.264 stream in an MP4 container (PS3.3 A.32.5, A.32.7, C.7.6.5,
// C.8.12.1; PS3.5 8.2.7).
func (f *faults) video(ds dataset) {
	f.need(ds, tag.NumberOfFrames, tag.FrameIncrementPointer, tag.FrameTime, tag.CineRate, tag.LossyImageCompressionRatio)
	f.need2(ds, tag.AcquisitionContextSequence)
	if stream, _ := ds[tag.PixelData].(movie); len(stream) < 12 || string(stream[4:8]) != "ftyp" {
		f.add("PixelData is no MP4 file")
	}
	if want := map[dicom.UID]string{dicom.VideoEndoscopicImageStorage: "ES", dicom.VideoPhotographicImageStorage: "XC"}[dicom.UID(ds.text(tag.SOPClassUID))]; ds.text(tag.Modality) != want {
		f.add("Modality is %s, of this class it is %s", ds.text(tag.Modality), want)
	}
	if ds.text(tag.PhotometricInterpretation) != "YBR_PARTIAL_420" || ds.int(tag.SamplesPerPixel) != 3 || ds.int(tag.PlanarConfiguration) != 0 || ds.int(tag.Rows)%2 != 0 || ds.int(tag.Columns)%2 != 0 {
		f.add("pixels are not YBR_PARTIAL_420 of even rows and columns")
	}
}

func (f *faults) pixels(ds dataset) {
	want := ds.int(tag.Rows) * ds.int(tag.Columns) * ds.int(tag.SamplesPerPixel) * ds.int(tag.BitsAllocated) / 8
	if got, _ := ds[tag.PixelData].([]byte); len(got) != want {
		f.add("PixelData has %d bytes, Rows, Columns and samples make %d", len(got), want)
	}
	if ds.text(tag.PhotometricInterpretation) != "RGB" || ds.int(tag.SamplesPerPixel) != 3 || ds.int(tag.PlanarConfiguration) != 0 {
		f.add("pixels are not RGB by pixel")
	}
}

func (f *faults) lossy(ds dataset) {
	switch ds.text(tag.LossyImageCompression) {
	case "00":
		if ds.has(tag.LossyImageCompressionRatio) {
			f.add("LossyImageCompressionRatio without lossy compression")
		}
	case "01":
		ratios, methods := ds.strings(tag.LossyImageCompressionRatio), ds.strings(tag.LossyImageCompressionMethod)
		if len(ratios) == 0 {
			f.add("LossyImageCompressionRatio is missing though LossyImageCompression is 01")
		}
		if len(methods) > 0 && len(methods) != len(ratios) {
			f.add("LossyImageCompressionMethod has %d values, LossyImageCompressionRatio %d", len(methods), len(ratios))
		}
	default:
		f.add("LossyImageCompression %q is neither 00 nor 01", ds.text(tag.LossyImageCompression))
	}
}

// sourceImage holds Source Image Sequence to the Common Instance Reference module, and both to another series.
func (f *faults) sourceImage(ds dataset) {
	referenced := map[string]bool{}
	for _, series := range ds.sequence(tag.ReferencedSeriesSequence) {
		if series.text(tag.SeriesInstanceUID) == ds.text(tag.SeriesInstanceUID) {
			f.add("the object stands in the series of its source")
		}
		for _, i := range series.sequence(tag.ReferencedInstanceSequence) {
			referenced[i.text(tag.ReferencedSOPInstanceUID)] = true
		}
	}
	for _, i := range ds.sequence(tag.SourceImageSequence) {
		if uid := i.text(tag.ReferencedSOPInstanceUID); !referenced[uid] {
			f.add("source image %s is not in ReferencedSeriesSequence", uid)
		}
	}
}
