package strict

import (
	"regexp"
	"strings"

	"endogate/dicomnode/dicom"
)

var (
	snomedCode    = regexp.MustCompile(`^[1-9][0-9]{5,15}$`) // as long as Code Value can be; SH, PS3.5 6.2
	dicomCode     = regexp.MustCompile(`^[0-9]{6}$`)         // PS3.16 annex D
	loincCode     = regexp.MustCompile(`^[0-9]{1,7}-[0-9]$`)
	codingSchemes = regexp.MustCompile(`^[A-Z0-9][A-Z0-9_.-]{0,15}$`)
)

// Code reads a coded concept: code, scheme and meaning.
func (v Value) Code() dicom.Code {
	f := v.Fields()
	defer f.Done()
	value, scheme := f.Required("code"), f.Required("scheme")
	c := dicom.Code{Value: value.Text(16), Scheme: scheme.Text(16), Meaning: f.Required("meaning").Text(64)}
	if c.Value == "" || c.Scheme == "" {
		return c
	}
	switch {
	case !codingSchemes.MatchString(c.Scheme):
		scheme.Fault("is %q; must be a Coding Scheme Designator such as SCT, DCM, LN or 99LOCAL", c.Scheme)
	case c.Scheme == "SCT" && !(snomedCode.MatchString(c.Value) && verhoeff(c.Value)):
		value.Fault("%q is not a SNOMED CT identifier: 6 to 16 digits of which the last one checks the others", c.Value)
	case c.Scheme == "DCM" && !dicomCode.MatchString(c.Value):
		value.Fault("%q is not a code of DICOM: 6 digits", c.Value)
	case c.Scheme == "LN" && !loincCode.MatchString(c.Value):
		value.Fault("%q is not a LOINC code: digits, '-' and a check digit", c.Value)
	case strings.TrimSpace(c.Value) != c.Value:
		value.Fault("%q must not begin or end with a space", c.Value)
	}
	return c
}

// verhoeff checks the last digit of a SNOMED CT identifier: multiplication in the
// dihedral group of order 10 over the permuted digits gives 0.
func verhoeff(digits string) bool {
	permutation := [10]int{1, 5, 7, 6, 2, 8, 3, 0, 9, 4}
	check := 0
	for i := range len(digits) {
		d := int(digits[len(digits)-1-i] - '0')
		for range i % 8 {
			d = permutation[d]
		}
		check = dihedral(check, d)
	}
	return check == 0
}

// dihedral multiplies in the symmetry group of the pentagon: 0 to 4 are rotations, 5 to 9 reflections.
func dihedral(a, b int) int {
	switch {
	case a < 5 && b < 5:
		return (a + b) % 5
	case a < 5:
		return 5 + (a+b-5)%5
	case b < 5:
		return 5 + (a-5-b+5)%5
	default:
		return (a - b + 5) % 5
	}
}
