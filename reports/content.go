package reports

import (
	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
)

// RelationshipType relates a content item to the one it hangs below (PS3.3 C.17.3.2.4).
type RelationshipType string

// Relationship types used.
const (
	Contains      RelationshipType = "CONTAINS"
	HasObsContext RelationshipType = "HAS OBS CONTEXT"
	HasAcqContext RelationshipType = "HAS ACQ CONTEXT"
	HasConceptMod RelationshipType = "HAS CONCEPT MOD"
	SelectedFrom  RelationshipType = "SELECTED FROM"
	InferredFrom  RelationshipType = "INFERRED FROM"
)

// ContentItem is a node of a structured report (PS3.3 C.17.3).
type ContentItem struct {
	Relationship RelationshipType // empty at the root
	ValueType    string           // CONTAINER, TEXT, CODE, NUM, PNAME, UIDREF, IMAGE, COMPOSITE, SCOORD, TCOORD
	ConceptName  dicom.Code
	Text         string       // TEXT, PNAME, UIDREF, and the value of NUM
	Code         dicom.Code   // CODE, and the units of NUM
	Image        ImageRef     // IMAGE, COMPOSITE
	Polyline     [][2]float64 // SCOORD: closed, (column, row) from the top-left corner of the top-left pixel
	Stretch      [2]float64   // TCOORD: where it begins and ends, in seconds since the first frame (PS3.3 C.18.7)
	Items        []ContentItem
}

// ImageRef names an image, and one frame of it where it has several (0: the whole of it).
type ImageRef struct {
	Instance dicom.SOPInstance
	Frame    int
}

func container(rel RelationshipType, name dicom.Code, items ...ContentItem) ContentItem {
	return ContentItem{Relationship: rel, ValueType: "CONTAINER", ConceptName: name, Items: items}
}

func textItem(rel RelationshipType, name dicom.Code, text string) ContentItem {
	return ContentItem{Relationship: rel, ValueType: "TEXT", ConceptName: name, Text: text}
}

func codeItem(rel RelationshipType, name, value dicom.Code) ContentItem {
	return ContentItem{Relationship: rel, ValueType: "CODE", ConceptName: name, Code: value}
}

func uidItem(rel RelationshipType, name dicom.Code, uid dicom.UID) ContentItem {
	return ContentItem{Relationship: rel, ValueType: "UIDREF", ConceptName: name, Text: string(uid)}
}

func imageItem(rel RelationshipType, name dicom.Code, ref ImageRef) ContentItem {
	return ContentItem{Relationship: rel, ValueType: "IMAGE", ConceptName: name, Image: ref}
}

// compositeItem names an object that is no image, such as a document.
func compositeItem(rel RelationshipType, i dicom.SOPInstance) ContentItem {
	return ContentItem{Relationship: rel, ValueType: "COMPOSITE", Image: ImageRef{Instance: i}}
}

func numItem(rel RelationshipType, name dicom.Code, value string, units dicom.Code, items ...ContentItem) ContentItem {
	return ContentItem{Relationship: rel, ValueType: "NUM", ConceptName: name, Text: value, Code: units, Items: items}
}

func polylineItem(rel RelationshipType, name dicom.Code, points [][2]float64, of ImageRef) ContentItem {
	return ContentItem{
		Relationship: rel, ValueType: "SCOORD", ConceptName: name, Polyline: points,
		Items: []ContentItem{imageItem(SelectedFrom, sourceImage, of)},
	}
}

// stretchItem is a part of a video, from the beginning of one frame to that of another.
func stretchItem(rel RelationshipType, name dicom.Code, from, to float64, of ImageRef) ContentItem {
	return ContentItem{
		Relationship: rel, ValueType: "TCOORD", ConceptName: name, Stretch: [2]float64{from, to},
		Items: []ContentItem{imageItem(SelectedFrom, sourceImage, of)},
	}
}

// images lists the images that c and the items below it refer to, each once, in the order of the tree.
func (c ContentItem) images() []dicom.SOPInstance {
	var out []dicom.SOPInstance
	seen := map[dicom.UID]bool{}
	c.walk(func(item ContentItem) {
		i := item.Image.Instance
		if (item.ValueType == "IMAGE" || item.ValueType == "COMPOSITE") && !seen[i.SOPInstanceUID] {
			seen[i.SOPInstanceUID] = true
			out = append(out, i)
		}
	})
	return out
}

func (c ContentItem) walk(f func(ContentItem)) {
	f(c)
	for _, item := range c.Items {
		item.walk(f)
	}
}

// set writes c into ds: the root of a document, or an item of Content Sequence.
func (c ContentItem) set(ds dataset) {
	if c.Relationship != "" {
		ds.set(tag.RelationshipType, string(c.Relationship))
	}
	ds.set(tag.ValueType, c.ValueType)
	if c.ConceptName != (dicom.Code{}) {
		ds.items(tag.ConceptNameCodeSequence, coded(c.ConceptName))
	}
	c.value(ds)
	var items []dataset
	for _, child := range c.Items {
		item := dataset{}
		child.set(item)
		items = append(items, item)
	}
	if len(items) > 0 {
		ds.items(tag.ContentSequence, items...)
	}
}

func (c ContentItem) value(ds dataset) {
	switch c.ValueType {
	case "CONTAINER":
		ds.set(tag.ContinuityOfContent, "SEPARATE")
	case "TEXT":
		ds.set(tag.TextValue, c.Text)
	case "CODE":
		ds.items(tag.ConceptCodeSequence, coded(c.Code))
	case "PNAME":
		ds.set(tag.PersonName, c.Text)
	case "UIDREF":
		ds.set(tag.UID, c.Text)
	case "NUM":
		measured := dataset{}
		measured.set(tag.NumericValue, c.Text)
		measured.items(tag.MeasurementUnitsCodeSequence, coded(c.Code))
		ds.items(tag.MeasuredValueSequence, measured)
	case "IMAGE", "COMPOSITE":
		ds.items(tag.ReferencedSOPSequence, reference(c.Image.Instance, c.Image.Frame))
	case "TCOORD":
		if c.Stretch[0] == c.Stretch[1] {
			ds.set(tag.TemporalRangeType, "POINT")
			ds.set(tag.ReferencedTimeOffsets, decimal(c.Stretch[0], 3))
			break
		}
		ds.set(tag.TemporalRangeType, "SEGMENT")
		ds.set(tag.ReferencedTimeOffsets, decimal(c.Stretch[0], 3), decimal(c.Stretch[1], 3))
	case "SCOORD":
		points := make([]float64, 0, 2*len(c.Polyline))
		for _, p := range c.Polyline {
			points = append(points, p[0], p[1])
		}
		ds.set(tag.GraphicType, "POLYLINE")
		ds[tag.GraphicData] = points
	}
}
