package hl7

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"

	"endogate/dicomnode/dicom"
)

// charset is what the bytes of a message mean. The zero value has ASCII and nothing else.
type charset struct {
	utf8     bool
	encoding encoding.Encoding  // of a set without code extensions
	ir       string             // its number in the ISO registry, where it can be one of several
	extended string             // with the code extensions of ISO 2022: all sets, as PS3.3 C.12.1.1.2 names them
	length   func(b []byte) int // of a character that does not begin with an ASCII byte; nil where no delimiter can be in one
}

func (c charset) isASCII() bool { return !c.utf8 && c.encoding == nil && c.extended == "" }

var (
	ascii       = charset{ir: "6"}
	utf8Charset = charset{utf8: true}
	gb18030     = charset{encoding: simplifiedchinese.GB18030, length: gb18030Length}
)

// charsets are the sets of table 0211 (HL7 2.8 2.C.2) and what senders write in its place, as key spells them.
// Others are looked for among the names of the WHATWG.
var charsets = map[string]charset{
	"": ascii, "ASCII": ascii, "USASCII": ascii, "IR6": ascii, "646": ascii,
	"UNICODEUTF8": utf8Charset, "UTF8": utf8Charset, "UNICODE": utf8Charset, "IR192": utf8Charset,
	"88591": latin(charmap.ISO8859_1, "100"), "IR100": latin(charmap.ISO8859_1, "100"), "LATIN1": latin(charmap.ISO8859_1, "100"),
	"88592": latin(charmap.ISO8859_2, "101"), "IR101": latin(charmap.ISO8859_2, "101"),
	"88593": latin(charmap.ISO8859_3, "109"), "IR109": latin(charmap.ISO8859_3, "109"),
	"88594": latin(charmap.ISO8859_4, "110"), "IR110": latin(charmap.ISO8859_4, "110"),
	"88595": latin(charmap.ISO8859_5, "144"), "IR144": latin(charmap.ISO8859_5, "144"),
	"88596": latin(charmap.ISO8859_6, "127"), "IR127": latin(charmap.ISO8859_6, "127"),
	"88597": latin(charmap.ISO8859_7, "126"), "IR126": latin(charmap.ISO8859_7, "126"),
	"88598": latin(charmap.ISO8859_8, "138"), "IR138": latin(charmap.ISO8859_8, "138"),
	"88599": latin(charmap.ISO8859_9, "148"), "IR148": latin(charmap.ISO8859_9, "148"),
	"885910": latin(charmap.ISO8859_10, ""), "885913": latin(charmap.ISO8859_13, ""), "885914": latin(charmap.ISO8859_14, ""),
	"885915": latin(charmap.ISO8859_15, "203"), "IR203": latin(charmap.ISO8859_15, "203"), "885916": latin(charmap.ISO8859_16, ""),
	"GB180302000": gb18030, "GB18030": gb18030,
	"BIG5":    {encoding: traditionalchinese.Big5, length: pairLength},
	"KSX1001": {encoding: korean.EUCKR, ir: "149", length: pairLength},
	"IR149":   {ir: "149"}, "IR58": {ir: "58"},
	"IR13": {ir: "13"}, "IR14": {ir: "13"}, "JISX0201": {ir: "13"},
	"IR87": {ir: "87"}, "JISX0202": {ir: "87"}, "JISX0208": {ir: "87"}, "2022JP": {ir: "87"},
	"IR159": {ir: "159"}, "JISX0212": {ir: "159"},
}

// CharsetNames are the character sets that are read, as table 0211 and senders name them; the names may be spelt otherwise.
var CharsetNames = []string{
	"ASCII", "8859/1", "8859/2", "8859/3", "8859/4", "8859/5", "8859/6", "8859/7", "8859/8", "8859/9", "8859/10", "8859/13",
	"8859/14", "8859/15", "8859/16", "UNICODE UTF-8", "ISO IR6", "ISO IR14", "ISO IR87", "ISO IR159", "JIS X 0202", "GB 18030-2000", "KS X 1001", "BIG-5",
	"Windows-1250", "Windows-1251", "Windows-1252", "Windows-1253", "Windows-1254", "Windows-1255", "Windows-1256", "Windows-1257", "Windows-1258",
	"Windows-874", "KOI8-R", "IBM866", "Shift_JIS", "EUC-JP", "EUC-KR", "GBK",
}

func latin(m *charmap.Charmap, ir string) charset { return charset{encoding: m, ir: ir} }

func pairLength([]byte) int { return 2 }

func gb18030Length(b []byte) int {
	if len(b) > 1 && b[1] >= '0' && b[1] <= '9' {
		return 4
	}
	return 2
}

func shiftJISLength(b []byte) int {
	if b[0] >= 0xA1 && b[0] <= 0xDF {
		return 1
	}
	return 2
}

// KnownCharset reports whether name is one that Options.Charset or MSH-18 may have.
func KnownCharset(name string) bool {
	_, ok := charsetOf([]string{name})
	return ok
}

// maxNames bounds the repetitions of MSH-18: every text is decoded by all of them.
const maxNames = 16

// charsetOf returns the set that the repetitions of MSH-18 name: the first is what text begins with, the others what
// escape sequences may bring.
func charsetOf(names []string) (charset, bool) {
	if len(names) > maxNames {
		return charset{}, false
	}
	var beyond []charset // ASCII
	var terms []string
	for _, name := range names {
		c, ok := named(name)
		switch {
		case !ok:
			return charset{}, false
		case c.utf8:
			return c, true
		case c.ir != ascii.ir:
			beyond = append(beyond, c)
		}
		terms = append(terms, "ISO 2022 IR "+c.ir)
	}
	switch {
	case len(beyond) == 0:
		return ascii, true
	case len(beyond) == 1 && beyond[0].encoding != nil:
		return beyond[0], true
	case slices.ContainsFunc(beyond, func(c charset) bool { return c.ir == "" }):
		return charset{}, false // no escape sequence leads to it
	}
	return charset{extended: strings.Join(terms, `\`)}, true
}

func named(name string) (charset, bool) {
	name = strings.ToUpper(strings.TrimSpace(name))
	key := strings.NewReplacer("-", "", "_", "", " ", "", "/", "", ".", "").Replace(name)
	if c, ok := charsets[key]; ok {
		return c, true
	}
	if c, ok := charsets[strings.TrimPrefix(key, "ISO")]; ok {
		return c, true
	}
	for _, name := range []string{name, "WINDOWS-" + strings.TrimLeft(key, "CPWINDOS")} {
		e, err := htmlindex.Get(name)
		if err != nil {
			continue
		}
		switch canonical, _ := htmlindex.Name(e); canonical {
		case "utf-16be", "utf-16le", "replacement", "x-user-defined", "iso-2022-jp":
			return charset{}, false
		case "gbk", "gb18030":
			return charset{encoding: e, length: gb18030Length}, true
		case "big5", "euc-kr", "euc-jp":
			return charset{encoding: e, length: pairLength}, true
		case "shift_jis":
			return charset{encoding: e, length: shiftJISLength}, true
		}
		return charset{encoding: e}, true
	}
	return charset{}, false
}

// decode returns b as UTF-8, and false where b is not of the set.
func (c charset) decode(b []byte) (string, bool) {
	if isASCII(b) && (c.extended == "" || bytes.IndexByte(b, asciiEscape) < 0) {
		return string(b), true
	}
	var text string
	ok := true
	switch {
	case c.extended != "":
		text, ok = dicom.DecodeText(c.extended, b)
	case c.encoding == nil: // also of \X..\ in a message that is ASCII else
		return strings.ToValidUTF8(string(b), "?"), utf8.Valid(b)
	case c.encoding == charmap.ISO8859_1: // who says so and sends 80 to 9F means its superset
		text, _ = charmap.Windows1252.NewDecoder().String(string(b))
	default:
		text, _ = c.encoding.NewDecoder().String(string(b))
	}
	if !ok || strings.ContainsFunc(text, lost) {
		return strings.ToValidUTF8(string(b), "?"), false
	}
	return text, true
}

// lost tells what no text has: the sign for what could not be decoded, and the controls that are letters in the set of
// another maker.
func lost(r rune) bool { return r == utf8.RuneError || r >= 0x80 && r < 0xA0 }

var errCharacter = errors.New("hl7: the text has characters that the message's character set lacks: build the message in UNICODE UTF-8")

// encode returns s in the set.
func (c charset) encode(s string) ([]byte, error) {
	switch {
	case isASCII([]byte(s)):
		return []byte(s), nil
	case !utf8.ValidString(s):
		return nil, errors.New("hl7: the text is not UTF-8")
	case c.utf8:
		return []byte(s), nil
	case c.encoding == nil:
		return nil, errCharacter
	}
	b, err := c.encoding.NewEncoder().Bytes([]byte(s))
	if back, ok := c.decode(b); err != nil || !ok || back != s { // tables that lead to one letter from two
		return nil, errCharacter
	}
	return b, nil
}

// index returns where sep stands in b the first time, as a character of its own, or -1: in some sets a delimiter's byte
// is half of a character.
func (c charset) index(b []byte, sep byte) int {
	switch {
	case c.extended != "":
		return indexExtended(b, sep)
	case c.length == nil:
		return bytes.IndexByte(b, sep)
	}
	for i := 0; i < len(b); {
		switch {
		case b[i] == sep:
			return i
		case b[i] > 0x80:
			i += c.length(b[i:])
		default:
			i++
		}
	}
	return -1
}

// indexExtended is index between the escape sequences of ISO 2022 that put a set of two bytes a character into G0 and
// those that bring ASCII back.
func indexExtended(b []byte, sep byte) int {
	wide := false
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] == 0x1B && i+2 < len(b) && b[i+1] == '$' && b[i+2] != ')':
			wide = true
			if b[i+2] == '(' {
				i++
			}
			i += 2
		case b[i] == 0x1B && i+2 < len(b) && b[i+1] == '(':
			wide = false
			i += 2
		case b[i] == sep && !wide:
			return i
		case wide && b[i] > ' ':
			i++
		}
	}
	return -1
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// DecodeText returns a text of the character set of the name (as of Options.Charset) as UTF-8, and false where it is not of that.
func DecodeText(name string, b []byte) (string, bool) {
	c, ok := charsetOf([]string{name})
	if !ok {
		return "", false
	}
	return c.decode(b)
}
