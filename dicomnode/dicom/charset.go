package dicom

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/unicode/norm"
)

// At these the character set goes back to the first one of the data element (PS3.5 6.1.2.5.3).
const (
	valueSeparator  = '\\'
	textDelimiters  = "\t\n\f\r"
	valueDelimiters = textDelimiters + `\`
	nameDelimiters  = valueDelimiters + "^="
)

const escape = 0x1B

// graphic is a coded character set of one or two bytes a character.
type graphic struct {
	size   int
	decode func(b []byte) rune // of size bytes; U+FFFD for those it does not have
	encode encoding.Encoding   // with ASCII below it; nil where the set is only read
}

// characterSet is the meaning of a Specific Character Set (0008,0005). The zero value is the default repertoire.
type characterSet struct {
	whole  encoding.Encoding // for sets without code extensions, nil for the others
	utf8   bool
	g0, g1 *graphic // what a value begins with; nil: ASCII, nothing
	spare  *graphic // declared for G1: for bytes above 7F that no escape sequence has introduced
}

// designation is where an escape sequence puts a set.
type designation struct {
	set *graphic
	g1  bool
}

// sets are the defined terms of PS3.3 tables C.12-2 to C.12-4 by their number.
var sets = map[string]designation{
	"6":   {ascii, false},
	"100": {latin(charmap.ISO8859_1), true},
	"101": {latin(charmap.ISO8859_2), true},
	"109": {latin(charmap.ISO8859_3), true},
	"110": {latin(charmap.ISO8859_4), true},
	"144": {latin(charmap.ISO8859_5), true},
	"127": {latin(charmap.ISO8859_6), true},
	"126": {latin(charmap.ISO8859_7), true},
	"138": {latin(charmap.ISO8859_8), true},
	"148": {latin(charmap.ISO8859_9), true},
	"203": {latin(charmap.ISO8859_15), true},
	"166": {latin(charmap.Windows874), true}, // TIS 620
	"13":  {katakana, true},
	"87":  {jisX0208, false},
	"159": {jisX0212, false},
	"149": {pair(korean.EUCKR), true},
	"58":  {pair(simplifiedchinese.GBK), true}, // GB 2312 is its part from A1A1 on
}

// escapes are the sequences after ESC (PS3.3 tables C.12-3 and C.12-4).
var escapes = map[string]designation{
	"(B": sets["6"], "-A": sets["100"], "-B": sets["101"], "-C": sets["109"], "-D": sets["110"],
	"-L": sets["144"], "-G": sets["127"], "-F": sets["126"], "-H": sets["138"], "-M": sets["148"],
	"-b": sets["203"], "-T": sets["166"], "(J": {romaji, false}, ")I": sets["13"],
	"$B": sets["87"], "$@": sets["87"], "$(D": sets["159"], "$)C": sets["149"], "$)A": sets["58"],
}

var (
	ascii  = &graphic{1, func(b []byte) rune { return rune(b[0]) }, nil}
	romaji = &graphic{1, func(b []byte) rune { // JIS X 0201, ISO-IR 14
		switch b[0] {
		case '\\':
			return '¥'
		case '~':
			return '‾'
		}
		return rune(b[0])
	}, nil}
	katakana = &graphic{1, func(b []byte) rune { // JIS X 0201, ISO-IR 13
		if b[0] < 0xA1 || b[0] > 0xDF {
			return utf8.RuneError
		}
		return '｡' + rune(b[0]) - 0xA1
	}, nil}
	jisX0208 = &graphic{2, func(b []byte) rune { return one(japanese.EUCJP, b[0]|0x80, b[1]|0x80) }, nil}
	jisX0212 = &graphic{2, func(b []byte) rune { return one(japanese.EUCJP, 0x8F, b[0]|0x80, b[1]|0x80) }, nil}
)

func latin(m *charmap.Charmap) *graphic {
	return &graphic{1, func(b []byte) rune { return m.DecodeByte(b[0]) }, m}
}

func pair(e encoding.Encoding) *graphic {
	return &graphic{2, func(b []byte) rune { return one(e, b[0], b[1]) }, nil}
}

// one decodes the bytes of one character.
func one(e encoding.Encoding, b ...byte) rune {
	out, err := e.NewDecoder().Bytes(b)
	r, n := utf8.DecodeRune(out)
	if err != nil || n != len(out) {
		return utf8.RuneError
	}
	return r
}

// parseCharacterSet reads the value of (0008,0005). Spelling is taken loosely (ISO-IR 100, iso_ir_100);
// a term nobody defined leaves the default repertoire.
func parseCharacterSet(value string) characterSet {
	var c characterSet
	for i, term := range strings.Split(strings.Trim(value, " \x00"), `\`) {
		term = strings.NewReplacer("-", " ", "_", " ").Replace(strings.ToUpper(strings.TrimSpace(term)))
		for _, prefix := range []string{"ISO", " 2022", " IR", " "} {
			term = strings.TrimPrefix(term, prefix)
		}
		if i == 0 && c.first(term) {
			return c
		}
		d, known := sets[term]
		switch {
		case !known || !d.g1:
		case i == 0:
			c.g1 = d.set
		case c.spare == nil:
			c.spare = d.set
		}
	}
	return c
}

// first takes value 1 and reports whether it is a set without code extensions.
func (c *characterSet) first(term string) bool {
	switch term {
	case "192", "UTF 8", "UTF8":
		c.utf8 = true
	case "GB18030":
		c.whole = simplifiedchinese.GB18030
	case "GBK":
		c.whole = simplifiedchinese.GBK
	case "13":
		c.g0 = romaji
		return false
	default:
		return false
	}
	return true
}

// decode returns value as UTF-8. Of the bytes 5C only those that separate values come out as backslashes, where
// they are among the delimiters: in some sets 5C is the second byte of a character or a yen sign.
func (c characterSet) decode(value []byte, delimiters string) string {
	switch {
	case c.utf8:
		return strings.ToValidUTF8(string(value), "\uFFFD")
	case c.whole != nil:
		out, err := c.whole.NewDecoder().Bytes(value)
		if err != nil {
			return strings.Repeat("\uFFFD", len(value))
		}
		return string(out)
	case c == (characterSet{}) && bytes.IndexByte(value, escape) < 0 && utf8.Valid(value):
		return string(value) // what many writers mean who do not state a set
	}
	d := textDecoder{charset: c, delimiters: delimiters}
	d.reset()
	for len(value) > 0 {
		value = value[d.step(value):]
	}
	return d.out.String()
}

// encode returns s in the set, and false where the set lacks a character or is only read, as those with code extensions
// are.
func (c characterSet) encode(s string) (string, bool) {
	target := c.whole
	switch {
	case isASCII(s):
		return s, c.g0 != romaji || !strings.ContainsAny(s, `\~`)
	case c.utf8:
		return s, utf8.ValidString(s)
	case c.g1 != nil && c.g1.encode != nil && c.g0 == nil && c.spare == nil:
		target = c.g1.encode
	}
	if target == nil {
		return "", false
	}
	out, err := target.NewEncoder().String(s)
	for i := range len(out) {
		if c.whole == nil && out[i] >= 0x80 && out[i] < 0xA0 { // Windows 874 has more than TIS 620
			return "", false
		}
	}
	return out, err == nil
}

// textDecoder is the state of ISO/IEC 2022 code extension within one value.
type textDecoder struct {
	charset    characterSet
	delimiters string
	g0, g1     *graphic
	out        strings.Builder
}

func (d *textDecoder) reset() {
	d.g0, d.g1 = d.charset.g0, d.charset.g1
	if d.g0 == nil {
		d.g0 = ascii
	}
	if d.g1 == nil {
		d.g1 = d.charset.spare
	}
}

// step decodes the beginning of b and returns how many bytes it took.
func (d *textDecoder) step(b []byte) int {
	switch {
	case b[0] == escape:
		return d.designate(b)
	case b[0] <= ' ' || d.g0.size == 1 && b[0] < 0x80 && strings.IndexByte(d.delimiters, b[0]) >= 0:
		if b[0] != ' ' && strings.IndexByte(d.delimiters, b[0]) >= 0 {
			d.reset()
		}
		d.out.WriteByte(b[0])
		return 1
	case b[0] < 0x80:
		return d.character(d.g0, b)
	default:
		return d.character(d.g1, b)
	}
}

// designate obeys an escape sequence; one that nobody defined comes out as U+FFFD.
func (d *textDecoder) designate(b []byte) int {
	for _, n := range []int{3, 4} {
		if len(b) < n {
			break
		}
		to, ok := escapes[string(b[1:n])]
		switch {
		case !ok:
			continue
		case to.g1:
			d.g1 = to.set
		default:
			d.g0 = to.set
		}
		return n
	}
	d.out.WriteRune(utf8.RuneError)
	return 1
}

// character decodes one character of g.
func (d *textDecoder) character(g *graphic, b []byte) int {
	if g == katakana && len(b) > 1 && (b[0] < 0xA1 || b[0] > 0xDF) {
		// Writers that declare ISO_IR 13 and mean Shift JIS, of which it is a part.
		if r := one(japanese.ShiftJIS, b[0], b[1]); r != utf8.RuneError {
			d.out.WriteRune(r)
			return 2
		}
	}
	if g == nil || len(b) < g.size || g.size == 2 && (b[1]&0x7F <= ' ' || b[0]&0x80 != b[1]&0x80) {
		d.out.WriteRune(utf8.RuneError)
		return 1
	}
	d.out.WriteRune(g.decode(b[:g.size]))
	return g.size
}

// doubt ends a text that is a reading only: its bytes are not of the character set that is stated.
const doubt = " \uFFFD"

// Reading is a text as [Attributes.Reading] gives it, without its mark, and whether it had one.
func Reading(text string) (reading string, doubtful bool) {
	return strings.CutSuffix(text, doubt)
}

// exact reports whether a decoded text says what its bytes say: no character was lost, and none is a control character of
// the upper half, which the single-byte sets have in the place of another set's letters.
func exact(decoded string) bool {
	return !strings.ContainsFunc(decoded, func(r rune) bool { return r == utf8.RuneError || r >= 0x80 && r < 0xA0 })
}

// reading is what a value most likely says that is not of its character set: UTF-8 where it is valid; else, where the set is
// none, one of Western Europe or UTF-8, Windows 1252, of which that of ISO_IR 100 is a part; else what the set makes of it.
func (c characterSet) reading(value []byte, delimiters string) string {
	switch western := c.utf8 || c == (characterSet{}) || c == parseCharacterSet("ISO_IR 100"); {
	case bytes.IndexByte(value, escape) >= 0:
	case utf8.Valid(value):
		return string(value)
	case western:
		if s, err := charmap.Windows1252.NewDecoder().Bytes(value); err == nil && exact(string(s)) {
			return string(s)
		}
	}
	return c.decode(value, delimiters)
}

// likely is what a value says, or its reading where it is not of its character set.
func (c characterSet) likely(value []byte, delimiters string) string {
	if s := c.decode(value, delimiters); exact(s) {
		return s
	}
	return c.reading(value, delimiters)
}

// ASCII writes s in the default repertoire: letters without diacritics, and ? for what is none.
func ASCII(s string) string {
	if isASCII(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Mn, r):
			return -1
		case r >= utf8.RuneSelf:
			return '?'
		}
		return r
	}, norm.NFKD.String(likeASCII.Replace(s)))
}

// likeASCII are the letters and signs that no decomposition leads from.
var likeASCII = strings.NewReplacer("ß", "ss", "æ", "ae", "Æ", "Ae", "œ", "oe", "Œ", "Oe", "ø", "o", "Ø", "O", "ł", "l", "Ł", "L", "đ", "d", "Đ", "D",
	"ð", "d", "Ð", "D", "þ", "th", "Þ", "Th", "ı", "i", "–", "-", "—", "-", "‘", "'", "’", "'", "“", `"`, "”", `"`, "×", "x", "·", ".", "…", "...")

// DecodeText returns bytes of the character sets that a value of Specific Character Set (0008,0005) names as UTF-8, and
// false where they are not of these sets. Delimiters mean nothing in it.
func DecodeText(characterSet string, value []byte) (string, bool) {
	s := parseCharacterSet(characterSet).decode(value, "")
	return s, !strings.ContainsRune(s, utf8.RuneError)
}
