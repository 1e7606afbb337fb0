package dicom

// vrInfo is what the encoding and the text rules need to know of a VR (PS3.5 table 6.2-1).
type vrInfo struct {
	name    string
	long    bool // explicit VR: two reserved bytes and a 32-bit length (PS3.5 table 7.1-1)
	text    bool // characters, values separated by backslashes
	single  bool // text that is one value whatever it holds
	charset bool // text in the Specific Character Set
	word    int  // bytes of one binary number, 0 where byte order does not matter
}

// vrTable is keyed by the two letters of the VR as they stand in an explicit data set.
var vrTable = map[[2]byte]vrInfo{
	{'A', 'E'}: {name: "AE", text: true},
	{'A', 'S'}: {name: "AS", text: true},
	{'A', 'T'}: {name: "AT", word: 2},
	{'C', 'S'}: {name: "CS", text: true},
	{'D', 'A'}: {name: "DA", text: true},
	{'D', 'S'}: {name: "DS", text: true},
	{'D', 'T'}: {name: "DT", text: true},
	{'F', 'D'}: {name: "FD", word: 8},
	{'F', 'L'}: {name: "FL", word: 4},
	{'I', 'S'}: {name: "IS", text: true},
	{'L', 'O'}: {name: "LO", text: true, charset: true},
	{'L', 'T'}: {name: "LT", text: true, single: true, charset: true},
	{'O', 'B'}: {name: "OB", long: true},
	{'O', 'D'}: {name: "OD", long: true, word: 8},
	{'O', 'F'}: {name: "OF", long: true, word: 4},
	{'O', 'L'}: {name: "OL", long: true, word: 4},
	{'O', 'V'}: {name: "OV", long: true, word: 8},
	{'O', 'W'}: {name: "OW", long: true, word: 2},
	{'P', 'N'}: {name: "PN", text: true, charset: true},
	{'S', 'H'}: {name: "SH", text: true, charset: true},
	{'S', 'L'}: {name: "SL", word: 4},
	{'S', 'Q'}: {name: "SQ", long: true},
	{'S', 'S'}: {name: "SS", word: 2},
	{'S', 'T'}: {name: "ST", text: true, single: true, charset: true},
	{'S', 'V'}: {name: "SV", long: true, word: 8},
	{'T', 'M'}: {name: "TM", text: true},
	{'U', 'C'}: {name: "UC", long: true, text: true, charset: true},
	{'U', 'I'}: {name: "UI", text: true},
	{'U', 'L'}: {name: "UL", word: 4},
	{'U', 'N'}: {name: "UN", long: true},
	{'U', 'R'}: {name: "UR", long: true, text: true, single: true},
	{'U', 'S'}: {name: "US", word: 2},
	{'U', 'T'}: {name: "UT", long: true, text: true, single: true, charset: true},
	{'U', 'V'}: {name: "UV", long: true, word: 8},
}

// vrRows are the rows of vrTable by the first and second letter: an element costs no hashing.
var vrRows = func() (rows [26][26]vrInfo) {
	for vr, info := range vrTable {
		rows[vr[0]-'A'][vr[1]-'A'] = info
	}
	return rows
}()

// vrAt finds the row of the VR of two letters.
func vrAt(first, second byte) (info vrInfo, known bool) {
	if i, j := first-'A', second-'A'; i < 26 && j < 26 {
		info = vrRows[i][j]
	}
	return info, info.name != ""
}

// vrOf finds the row of a VR by name; unknown names behave like UN.
func vrOf(name string) vrInfo {
	if info, ok := lookupVR(name); ok {
		return info
	}
	info, _ := vrAt('U', 'N')
	return info
}

func lookupVR(name string) (vrInfo, bool) {
	if len(name) != 2 {
		return vrInfo{}, false
	}
	return vrAt(name[0], name[1])
}

// pad is what a value of odd length ends with (PS3.5 6.2).
func (info vrInfo) pad() byte {
	if info.text && info.name != "UI" {
		return ' '
	}
	return 0
}
