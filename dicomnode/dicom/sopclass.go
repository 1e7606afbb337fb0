package dicom

import "fmt"

// SOPClass is a row of PS3.6 table A-1: what an instance is.
type SOPClass struct {
	UID   UID
	Name  string
	Group string // one of the Group constants
}

// Groups of SOP classes, as a configuration names them.
const (
	GroupEndoscopic       = "endoscopic"
	GroupPhotographic     = "photographic"
	GroupSecondaryCapture = "secondary-capture"
	GroupMicroscopic      = "microscopic"
	GroupUltrasound       = "ultrasound"
	GroupRadiology        = "radiology"
	GroupPresentation     = "presentation-state"
	GroupReport           = "report"
	GroupDocument         = "document"
	GroupAnalysis         = "analysis"
)

// DefaultStorageGroups are the groups accepted where the configuration names none.
var DefaultStorageGroups = []string{GroupEndoscopic, GroupPhotographic, GroupSecondaryCapture}

// GroupAnyStorage is all of StorageSOPClasses.
const GroupAnyStorage = "any-storage"

// SOP classes that the code names.
const (
	Verification                            UID = "1.2.840.10008.1.1"
	SecondaryCaptureImageStorage            UID = "1.2.840.10008.5.1.4.1.1.7"
	MultiFrameSingleBitSecondaryCapture     UID = "1.2.840.10008.5.1.4.1.1.7.1"
	MultiFrameGrayscaleByteSecondaryCapture UID = "1.2.840.10008.5.1.4.1.1.7.2"
	MultiFrameGrayscaleWordSecondaryCapture UID = "1.2.840.10008.5.1.4.1.1.7.3"
	MultiFrameTrueColorSecondaryCapture     UID = "1.2.840.10008.5.1.4.1.1.7.4"
	VLEndoscopicImageStorage                UID = "1.2.840.10008.5.1.4.1.1.77.1.1"
	VideoEndoscopicImageStorage             UID = "1.2.840.10008.5.1.4.1.1.77.1.1.1"
	VLPhotographicImageStorage              UID = "1.2.840.10008.5.1.4.1.1.77.1.4"
	VideoPhotographicImageStorage           UID = "1.2.840.10008.5.1.4.1.1.77.1.4.1"
	BasicTextSRStorage                      UID = "1.2.840.10008.5.1.4.1.1.88.11"
	EnhancedSRStorage                       UID = "1.2.840.10008.5.1.4.1.1.88.22"
	ComprehensiveSRStorage                  UID = "1.2.840.10008.5.1.4.1.1.88.33"
	Comprehensive3DSRStorage                UID = "1.2.840.10008.5.1.4.1.1.88.34"
	ExtensibleSRStorage                     UID = "1.2.840.10008.5.1.4.1.1.88.35"
	KeyObjectSelectionDocumentStorage       UID = "1.2.840.10008.5.1.4.1.1.88.59"
	EncapsulatedPDFStorage                  UID = "1.2.840.10008.5.1.4.1.1.104.1"
	ModalityPerformedProcedureStepSOPClass  UID = "1.2.840.10008.3.1.2.3.3"
	StorageCommitmentPushModelSOPClass      UID = "1.2.840.10008.1.20.1"
	StorageCommitmentPushModelInstance      UID = "1.2.840.10008.1.20.1.1"
)

// StorageSOPClasses are the storage classes endogate can take and pass on.
var StorageSOPClasses = []SOPClass{
	{VLEndoscopicImageStorage, "VL Endoscopic Image Storage", GroupEndoscopic},
	{VideoEndoscopicImageStorage, "Video Endoscopic Image Storage", GroupEndoscopic},
	{VLPhotographicImageStorage, "VL Photographic Image Storage", GroupPhotographic},
	{VideoPhotographicImageStorage, "Video Photographic Image Storage", GroupPhotographic},
	{SecondaryCaptureImageStorage, "Secondary Capture Image Storage", GroupSecondaryCapture},
	{MultiFrameSingleBitSecondaryCapture, "Multi-frame Single Bit Secondary Capture Image Storage", GroupSecondaryCapture},
	{MultiFrameGrayscaleByteSecondaryCapture, "Multi-frame Grayscale Byte Secondary Capture Image Storage", GroupSecondaryCapture},
	{MultiFrameGrayscaleWordSecondaryCapture, "Multi-frame Grayscale Word Secondary Capture Image Storage", GroupSecondaryCapture},
	{MultiFrameTrueColorSecondaryCapture, "Multi-frame True Color Secondary Capture Image Storage", GroupSecondaryCapture},
	{"1.2.840.10008.5.1.4.1.1.77.1.2", "VL Microscopic Image Storage", GroupMicroscopic},
	{"1.2.840.10008.5.1.4.1.1.77.1.2.1", "Video Microscopic Image Storage", GroupMicroscopic},
	{"1.2.840.10008.5.1.4.1.1.77.1.3", "VL Slide-Coordinates Microscopic Image Storage", GroupMicroscopic},
	{"1.2.840.10008.5.1.4.1.1.6.1", "Ultrasound Image Storage", GroupUltrasound},
	{"1.2.840.10008.5.1.4.1.1.3.1", "Ultrasound Multi-frame Image Storage", GroupUltrasound},
	{"1.2.840.10008.5.1.4.1.1.1", "Computed Radiography Image Storage", GroupRadiology},
	{"1.2.840.10008.5.1.4.1.1.1.1", "Digital X-Ray Image Storage - For Presentation", GroupRadiology},
	{"1.2.840.10008.5.1.4.1.1.2", "CT Image Storage", GroupRadiology},
	{"1.2.840.10008.5.1.4.1.1.4", "MR Image Storage", GroupRadiology},
	{"1.2.840.10008.5.1.4.1.1.12.1", "X-Ray Angiographic Image Storage", GroupRadiology},
	{"1.2.840.10008.5.1.4.1.1.12.2", "X-Ray Radiofluoroscopic Image Storage", GroupRadiology},
	{"1.2.840.10008.5.1.4.1.1.11.1", "Grayscale Softcopy Presentation State Storage", GroupPresentation},
	{"1.2.840.10008.5.1.4.1.1.11.2", "Color Softcopy Presentation State Storage", GroupPresentation},
	{"1.2.840.10008.5.1.4.1.1.11.4", "Blending Softcopy Presentation State Storage", GroupPresentation},
	{"1.2.840.10008.5.1.4.1.1.11.8", "Advanced Blending Presentation State Storage", GroupPresentation},
	{BasicTextSRStorage, "Basic Text SR Storage", GroupReport},
	{EnhancedSRStorage, "Enhanced SR Storage", GroupReport},
	{ComprehensiveSRStorage, "Comprehensive SR Storage", GroupReport},
	{Comprehensive3DSRStorage, "Comprehensive 3D SR Storage", GroupReport},
	{ExtensibleSRStorage, "Extensible SR Storage", GroupReport},
	{KeyObjectSelectionDocumentStorage, "Key Object Selection Document Storage", GroupReport},
	{EncapsulatedPDFStorage, "Encapsulated PDF Storage", GroupDocument},
	{"1.2.840.10008.5.1.4.1.1.104.2", "Encapsulated CDA Storage", GroupDocument},
	{"1.2.840.10008.5.1.4.1.1.30", "Parametric Map Storage", GroupAnalysis},
	{"1.2.840.10008.5.1.4.1.1.66.4", "Segmentation Storage", GroupAnalysis},
	{"1.2.840.10008.5.1.4.1.1.66.7", "Label Map Segmentation Storage", GroupAnalysis},
}

// StorageGroup returns the storage classes of a group; none for a group that does not exist.
func StorageGroup(group string) []SOPClass {
	var classes []SOPClass
	for _, c := range StorageSOPClasses {
		if c.Group == group {
			classes = append(classes, c)
		}
	}
	return classes
}

// LookupSOPClass finds a storage class or Verification by its UID.
func LookupSOPClass(uid UID) (SOPClass, bool) {
	if uid == Verification {
		return SOPClass{UID: Verification, Name: "Verification SOP Class"}, true
	}
	for _, c := range StorageSOPClasses {
		if c.UID == uid {
			return c, true
		}
	}
	return SOPClass{}, false
}

// SelectStorage returns the SOP classes of a list of groups and UIDs, as a configuration names them.
func SelectStorage(names []string) ([]SOPClass, error) {
	var classes []SOPClass
	for _, name := range names {
		switch group := StorageGroup(name); {
		case name == GroupAnyStorage:
			classes = append(classes, StorageSOPClasses...)
		case len(group) > 0:
			classes = append(classes, group...)
		case UID(name).Valid():
			classes = append(classes, SOPClass{UID: UID(name), Name: name})
		default:
			return nil, fmt.Errorf("%q is neither a UID nor a group; write %s, %s, %s or %s", name, GroupEndoscopic, GroupPhotographic, GroupSecondaryCapture, GroupAnyStorage)
		}
	}
	return classes, nil
}
