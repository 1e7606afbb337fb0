package dicomweb

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"endogate/dicomnode/dicom"
)

// element is an element of the JSON model.
type element struct {
	VR     string `json:"vr"`
	Value  []any  `json:"Value,omitempty"`
	Inline string `json:"InlineBinary,omitempty"`
	Bulk   string `json:"BulkDataURI,omitempty"`
}

// texts are the values of an element as text; of a name each of its groups.
func (e element) texts() (all []string) {
	for _, v := range e.Value {
		switch v := v.(type) {
		case string:
			all = append(all, v)
		case json.Number:
			all = append(all, v.String())
		case int:
			all = append(all, strconv.Itoa(v))
		case map[string]any:
			for _, group := range v {
				if text, ok := group.(string); ok {
					all = append(all, text)
				}
			}
		}
	}
	return all
}

// matches reports whether an element matches the value of a key (PS3.4 C.2.2.2). An empty value or a lone * matches whatever
// there is or is not, one value of several is enough, names match without regard to case.
func matches(e element, vr, pattern string) bool {
	if pattern == "" || pattern == "*" {
		return true
	}
	is := func(v string) bool { return wild(pattern, v) }
	switch vr {
	case "UI":
		list := splitUIDs(pattern)
		is = func(v string) bool { return slices.Contains(list, v) }
	case "CS": // a list, as some ask for several modalities: no code has a comma or backslash
		list := splitUIDs(pattern)
		is = func(v string) bool {
			return slices.ContainsFunc(list, func(one string) bool { return wild(strings.TrimSpace(one), v) })
		}
	case "DA", "TM", "DT":
		is = func(v string) bool { return within(vr, pattern, v) }
	case "PN":
		pattern = strings.ToLower(pattern)
		is = func(v string) bool {
			return wild(pattern, strings.ToLower(v)) || wild(pattern, strings.TrimRight(strings.ToLower(v), "^"))
		}
	case "IS", "DS", "US", "SS", "UL", "SL", "FL", "FD", "UV", "SV":
		is = func(v string) bool { return v == strings.TrimSpace(pattern) }
	}
	return slices.ContainsFunc(e.texts(), is)
}

// wild reports whether s is of a pattern in which * is any run of characters and ? any one (PS3.4 C.2.2.2.4), in time that grows
// with the product of both.
func wild(pattern, s string) bool {
	p, t := []rune(pattern), []rune(s)
	i, k := 0, 0
	star, mark := -1, 0 // where the last * was, and up to where it reaches
	for k < len(t) {
		switch {
		case i < len(p) && p[i] == '*':
			star, mark = i, k
			i++
		case i < len(p) && (p[i] == '?' || p[i] == t[k]):
			i++
			k++
		case star >= 0:
			mark++
			i, k = star+1, mark
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

// within reports whether a date or time is in a range, a-b, a- or -b, or is the one that is asked for (PS3.4 C.2.2.2.5). What is
// given less precisely than it is stored is the whole of that hour, minute or second.
func within(vr, pattern, v string) bool {
	from, to, ranged := strings.Cut(pattern, "-")
	if vr == "DT" && ranged && len(to) == 4 && !strings.Contains(to, "-") && len(from) > 8 {
		from, to, ranged = pattern, "", false // an offset from UTC
	}
	if !ranged {
		return strings.HasPrefix(v, strings.TrimRight(pattern, " ")) && pattern != ""
	}
	return v != "" && (from == "" || v >= from || strings.HasPrefix(v, from)) && (to == "" || v <= to || strings.HasPrefix(v, to))
}

// result is what a search finds, by tag as the JSON model writes it.
type result map[string]element

// set puts in an attribute that was worked out, or that others know better. No values: nothing is known.
func (r result) set(t dicom.Tag, vr string, values ...any) {
	r[t.Key()] = element{VR: vr, Value: values}
}

// matches reports whether a result matches the keys that keep takes.
func (r result) matches(keys []key, keep func(dicom.Tag) bool) bool {
	for _, k := range keys {
		if keep(k.tag) && !matches(r[k.tag.Key()], dicom.VROf(k.tag), k.pattern) {
			return false
		}
	}
	return true
}
