package reports

import (
	"maps"
	"slices"
	"strings"

	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
)

// dataset is a data set under construction. A value is []string, []int, []float64, []byte (bulk data), encapsulated, movie, []tag.Tag, []dataset (the items of
// a sequence) or kept; an empty slice is a zero-length element, as type 2 allows.
type dataset map[tag.Tag]any

// encapsulated is Pixel Data, a frame after the other as it was encoded.
type encapsulated [][]byte

// movie is Pixel Data as one video stream.
type movie []byte

// kept is a text as its source has it, in the source's character set.
type kept struct {
	value []byte
	text  string // what it says, as [dicom.Attributes.Reading] has it
}

func (ds dataset) set(t tag.Tag, values ...string)   { ds[t] = values }
func (ds dataset) ints(t tag.Tag, values ...int)     { ds[t] = values }
func (ds dataset) items(t tag.Tag, items ...dataset) { ds[t] = items }

// optional sets t when there is something to set: type 3.
func (ds dataset) optional(t tag.Tag, value string) {
	if value != "" {
		ds.set(t, value)
	}
}

// text returns the first value of t, or "" where there is none.
func (ds dataset) text(t tag.Tag) string {
	switch v := ds[t].(type) {
	case []string:
		if len(v) > 0 {
			return v[0]
		}
	case kept:
		return v.text
	}
	return ""
}

// whole is text of an attribute that has one value, with the backslashes that somebody has typed.
func (ds dataset) whole(t tag.Tag) string {
	if v := ds.strings(t); len(v) > 1 {
		return strings.Join(v, `\`)
	}
	return ds.text(t)
}

func (ds dataset) strings(t tag.Tag) []string {
	v, _ := ds[t].([]string)
	return v
}

func (ds dataset) int(t tag.Tag) int {
	if v, ok := ds[t].([]int); ok && len(v) > 0 {
		return v[0]
	}
	return 0
}

func (ds dataset) sequence(t tag.Tag) []dataset {
	v, _ := ds[t].([]dataset)
	return v
}

func (ds dataset) has(t tag.Tag) bool {
	_, ok := ds[t]
	return ok
}

// tags returns the tags of ds in the order of a data set (PS3.5 7.1).
func (ds dataset) tags() []tag.Tag {
	return slices.SortedFunc(maps.Keys(ds), tag.Tag.Compare)
}

// written is ds as the writer of data sets takes it.
func (ds dataset) written() dicom.Dataset {
	out := make(dicom.Dataset, len(ds))
	for t, v := range ds {
		value := written(v)
		if _, native := v.([]byte); t == tag.PixelData && native {
			value = dicom.As{VR: "OB", Value: value} // 8 bits allocated, explicit VR (PS3.5 8.1.2)
		}
		if _, taken := v.(kept); taken || copied[t] {
			value = dicom.As{Verbatim: true, Value: value}
		}
		out[tagOf(t)] = value
	}
	return out
}

func written(value any) dicom.Value {
	switch v := value.(type) {
	case []string:
		return dicom.Text(v)
	case []int:
		return dicom.Ints(v)
	case []float64:
		return dicom.Floats(v)
	case []byte:
		return dicom.Bytes(v)
	case encapsulated:
		return dicom.Encapsulate(v...)
	case movie:
		return dicom.Fragments{nil, v} // an empty Basic Offset Table, and the stream in one fragment (PS3.5 A.4.6, A.4.7)
	case []tag.Tag:
		tags := make(dicom.Tags, len(v))
		for i, t := range v {
			tags[i] = tagOf(t)
		}
		return tags
	case kept:
		return dicom.Bytes(v.value)
	case []dataset:
		items := make(dicom.Items, len(v))
		for i, item := range v {
			items[i] = item.written()
		}
		return items
	}
	return nil
}

// vr returns the value representation that the dictionary gives t, or "" for a tag it does not know.
func vr(t tag.Tag) string {
	info, err := tag.Find(t)
	if err != nil {
		return ""
	}
	return info.VRs[0]
}

// keyword names t as the dictionary does, for people who read an error.
func keyword(t tag.Tag) string {
	info, err := tag.Find(t)
	if err != nil {
		return t.String()
	}
	return info.Keyword
}

// clip shortens s to n characters (not bytes), the unit of the limits of PS3.5 table 6.2-1.
func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return strings.TrimSpace(string(r[:n]))
}
