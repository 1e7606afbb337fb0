package reports

import (
	"strings"

	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

// localScheme is the coding scheme of concepts that no standard terminology has.
const localScheme = analysis.LocalScheme

func dcm(value, meaning string) dicom.Code { return code(value, "DCM", meaning) }
func sct(value, meaning string) dicom.Code { return code(value, "SCT", meaning) }

func code(value, scheme, meaning string) dicom.Code {
	return dicom.Code{Value: value, Scheme: scheme, Meaning: meaning}
}

// Concepts of PS3.16, in the order of the trees they stand in.
var (
	measurementReportTitle = dcm("126000", "Imaging Measurement Report")
	language               = dcm("121049", "Language of Content Item and Descendants")
	observerType           = dcm("121005", "Observer Type")
	deviceObserver         = dcm("121007", "Device")
	deviceUID              = dcm("121012", "Device Observer UID")
	deviceName             = dcm("121013", "Device Observer Name")
	deviceManufacturer     = dcm("121014", "Device Observer Manufacturer")
	deviceModel            = dcm("121015", "Device Observer Model Name")
	procedureReported      = dcm("121058", "Procedure reported")
	imagingProcedure       = sct("363679005", "Imaging procedure")
	imageLibraryTitle      = dcm("111028", "Image Library")
	imageLibraryGroup      = dcm("126200", "Image Library Group")
	modality               = dcm("121139", "Modality")
	targetRegion           = dcm("123014", "Target Region")
	sourceImage            = dcm("121324", "Source image")
	imagingMeasurements    = dcm("126010", "Imaging Measurements")
	measurementGroupTitle  = dcm("125007", "Measurement Group")
	trackingIdentifier     = dcm("112039", "Tracking Identifier")
	trackingUID            = dcm("112040", "Tracking Unique Identifier")
	finding                = dcm("121071", "Finding")
	findingSite            = sct("363698007", "Finding Site")
	imageRegion            = dcm("111030", "Image Region")
	illustrationOfROI      = dcm("121200", "Illustration of ROI")
	visualExplanation      = dcm("130401", "Visual explanation")
	sourceOfMeasurement    = dcm("121112", "Source of Measurement")
	probability            = dcm("122157", "Probability")
	algorithmName          = dcm("111001", "Algorithm Name")
	algorithmParameters    = dcm("111002", "Algorithm Parameters")
	algorithmVersion       = dcm("111003", "Algorithm Version")
	noUnits                = code("1", "UCUM", "no units")
	qualitativeEvaluations = code("C0034375", "UMLS", "Qualitative Evaluations")
	comment                = dcm("121106", "Comment")

	ofInterest           = dcm("113000", "Of Interest")
	keyObjectDescription = dcm("113012", "Key Object Description")
	rejected             = dcm("113037", "Rejected for Patient Safety Reasons") // CID 7010: hide or delete what is named (IHE IOCM)

	processingEquipment   = dcm("109102", "Processing Equipment")
	acquisitionEquipment  = dcm("109101", "Acquisition Equipment")
	classActivation       = dcm("130402", "Class activation") // CID 217, Visual Explanation
	gradientWeighted      = dcm("130403", "Gradient-weighted class activation")
	saliency              = dcm("130404", "Saliency")
	imageProcessingSource = dcm("121322", "Source image for image processing operation")
	english               = code("en", "RFC5646", "English")
	colon                 = sct("71854001", "Colon")
	modalityMeanings      = map[string]string{"ES": "Endoscopy", "GM": "General Microscopy", "XC": "External-camera Photography", "OT": "Other Modality"}
	bodyPartsOfSCT        = map[string]string{
		"71854001": "COLON", "32713005": "COLON", "14742008": "COLON", "60184004": "COLON", "32622004": "COLON", "72592005": "COLON",
		"485005": "COLON", "48338005": "COLON", "9040008": "COLON", "49832006": "COLON",
		"34402009": "RECTUM", "53505006": "RECTUM", "34381000": "RECTUM",
		"32849002": "ESOPHAGUS", "25271004": "ESOPHAGUS",
		"69695003": "STOMACH", "280119005": "STOMACH", "66051006": "STOMACH",
		"38848004": "DUODENUM",
		"44567001": "TRACHEA", "110726009": "TRACHEA", "4596009": "LARYNX", "312535008": "PHARYNX", "54066008": "PHARYNX",
	}
)

// unpaired are the values of Body Part Examined (PS3.16 annex L) of parts without laterality: the attribute
// Laterality must then be absent.
var unpaired = []string{
	"COLON", "ESOPHAGUS", "STOMACH", "DUODENUM", "RECTUM", "LARYNX", "PHARYNX", "TRACHEA", "ABDOMEN", "BLADDER", "CERVIX", "CHEST",
	"GALLBLADDER", "HEAD", "HEART", "ILEUM", "JEJUNUM", "LIVER", "MEDIASTINUM", "MOUTH", "NECK", "NOSE", "PANCREAS", "PELVIS",
	"PENIS", "PROSTATE", "SPLEEN", "THYMUS", "TONGUE", "URETHRA", "UTERUS", "VAGINA",
}

// coded returns the code sequence item of PS3.3 table 8.8-1.
func coded(c dicom.Code) dataset {
	ds := dataset{}
	switch {
	case len([]rune(c.Value)) > 16: // Code Value is SH
		ds.set(tag.LongCodeValue, c.Value)
	default:
		ds.set(tag.CodeValue, c.Value)
	}
	ds.set(tag.CodingSchemeDesignator, c.Scheme)
	ds.set(tag.CodeMeaning, clip(c.Meaning, 64))
	return ds
}

// local reports whether a coding scheme is nobody's but the model's author's (PS3.16 8: designators from 99 on).
func local(scheme string) bool { return strings.HasPrefix(scheme, "99") }

// codingSchemes describes the local coding schemes used in ds (PS3.3 C.12.1.1.6), or sets nothing.
func codingSchemes(ds dataset) {
	var items []dataset
	seen := map[string]bool{}
	ds.walk(func(item dataset) {
		scheme := item.text(tag.CodingSchemeDesignator)
		if seen[scheme] || !local(scheme) {
			return
		}
		seen[scheme] = true
		items = append(items, codingScheme(scheme))
	})
	if len(items) > 0 {
		ds.items(tag.CodingSchemeIdentificationSequence, items...)
	}
}

func codingScheme(scheme string) dataset {
	ds := dataset{}
	ds.set(tag.CodingSchemeDesignator, scheme)
	ds.set(tag.CodingSchemeUID, string(dicom.DerivedUID("coding-scheme", scheme)))
	if scheme == localScheme {
		ds.set(tag.CodingSchemeName, "endogate local codes for endoscopic findings")
		ds.set(tag.CodingSchemeResponsibleOrganization, "endogate")
	}
	return ds
}

// walk calls f for ds and every item below it, in the order of the data set.
func (ds dataset) walk(f func(dataset)) {
	f(ds)
	for _, t := range ds.tags() {
		for _, item := range ds.sequence(t) {
			item.walk(f)
		}
	}
}
