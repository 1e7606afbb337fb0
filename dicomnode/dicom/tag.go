package dicom

import "fmt"

// Tag is a data element tag, group<<16 | element (PS3.5 7.1): comparable, ordered, a map key.
type Tag uint32

// Group returns the group number of the tag.
func (t Tag) Group() uint16 { return uint16(t >> 16) }

// Element returns the element number of the tag.
func (t Tag) Element() uint16 { return uint16(t) }

// String returns the tag as (gggg,eeee).
func (t Tag) String() string { return fmt.Sprintf("(%04X,%04X)", t.Group(), t.Element()) }

// Items and delimiters (PS3.5 7.5).
const (
	Item                     Tag = 0xFFFEE000
	ItemDelimitationItem     Tag = 0xFFFEE00D
	SequenceDelimitationItem Tag = 0xFFFEE0DD
)

// Tags that the code names, by their keyword in PS3.6.
const (
	SpecificCharacterSet                     Tag = 0x00080005
	ImageType                                Tag = 0x00080008
	InstanceCreationDate                     Tag = 0x00080012
	InstanceCreationTime                     Tag = 0x00080013
	SOPClassUID                              Tag = 0x00080016
	SOPInstanceUID                           Tag = 0x00080018
	StudyDate                                Tag = 0x00080020
	SeriesDate                               Tag = 0x00080021
	AcquisitionDate                          Tag = 0x00080022
	ContentDate                              Tag = 0x00080023
	AcquisitionDateTime                      Tag = 0x0008002A
	StudyTime                                Tag = 0x00080030
	SeriesTime                               Tag = 0x00080031
	AcquisitionTime                          Tag = 0x00080032
	ContentTime                              Tag = 0x00080033
	AccessionNumber                          Tag = 0x00080050
	IssuerOfAccessionNumberSequence          Tag = 0x00080051
	Modality                                 Tag = 0x00080060
	ConversionType                           Tag = 0x00080064
	Manufacturer                             Tag = 0x00080070
	InstitutionName                          Tag = 0x00080080
	ReferringPhysicianName                   Tag = 0x00080090
	CodeValue                                Tag = 0x00080100
	CodingSchemeDesignator                   Tag = 0x00080102
	CodeMeaning                              Tag = 0x00080104
	LongCodeValue                            Tag = 0x00080119
	URNCodeValue                             Tag = 0x00080120
	TimezoneOffsetFromUTC                    Tag = 0x00080201
	StationName                              Tag = 0x00081010
	StudyDescription                         Tag = 0x00081030
	ProcedureCodeSequence                    Tag = 0x00081032
	SeriesDescription                        Tag = 0x0008103E
	InstitutionalDepartmentName              Tag = 0x00081040
	PerformingPhysicianName                  Tag = 0x00081050
	ManufacturerModelName                    Tag = 0x00081090
	ReferencedPerformedProcedureStepSequence Tag = 0x00081111
	ReferencedStudySequence                  Tag = 0x00081110
	ReferencedSOPClassUID                    Tag = 0x00081150
	ReferencedSOPInstanceUID                 Tag = 0x00081155
	SourceImageSequence                      Tag = 0x00082112
	RecommendedDisplayFrameRate              Tag = 0x00082144
	AnatomicRegionSequence                   Tag = 0x00082218
	PatientName                              Tag = 0x00100010
	PatientID                                Tag = 0x00100020
	IssuerOfPatientID                        Tag = 0x00100021
	IssuerOfPatientIDQualifiersSequence      Tag = 0x00100024
	PatientBirthDate                         Tag = 0x00100030
	PatientSex                               Tag = 0x00100040
	OtherPatientIDsSequence                  Tag = 0x00101002
	PatientAge                               Tag = 0x00101010
	BodyPartExamined                         Tag = 0x00180015
	CineRate                                 Tag = 0x00180040
	DeviceSerialNumber                       Tag = 0x00181000
	FrameTime                                Tag = 0x00181063
	FrameTimeVector                          Tag = 0x00181065
	DeviceUID                                Tag = 0x00181002
	SoftwareVersions                         Tag = 0x00181020
	StudyInstanceUID                         Tag = 0x0020000D
	SeriesInstanceUID                        Tag = 0x0020000E
	StudyID                                  Tag = 0x00200010
	SeriesNumber                             Tag = 0x00200011
	InstanceNumber                           Tag = 0x00200013
	PatientOrientation                       Tag = 0x00200020
	FrameOfReferenceUID                      Tag = 0x00200052
	Laterality                               Tag = 0x00200060
	SamplesPerPixel                          Tag = 0x00280002
	PhotometricInterpretation                Tag = 0x00280004
	PlanarConfiguration                      Tag = 0x00280006
	NumberOfFrames                           Tag = 0x00280008
	FrameIncrementPointer                    Tag = 0x00280009
	Rows                                     Tag = 0x00280010
	Columns                                  Tag = 0x00280011
	PixelAspectRatio                         Tag = 0x00280034
	BitsAllocated                            Tag = 0x00280100
	BitsStored                               Tag = 0x00280101
	HighBit                                  Tag = 0x00280102
	PixelRepresentation                      Tag = 0x00280103
	WindowCenter                             Tag = 0x00281050
	WindowWidth                              Tag = 0x00281051
	VOILUTFunction                           Tag = 0x00281056
	LUTDescriptor                            Tag = 0x00283002
	LUTData                                  Tag = 0x00283006
	VOILUTSequence                           Tag = 0x00283010
	RescaleIntercept                         Tag = 0x00281052
	RescaleSlope                             Tag = 0x00281053
	RedPaletteColorLookupTableDescriptor     Tag = 0x00281101
	GreenPaletteColorLookupTableDescriptor   Tag = 0x00281102
	BluePaletteColorLookupTableDescriptor    Tag = 0x00281103
	RedPaletteColorLookupTableData           Tag = 0x00281201
	GreenPaletteColorLookupTableData         Tag = 0x00281202
	BluePaletteColorLookupTableData          Tag = 0x00281203
	SegmentedRedPaletteColorLookupTableData  Tag = 0x00281221
	LossyImageCompression                    Tag = 0x00282110
	LossyImageCompressionRatio               Tag = 0x00282112
	LossyImageCompressionMethod              Tag = 0x00282114
	RequestAttributesSequence                Tag = 0x00400275
	AcquisitionContextSequence               Tag = 0x00400555
	ContentSequence                          Tag = 0x0040A730
	ExtendedOffsetTable                      Tag = 0x7FE00001
	ExtendedOffsetTableLengths               Tag = 0x7FE00002
	FloatPixelData                           Tag = 0x7FE00008
	DoubleFloatPixelData                     Tag = 0x7FE00009
	PixelData                                Tag = 0x7FE00010
)
