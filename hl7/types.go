package hl7

import (
	"fmt"
	"slices"
	"strings"
)

// Identifier is an identifier and who assigned it (CX, EI; HL7 2.5.1 2.A.14, 2.A.28).
type Identifier struct {
	ID              string
	Namespace       string // of the assigning authority
	UniversalID     string // of the assigning authority, as an OID or a UUID
	UniversalIDType string
	Type            string // CX-5, table 0203
}

// Authority is the assigning authority's namespace, or what else it is known by.
func (i Identifier) Authority() string {
	if i.Namespace != "" {
		return i.Namespace
	}
	return i.UniversalID
}

// CX reads a patient identifier such as PID-3 and MRG-1.
func (r Repetition) CX() Identifier {
	return Identifier{ID: r.Get("1"), Namespace: r.Get("4.1"), UniversalID: r.Get("4.2"), UniversalIDType: r.Get("4.3"), Type: r.Get("5")}
}

// XCN reads the identifier in front of a person's name, such as in OBR-16 and PV1-8 (HL7 2.5.1 2.A.88).
func (r Repetition) XCN() Identifier {
	return Identifier{ID: r.Get("1"), Namespace: r.Get("9.1"), UniversalID: r.Get("9.2"), UniversalIDType: r.Get("9.3"), Type: r.Get("13")}
}

// NDL reads a person such as in OBR-32 (HL7 2.5.1 2.A.47), whose identifier and name are the parts of the first component (CNN); where
// that has none, the components of XCN, as many write it.
func (r Repetition) NDL() (Identifier, string) {
	if r.Get("1.2") == "" && r.Get("1.3") == "" && (said(r.Get("2")) || said(r.Get("3"))) {
		return r.XCN(), PNOfXCN([]Repetition{r})
	}
	var parts []string
	for _, n := range nameOrder {
		parts = append(parts, strings.Map(nameRune, r.Get(fmt.Sprintf("1.%d", n+1))))
	}
	return Identifier{ID: r.Get("1.1"), Namespace: r.Get("1.9"), UniversalID: r.Get("1.10")}, strings.TrimRight(strings.Join(parts, "^"), "^")
}

// said says whether s is there and no time, such as follows a CNN.
func said(s string) bool { return s != "" && (len(s) < 4 || strings.Trim(s[:4], "0123456789") != "") }

// EI reads an entity identifier such as ORC-2 and OBR-18.
func (r Repetition) EI() Identifier {
	return Identifier{ID: r.Get("1"), Namespace: r.Get("2"), UniversalID: r.Get("3"), UniversalIDType: r.Get("4")}
}

// EI reads the first repetition of a field.
func (s *Segment) EI(field int) Identifier {
	for _, r := range s.Repetitions(field) {
		return r.EI()
	}
	return Identifier{}
}

func (s *Segment) setParts(field, repetition int, pathsAndTexts ...string) error {
	for i := 0; i < len(pathsAndTexts); i += 2 {
		if pathsAndTexts[i+1] == "" {
			continue
		}
		if err := s.Set(fmt.Sprintf("%d[%d].%s", field, repetition, pathsAndTexts[i]), pathsAndTexts[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// The components of XPN in the order in which PN has them (PS3.5 6.2): suffix and prefix change places.
var nameOrder = []int{1, 2, 3, 5, 4}

// The representations of a name (table 0465) in the order of PN's component groups.
var representations = []string{"A", "I", "P"}

// PN returns a person's name (XPN, such as PID-5) as DICOM writes it (PS3.5 6.2): of the repetitions the first, and those of
// other representations (XPN-8) as its ideographic and phonetic groups.
func PN(names []Repetition) string { return personName(names, 0, "8") }

// PNOfXCN is PN for fields that have an identifier in front of the name (XCN, such as OBR-16 and PV1-8).
func PNOfXCN(names []Repetition) string { return personName(names, 1, "15") }

func personName(names []Repetition, offset int, representation string) string {
	groups := make([]string, len(representations))
	for _, r := range names {
		code := strings.ToUpper(r.Get(representation))
		g := max(slices.Index(representations, code), 0)
		if groups[g] != "" {
			continue
		}
		var parts []string
		for _, n := range nameOrder {
			parts = append(parts, strings.Map(nameRune, r.Get(fmt.Sprint(n+offset))))
		}
		groups[g] = strings.TrimRight(strings.Join(parts, "^"), "^")
	}
	return strings.TrimRight(strings.Join(groups, "="), "=")
}

// nameRune leaves out what would be a delimiter of PN.
func nameRune(r rune) rune {
	if r < ' ' || r == 0x7F || strings.ContainsRune(`\^=`, r) {
		return ' '
	}
	return r
}

// SetPN writes a DICOM name into an XPN field, a repetition for each of its component groups.
func (s *Segment) SetPN(field int, pn string) error { return s.setName(field, pn, "", 0, 8) }

// SetXCN writes an identifier, which may be empty, and a DICOM name into an XCN field.
func (s *Segment) SetXCN(field int, id, pn string) error { return s.setName(field, pn, id, 1, 15) }

func (s *Segment) setName(field int, pn, id string, offset, representation int) error {
	repetition := 0
	groups := strings.Split(pn, "=")
	for g, group := range groups[:min(len(groups), len(representations))] {
		if group == "" && (g > 0 || id == "") {
			continue
		}
		repetition++
		set := []string{}
		if offset == 1 {
			set = append(set, "1", id)
		}
		for i, text := range strings.Split(group, "^") {
			if i < len(nameOrder) {
				set = append(set, fmt.Sprint(nameOrder[i]+offset), text)
			}
		}
		if len(groups) > 1 {
			set = append(set, fmt.Sprint(representation), representations[g])
		}
		if err := s.setParts(field, repetition, set...); err != nil {
			return err
		}
	}
	return nil
}
