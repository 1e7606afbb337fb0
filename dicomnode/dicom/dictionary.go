package dicom

import (
	"sort"
	"strconv"
	"strings"
)

//go:generate go run dictgen.go /usr/share/libdcmtk17/dicom.dic

const dictionaryRow = len("00080005CS")

// VROf returns the VR that PS3.6 gives to t, "UN" where it names none. Of elements with several it
// returns the unsigned or word one (US, OW); group lengths are UL, private creators LO.
func VROf(t Tag) string {
	group, element := t.Group(), t.Element()
	switch {
	case element == 0:
		return "UL"
	case group%2 == 1 && element >= 0x10 && element <= 0xFF:
		return "LO" // PS3.5 7.8.1
	case group%2 == 1:
		return "UN"
	case group&0xFF00 == 0x6000, group&0xFF00 == 0x5000:
		group &= 0xFF00 // repeating groups, PS3.5 7.6
	}
	var digits [8]byte
	for i := range digits {
		digits[i] = "0123456789ABCDEF"[(uint32(group)<<16|uint32(element))>>(28-4*i)&0xF]
	}
	key := string(digits[:])
	row := func(i int) string { return dictionary[i*dictionaryRow:][:dictionaryRow] }
	n := len(dictionary) / dictionaryRow
	i := sort.Search(n, func(i int) bool { return row(i)[:8] >= key })
	if i < n && row(i)[:8] == key {
		return row(i)[8:]
	}
	return "UN"
}

var byKeyword = func() map[string]Tag {
	all := map[string]Tag{}
	row := dictionary
	for keyword := range strings.FieldsSeq(keywords) {
		tag, _ := strconv.ParseUint(row[:8], 16, 32) // of a constant
		all[strings.ToLower(keyword)], row = Tag(tag), row[dictionaryRow:]
	}
	return all
}()

// TagOf returns the tag that PS3.6 gives a keyword, in whichever case it is written.
func TagOf(keyword string) (Tag, bool) {
	t, known := byKeyword[strings.ToLower(keyword)]
	return t, known
}
