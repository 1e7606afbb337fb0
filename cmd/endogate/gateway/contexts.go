package gateway

import (
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
)

// AcceptedContexts are the presentation contexts for the SOP classes and groups of a configuration.
func AcceptedContexts(names []string) ([]dicomnode.PresentationContext, error) {
	classes, err := dicom.SelectStorage(names)
	return dicomnode.StorageContexts(classes), err
}
