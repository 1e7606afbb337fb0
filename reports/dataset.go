package reports

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	sd "github.com/suyashkumar/dicom"
	"github.com/suyashkumar/dicom/pkg/tag"
)

// dataset is a data set under construction. A value is []string, []int, []float64, []byte (bulk data) or []dataset
// (the items of a sequence); an empty slice is a zero-length element, as type 2 allows.
type dataset map[tag.Tag]any

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
	if v, ok := ds[t].([]string); ok && len(v) > 0 {
		return v[0]
	}
	return ""
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

// encode writes ds in Explicit VR Little Endian, without file meta information.
func (ds dataset) encode() ([]byte, error) {
	var buf bytes.Buffer
	if pixels, ok := ds[tag.PixelData].([]byte); ok {
		buf.Grow(len(pixels) + 16<<10)
	}
	w, err := sd.NewWriter(&buf)
	if err != nil {
		return nil, fmt.Errorf("reports: encode: %w", err)
	}
	w.SetTransferSyntax(binary.LittleEndian, false)
	elements, err := ds.elements()
	if err != nil {
		return nil, err
	}
	for _, e := range elements {
		if err := w.WriteElement(e); err != nil {
			return nil, fmt.Errorf("reports: encode %s: %w", e.Tag, err)
		}
	}
	return buf.Bytes(), nil
}

func (ds dataset) elements() ([]*sd.Element, error) {
	elements := make([]*sd.Element, 0, len(ds))
	for _, t := range ds.tags() {
		e, err := element(t, ds[t])
		if err != nil {
			return nil, fmt.Errorf("reports: encode %s: %w", t, err)
		}
		elements = append(elements, e)
	}
	return elements, nil
}

func element(t tag.Tag, value any) (*sd.Element, error) {
	switch v := value.(type) {
	case []dataset:
		items := make([][]*sd.Element, len(v))
		for i, item := range v {
			elements, err := item.elements()
			if err != nil {
				return nil, err
			}
			items[i] = elements
		}
		return sd.NewElement(t, items)
	case []byte:
		if t != tag.PixelData {
			return sd.NewElement(t, v)
		}
		// Handing the writer raw bytes keeps it from writing sample by sample.
		e, err := sd.NewElement(t, sd.PixelDataInfo{IntentionallyUnprocessed: true, UnprocessedValueData: even(v)})
		if err == nil {
			e.RawValueRepresentation = "OB" // 8 bits allocated, explicit VR (PS3.5 8.1.2)
		}
		return e, err
	default:
		return sd.NewElement(t, value)
	}
}

// even pads bulk data to the even length of PS3.5 7.1.1.
func even(b []byte) []byte {
	if len(b)%2 != 0 {
		return append(slices.Clip(b), 0)
	}
	return b
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
