package main

import (
	"fmt"
	"io"
	"strings"

	"endogate/dicomnode/dicom"
)

// Elements of the SR document content (PS3.3 C.17.3).
const (
	tagValueType         dicom.Tag = 0x0040A040
	tagConceptName       dicom.Tag = 0x0040A043
	tagUID               dicom.Tag = 0x0040A124
	tagTextValue         dicom.Tag = 0x0040A160
	tagConceptCode       dicom.Tag = 0x0040A168
	tagMeasuredValue     dicom.Tag = 0x0040A300
	tagNumericValue      dicom.Tag = 0x0040A30A
	tagContent           dicom.Tag = 0x0040A730
	tagCompletionFlag    dicom.Tag = 0x0040A491
	tagVerificationFlag  dicom.Tag = 0x0040A493
	tagPreliminaryFlag   dicom.Tag = 0x0040A496
	tagGraphicData       dicom.Tag = 0x00700022
	tagReferencedSOP     dicom.Tag = 0x00081199
	tagReferencedUID     dicom.Tag = 0x00081155
	tagReferencedFrame   dicom.Tag = 0x00081160
	tagCodeMeaning       dicom.Tag = 0x00080104
	tagMeasurementsUnits dicom.Tag = 0x004008EA
)

// writeReport prints a structured report as an indented list, a line for each content item.
func writeReport(w io.Writer, dataset io.Reader, ts dicom.TransferSyntax) error {
	document, err := dicom.ReadAttributes(dataset, ts)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "  %s, %s, %s\n", document.Text(tagCompletionFlag), document.Text(tagVerificationFlag), document.Text(tagPreliminaryFlag))
	writeContentItem(w, document, 1)
	return nil
}

func writeContentItem(w io.Writer, item *dicom.Attributes, depth int) {
	line := item.Item(tagConceptName, 0).Text(tagCodeMeaning)
	if value := contentValue(item); value != "" {
		line += ": " + value
	}
	fmt.Fprintf(w, "%s%s\n", strings.Repeat("  ", depth), line)
	for i := 0; item.Item(tagContent, i) != nil; i++ {
		writeContentItem(w, item.Item(tagContent, i), depth+1)
	}
}

func contentValue(item *dicom.Attributes) string {
	switch item.Text(tagValueType) {
	case "TEXT":
		return item.Text(tagTextValue)
	case "CODE":
		return item.Item(tagConceptCode, 0).Text(tagCodeMeaning)
	case "UIDREF":
		return item.Text(tagUID)
	case "NUM":
		measured := item.Item(tagMeasuredValue, 0)
		return measured.Text(tagNumericValue) + " (" + measured.Item(tagMeasurementsUnits, 0).Text(tagCodeMeaning) + ")"
	case "SCOORD":
		return fmt.Sprintf("closed polyline of %d points", len(item.Texts(tagGraphicData))/2)
	case "IMAGE":
		image := item.Item(tagReferencedSOP, 0)
		if frame := image.Text(tagReferencedFrame); frame != "" {
			return image.Text(tagReferencedUID) + " frame " + frame
		}
		return image.Text(tagReferencedUID)
	}
	return ""
}
