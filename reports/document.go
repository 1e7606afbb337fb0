package reports

import (
	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

// documentHeader sets what SR and Key Object documents share: series, template, evidence, the order.
func documentHeader(ds dataset, s Source, modality, template string, series, instance int, root ContentItem) {
	ds.set(tag.Modality, modality)
	ds.set(tag.SeriesNumber, number(series))
	ds.set(tag.InstanceNumber, number(instance))
	ds.items(tag.ReferencedPerformedProcedureStepSequence)
	s.copier().request(ds)
	if items := evidence(root.images()); len(items) > 0 {
		ds.items(tag.CurrentRequestedProcedureEvidenceSequence, items...)
	}
	identification := dataset{}
	identification.set(tag.MappingResource, "DCMR")
	identification.set(tag.TemplateIdentifier, template)
	ds.items(tag.ContentTemplateSequence, identification)
	root.set(ds)
}

// evidence is the hierarchy of every instance that a document refers to (PS3.3 table C.17-3), in the order given.
func evidence(instances []dicom.SOPInstance) []dataset {
	var studies []dataset
	studyAt := map[dicom.UID]int{}
	for _, i := range instances {
		at, ok := studyAt[i.StudyInstanceUID]
		if !ok {
			at = len(studies)
			studyAt[i.StudyInstanceUID] = at
			studies = append(studies, dataset{tag.StudyInstanceUID: []string{string(i.StudyInstanceUID)}})
		}
		studies[at].items(tag.ReferencedSeriesSequence, addToSeries(studies[at].sequence(tag.ReferencedSeriesSequence), i)...)
	}
	return studies
}

func addToSeries(series []dataset, i dicom.SOPInstance) []dataset {
	for _, s := range series {
		if s.text(tag.SeriesInstanceUID) == string(i.SeriesInstanceUID) {
			s.items(tag.ReferencedSOPSequence, append(s.sequence(tag.ReferencedSOPSequence), reference(i, 0))...)
			return series
		}
	}
	s := dataset{tag.SeriesInstanceUID: []string{string(i.SeriesInstanceUID)}}
	s.items(tag.ReferencedSOPSequence, reference(i, 0))
	return append(series, s)
}

// author is the item of Author Observer Sequence: a device, never a person (PS3.3 table C.17-3b).
func (b *Builder) author(a analysis.Model) dataset {
	ds := dataset{}
	ds.set(tag.ObserverType, "DEV")
	ds.set(tag.Manufacturer, a.Manufacturer)
	ds.set(tag.ManufacturerModelName, a.Name)
	ds.set(tag.StationName, clip(b.Equipment.StationName, 16))
	ds.set(tag.DeviceUID, string(deviceUIDOf(a)))
	if name := clip(b.Equipment.InstitutionName, 64); name != "" {
		ds.set(tag.InstitutionName, name)
	} else {
		ds.set(tag.InstitutionName) // type 2
	}
	ds.items(tag.InstitutionCodeSequence)
	return ds
}

// observer is TID 1002 with TID 1004: the device that observed.
func (b *Builder) observer(a analysis.Model) []ContentItem {
	return []ContentItem{
		codeItem(HasObsContext, observerType, deviceObserver),
		uidItem(HasObsContext, deviceUID, deviceUIDOf(a)),
		textItem(HasObsContext, deviceName, clip(b.Equipment.StationName, 16)),
		textItem(HasObsContext, deviceManufacturer, a.Manufacturer),
		textItem(HasObsContext, deviceModel, a.Name),
	}
}
