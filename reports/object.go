package reports

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"time"

	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
	"endogate/reports/readback"
)

// Object is a finished SOP Instance. Its UID follows from its bytes: whoever makes it twice of the same makes the same, and
// what is made of something else, by another release or with other options, is another SOP Instance.
type Object struct {
	// Name says what it is about, such as the report of an exam in its second revision: it is that of all objects that are
	// made of this, and that stand in for each other.
	Name              dicom.UID
	Header            dicom.Header
	TransferSyntaxUID dicom.UID // Explicit VR Little Endian; of clips JPEG Baseline, or H.264
	Dataset           []byte    // without file meta information
}

// Builder makes objects. It keeps no state and may be used from any goroutine.
type Builder struct {
	Equipment Equipment
	Location  *time.Location // for sources that state no time zone; nil is UTC
	KeyFrames int            // frames per class in the Key Object Selection; 0 is 5
}

// finish checks and encodes ds, whose SOP Instance UID is its name until then. frames are the sizes that contours are held to.
func finish(ds dataset, frames sizes) (Object, error) {
	codingSchemes(ds)
	if ds.keeps() {
		ds.settle()
	}
	if err := check(ds, frames); err != nil {
		return Object{}, err
	}
	name := dicom.UID(ds.text(tag.SOPInstanceUID))
	uid, room, err := contentUID(ds)
	if err != nil {
		return Object{}, err
	}
	ds.set(tag.SOPInstanceUID, string(uid))
	encoded, err := encode(ds, room)
	if err != nil {
		return Object{}, err
	}
	return Object{Name: name, Header: headerOf(ds), TransferSyntaxUID: ds.syntax().UID, Dataset: encoded}, nil
}

// syntax is the one that ds is written in.
func (ds dataset) syntax() dicom.TransferSyntax {
	uid := dicom.ExplicitVRLittleEndian
	switch ds[tag.PixelData].(type) {
	case encapsulated:
		uid = dicom.JPEGBaseline8Bit
	case movie:
		uid = dicom.MPEG4HighProfile41
	}
	ts, _ := dicom.LookupTransferSyntax(uid)
	return ts
}

// contentUID is the SOP Instance UID of a data set that has its name in the place of it: one for each content; and room for it
// when it is written once more.
func contentUID(ds dataset) (uid dicom.UID, room []byte, err error) {
	named, err := ds.written().Append(nil, ds.syntax())
	if err != nil {
		return "", nil, &InvalidError{SOPClassUID: dicom.UID(ds.text(tag.SOPClassUID)), Faults: []string{err.Error()}}
	}
	digest := sha256.Sum256(named)
	return dicom.DerivedUID("content", hex.EncodeToString(digest[:])), named[:0], nil
}

// encode writes ds into room. A document, which people act upon, leaves only when a parser that did not
// write it reads what was meant.
func encode(ds dataset, room []byte) ([]byte, error) {
	ts, written := ds.syntax(), ds.written()
	encoded, err := written.Append(room, ts)
	if err == nil && (ds.has(tag.ContentSequence) || ds.has(tag.EncapsulatedDocument)) {
		err = readback.Check(written, encoded, ts)
	}
	if err != nil && !errors.Is(err, readback.ErrNoPlace) {
		err = &InvalidError{SOPClassUID: dicom.UID(ds.text(tag.SOPClassUID)), Faults: []string{err.Error()}}
	}
	return encoded, err
}

func headerOf(ds dataset) dicom.Header {
	number, _ := strconv.Atoi(ds.text(tag.InstanceNumber))
	h := dicom.Header{
		SOPInstance:      instanceOf(ds),
		PatientID:        ds.whole(tag.PatientID),
		PatientName:      ds.whole(tag.PatientName),
		AccessionNumber:  ds.whole(tag.AccessionNumber),
		Modality:         ds.text(tag.Modality),
		StationName:      ds.text(tag.StationName),
		StudyDate:        ds.text(tag.StudyDate),
		StudyTime:        ds.text(tag.StudyTime),
		StudyDescription: ds.whole(tag.StudyDescription),
		InstanceNumber:   number,
		NumberOfFrames:   1,
	}
	if frames, err := strconv.Atoi(ds.text(tag.NumberOfFrames)); err == nil {
		h.NumberOfFrames = frames
	}
	if codes := ds.sequence(tag.ProcedureCodeSequence); len(codes) > 0 {
		h.ProcedureCode = codes[0].text(tag.CodeValue)
	}
	return h
}

func instanceOf(ds dataset) dicom.SOPInstance {
	return dicom.SOPInstance{
		SOPClassUID:       dicom.UID(ds.text(tag.SOPClassUID)),
		SOPInstanceUID:    dicom.UID(ds.text(tag.SOPInstanceUID)),
		SeriesInstanceUID: dicom.UID(ds.text(tag.SeriesInstanceUID)),
		StudyInstanceUID:  dicom.UID(ds.text(tag.StudyInstanceUID)),
	}
}

// identify sets what every derived object has: SOP Common, Patient, General Study, General Equipment and who made it
// when; how they explained is said without the patient's names. at is the stored time of inference, never the time of building.
// Series Date and Time are left out: objects made at different times share a series, and they are of the series.
func (b *Builder) identify(ds dataset, s Source, self dicom.SOPInstance, at time.Time, by ...contributor) {
	from := s.copier()
	from.characterSet(ds)
	ds.set(tag.SOPClassUID, string(self.SOPClassUID))
	ds.set(tag.SOPInstanceUID, string(self.SOPInstanceUID))
	ds.set(tag.SeriesInstanceUID, string(self.SeriesInstanceUID))
	from.patientAndStudy(ds)
	b.Equipment.set(ds)

	at = at.In(s.zone(b.Location))
	date, clock := at.Format("20060102"), at.Format("150405")
	ds.set(tag.TimezoneOffsetFromUTC, at.Format("-0700"))
	ds.set(tag.InstanceCreationDate, date)
	ds.set(tag.InstanceCreationTime, clock)
	ds.set(tag.ContentDate, date)
	ds.set(tag.ContentTime, clock)

	var contributors []dataset
	for _, c := range by {
		c.explained = s.discreet().text(c.explained)
		contributors = append(contributors, contributing(c, at))
	}
	if item, ok := s.acquisition(); ok {
		contributors = append(contributors, item)
	}
	ds.items(tag.ContributingEquipmentSequence, contributors...)
}

// acquisition keeps the equipment that took the source, which General Equipment of a derived object does not name.
func (s Source) acquisition() (dataset, bool) {
	if s.text(tag.Manufacturer) == "" { // type 1 in the item
		return nil, false
	}
	ds := dataset{}
	ds.items(tag.PurposeOfReferenceCodeSequence, coded(acquisitionEquipment))
	for _, t := range []tag.Tag{
		tag.Manufacturer, tag.ManufacturerModelName, tag.DeviceSerialNumber, tag.SoftwareVersions, tag.StationName,
	} {
		ds.optional(t, clip(s.text(t), dicom.MaxCharacters(vr(t))))
	}
	return ds, true
}

// reference is an item that names a SOP Instance, and a frame of it where that matters (PS3.3 table 10-3).
func reference(i dicom.SOPInstance, frame int) dataset {
	ds := dataset{}
	ds.set(tag.ReferencedSOPClassUID, string(i.SOPClassUID))
	ds.set(tag.ReferencedSOPInstanceUID, string(i.SOPInstanceUID))
	if frame > 0 {
		ds.set(tag.ReferencedFrameNumber, strconv.Itoa(frame))
	}
	return ds
}

// decimal formats v for a DS value or a text: never an exponent, never more than 16 characters for a probability.
func decimal(v float64, digits int) string { return strconv.FormatFloat(v, 'f', digits, 64) }

func number(n int) string { return strconv.Itoa(n) }
