package gateway

import (
	"fmt"

	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
)

// AcceptedContexts are the presentation contexts for the SOP classes and groups of a configuration.
func AcceptedContexts(names []string) ([]dicomnode.PresentationContext, error) {
	var classes []dicom.SOPClass
	for _, name := range names {
		switch group := dicom.StorageGroup(name); {
		case name == "any-storage":
			classes = append(classes, dicom.StorageSOPClasses...)
		case len(group) > 0:
			classes = append(classes, group...)
		case dicom.UID(name).Valid():
			classes = append(classes, dicom.SOPClass{UID: dicom.UID(name), Name: name})
		default:
			return nil, fmt.Errorf("dicom.sop_classes: %q is neither a UID nor a group; write endoscopic, photographic, secondary-capture or any-storage", name)
		}
	}
	return dicomnode.StorageContexts(classes), nil
}
