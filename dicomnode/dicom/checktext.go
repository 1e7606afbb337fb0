package dicom

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxCharacters of one value (PS3.5 table 6.2-1). PN is limited by component group.
var maxCharacters = map[string]int{
	"AE": 16, "CS": 16, "DS": 16, "IS": 12, "LO": 64, "LT": 10240, "SH": 16, "ST": 1024, "UI": 64,
}

var textPatterns = map[string]*regexp.Regexp{
	"AS": regexp.MustCompile(`^\d{3}[DWMY]$`),
	"CS": regexp.MustCompile(`^[A-Z0-9_ ]+$`),
	"DA": regexp.MustCompile(`^\d{8}$`),
	"DS": regexp.MustCompile(`^[+-]?(\d+\.?|\d*\.\d+)([eE][+-]?\d+)?$`),
	"DT": regexp.MustCompile(`^\d{4,14}(\.\d{1,6})?([+-]\d{4})?$`),
	"IS": regexp.MustCompile(`^[+-]?\d+$`),
	"TM": regexp.MustCompile(`^\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?$`),
	"UR": regexp.MustCompile(`^\S+$`),
}

// MaxCharacters is how many characters, not bytes, a value of the VR has at most; 0 for PN, whose component groups are
// bounded, and for VRs without a bound of their own.
func MaxCharacters(vr string) int { return maxCharacters[vr] }

// CheckText says what PS3.5 6.2 does not allow in a value of a character VR, which is one of several where there are
// several. An empty value is allowed. The error does not quote it.
func CheckText(vr, value string) error {
	info := vrOf(vr)
	limit := maxCharacters[vr]
	switch {
	case value == "":
		return nil
	case !utf8.ValidString(value):
		return errors.New("text that is not UTF-8")
	case !info.charset && !isASCII(value):
		return fmt.Errorf("a character that %s does not have", vr)
	case !info.single && strings.ContainsRune(value, valueSeparator):
		return errors.New("a backslash within a value")
	case strings.ContainsFunc(value, func(r rune) bool {
		return unicode.IsControl(r) && !(info.single && strings.ContainsRune(textDelimiters, r))
	}):
		return errors.New("a control character")
	case limit > 0 && len(value) > limit && utf8.RuneCountInString(value) > limit:
		return fmt.Errorf("%d characters, %s allows %d", utf8.RuneCountInString(value), vr, limit)
	case textPatterns[vr] != nil && !textPatterns[vr].MatchString(value):
		return fmt.Errorf("a value that is none of %s", vr)
	case (vr == "DA" || vr == "TM" || vr == "DT") && !checkMoment(vr, value):
		return fmt.Errorf("a value that is none of %s", vr)
	case vr == "UI" && !UID(value).Valid():
		return errors.New("a value that is no UID")
	case vr == "PN":
		return checkName(value)
	}
	return nil
}

// checkName holds a person's name to PS3.5 6.2.1: three component groups of 64 characters and five components each.
func checkName(name string) error {
	groups := strings.Split(name, "=")
	if len(groups) > 3 {
		return fmt.Errorf("%d component groups, PN allows 3", len(groups))
	}
	for _, group := range groups {
		if n := utf8.RuneCountInString(group); n > 64 {
			return fmt.Errorf("%d characters in a component group, PN allows 64", n)
		}
		if n := strings.Count(group, "^"); n > 4 {
			return fmt.Errorf("%d components, PN allows 5", n+1)
		}
	}
	return nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
