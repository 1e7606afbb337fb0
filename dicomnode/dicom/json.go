package dicom

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxInline is how many bytes of a binary value stand in the JSON model itself.
const maxInline = 1 << 10

// AppendJSON appends a in the DICOM JSON model (PS3.18 F.2) to b: text in UTF-8, as well as it can be read, with ISO_IR 192 as its
// Specific Character Set, binary values in Little Endian. Group lengths and what may not stand in a data set are left out; of
// several elements with one tag the first stays. bulk returns the URI of a value that is too long for it, at a path of tags and
// numbers of items (from 1) in turn, with dots between; empty: it has none, and the element no value.
func (a *Attributes) AppendJSON(b []byte, bulk func(path string) string) []byte {
	w := jsonWriter{b: b, bulk: bulk}
	w.dataset(a, "")
	return w.b
}

type jsonWriter struct {
	b    []byte
	bulk func(path string) string
}

// dataset writes a data set or an item, whose own path is at.
func (w *jsonWriter) dataset(a *Attributes, at string) {
	w.b = append(w.b, '{')
	if a != nil {
		all := make([]Element, 0, len(a.elements)+len(a.passed)+1)
		if at == "" {
			all = append(all, Element{Tag: SpecificCharacterSet, VR: "CS", Value: []byte(utf8Term)})
		}
		for _, e := range a.elements {
			if e.Tag != SpecificCharacterSet {
				all = append(all, e)
			}
		}
		for _, p := range a.passed {
			all = append(all, Element{Tag: p.Tag, VR: p.VR, Items: tooLong})
		}
		slices.SortStableFunc(all, func(x, y Element) int { return int(int64(x.Tag) - int64(y.Tag)) })
		last := Tag(0)
		for _, e := range all {
			if e.Tag == last || !standsInDataset(e.Tag) {
				continue
			}
			if last != 0 {
				w.b = append(w.b, ',')
			}
			last = e.Tag
			w.element(a, e, at)
		}
	}
	w.b = append(w.b, '}')
}

// tooLong stands in the place of a value that was passed over.
var tooLong = []*Attributes{}

// Key returns t as the JSON model and URIs write it: eight hexadecimal digits.
func (t Tag) Key() string {
	digits := strings.ToUpper(strconv.FormatUint(uint64(t), 16))
	return "00000000"[len(digits):] + digits
}

func (w *jsonWriter) element(a *Attributes, e Element, at string) {
	key := e.Tag.Key()
	w.b = append(w.b, '"')
	w.b = append(w.b, key...)
	w.b = append(w.b, `":{"vr":"`...)
	info := vrOf(e.VR)
	w.b = append(w.b, info.name...)
	w.b = append(w.b, '"')
	path := at + key
	switch {
	case info.name == "SQ":
		w.items(e, path)
	case e.Value == nil && e.Items != nil, info.binary() && len(e.Value) > maxInline:
		if uri := w.bulk(path); uri != "" {
			w.b = append(w.b, `,"BulkDataURI":`...)
			w.text(uri)
		}
	case len(e.Value) == 0:
	case info.binary():
		value := e.Value
		if info.word > 1 && a.ByteOrder() == binary.BigEndian {
			value = slices.Clone(value)
			swap(value, info.word)
		}
		w.b = append(w.b, `,"InlineBinary":"`...)
		w.b = base64.StdEncoding.AppendEncode(w.b, value)
		w.b = append(w.b, '"')
	case info.text:
		w.texts(a, e, info)
	default:
		w.numbers(a, e, info)
	}
	w.b = append(w.b, '}')
}

// binary reports whether values of the VR are bytes to the JSON model (PS3.18 table F.2.3-1).
func (info vrInfo) binary() bool {
	return !info.text && info.long && info.name != "SV" && info.name != "UV"
}

func (w *jsonWriter) items(e Element, path string) {
	if len(e.Items) == 0 {
		return
	}
	w.b = append(w.b, `,"Value":[`...)
	for i, item := range e.Items {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.dataset(item, path+"."+strconv.Itoa(i+1)+".")
	}
	w.b = append(w.b, ']')
}

// texts writes the values of a character VR. A value that is empty among others is null (PS3.18 F.2.5).
func (w *jsonWriter) texts(a *Attributes, e Element, info vrInfo) {
	charset := a.charset
	if !info.charset {
		charset = characterSet{}
	}
	values := a.values(e, info, charset.likely)
	for i := range values {
		values[i] = modern(trim(values[i], info), info)
	}
	if len(values) == 1 && values[0] == "" {
		return
	}
	w.b = append(w.b, `,"Value":[`...)
	for i, v := range values {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		switch {
		case v == "":
			w.b = append(w.b, "null"...)
		case info.name == "PN":
			w.name(v)
		case info.name == "DS", info.name == "IS":
			w.decimal(v)
		default:
			w.text(v)
		}
	}
	w.b = append(w.b, ']')
}

// name writes a person's name by its groups (PS3.18 F.2.2).
func (w *jsonWriter) name(v string) {
	w.b = append(w.b, '{')
	more := false
	for i, group := range strings.SplitN(v, "=", 3) {
		if group == "" {
			continue
		}
		if more {
			w.b = append(w.b, ',')
		}
		more = true
		w.text([]string{"Alphabetic", "Ideographic", "Phonetic"}[i])
		w.b = append(w.b, ':')
		w.text(group)
	}
	w.b = append(w.b, '}')
}

// decimal writes a Decimal or Integer String as a number where JSON can say it digit by digit or nearly so, else as it is.
func (w *jsonWriter) decimal(v string) {
	if json.Valid([]byte(v)) && (v[0] == '-' || v[0] >= '0' && v[0] <= '9') {
		w.b = append(w.b, v...)
		return
	}
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || strings.ContainsAny(v, "xXpP_") {
		w.text(v)
		return
	}
	w.b = strconv.AppendFloat(w.b, f, 'g', -1, 64)
}

func (w *jsonWriter) numbers(a *Attributes, e Element, info vrInfo) {
	values := a.numbers(e, info)
	if len(values) == 0 {
		return
	}
	w.b = append(w.b, `,"Value":[`...)
	for i, v := range values {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		switch {
		case info.name == "AT":
			w.text(strings.NewReplacer("(", "", ",", "", ")", "").Replace(v))
		case (info.name == "UV" || info.name == "SV") && len(v) > 15: // beyond what a double holds (PS3.18 F.2.3)
			w.text(v)
		case !json.Valid([]byte(v)): // NaN and the infinities, which JSON has no number for
			w.text(v)
		default:
			w.b = append(w.b, v...)
		}
	}
	w.b = append(w.b, ']')
}

// text writes a JSON string.
func (w *jsonWriter) text(s string) {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	quoted, _ := json.Marshal(s) // strings always can
	w.b = append(w.b, quoted...)
}
