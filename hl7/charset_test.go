package hl7_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/hl7"
)

// named is a message of a patient whose name has the bytes given.
func named(charset, name string) []byte {
	return []byte("MSH|^~\\&|RIS|HOSP|ENDOGATE|ENDO|20260102||ADT^A04^ADT_A01|c1|P|2.5.1||||||" + charset + "\rPID|1||P9^^^HOSP||" + name + "||19700101\r")
}

func TestParse_characterSets(t *testing.T) {
	for _, row := range []struct{ name, charset, configured, bytes, family, given string }{
		{"ASCII", "", "", "Berg^Ida", "Berg", "Ida"},
		{"UTF-8", "UNICODE UTF-8", "", "Ødegård^Zoë", "Ødegård", "Zoë"},
		{"UTF-8 as others write it", "UTF-8", "", "Ødegård^Zoë", "Ødegård", "Zoë"},
		{"UNICODE", "UNICODE", "", "Ødegård^Zoë", "Ødegård", "Zoë"},
		{"UTF-8 after ASCII", "ASCII~UNICODE UTF-8", "", "Ødegård^Zoë", "Ødegård", "Zoë"},
		{"UTF-8 not stated", "", "", "Ødegård^Zoë", "Ødegård", "Zoë"},
		{"UTF-8 stated as ASCII", "ASCII", "", "Ødegård^Zoë", "Ødegård", "Zoë"},
		{"UTF-8 not stated, another configured", "", "Windows-1252", "Ødegård^Zoë", "Ødegård", "Zoë"},
		{"UTF-8 stated, another configured", "UNICODE UTF-8", "Windows-1252", "Ødegård^Zoë", "Ødegård", "Zoë"},
		{"Latin-1", "8859/1", "", "\xD8deg\xE5rd^Zo\xEB", "Ødegård", "Zoë"},
		{"Latin-1, another spelling", "ISO-8859-1", "", "\xD8deg\xE5rd^Zo\xEB", "Ødegård", "Zoë"},
		{"Latin-1 with letters of Windows-1252", "8859/1", "", "\x8Aim\xE9^\x8Eofie", "Šimé", "Žofie"},
		{"Latin-1 after ASCII", "ASCII~8859/1", "", "\xD8deg\xE5rd^Zo\xEB", "Ødegård", "Zoë"},
		{"8859/2", "8859/2", "", "\xA9im\xE1k^Old\xF8ich", "Šimák", "Oldřich"},
		{"8859/5", "8859/5", "", "\xB8\xD2\xD0\xDD\xDE\xD2^\xB0\xDD\xDD\xD0", "Иванов", "Анна"},
		{"8859/7", "8859/7", "", "\xD0\xE1\xF0\xDC\xF2", "Παπάς", ""},
		{"8859/9", "8859/9", "", "\xDEahin^\xDDnci", "Şahin", "İnci"},
		{"8859/15", "8859/15", "", "\xA6k^\xBCu", "Šk", "Œu"},
		{"Windows-1252 stated", "Windows-1252", "", "\x8Aim\xE9^\x8Eofie", "Šimé", "Žofie"},
		{"CP1252 stated", "CP1252", "", "\x8Aim\xE9^\x8Eofie", "Šimé", "Žofie"},
		{"Windows-1252 configured", "", "windows-1252", "\x8Aim\xE9^\x8Eofie", "Šimé", "Žofie"},
		{"Windows-1250 configured, Latin-1 stated", "8859/1", "windows-1250", "\x8Aim\xE1k^\xF8", "Šimák", "ř"},
		{"Windows-1251", "WINDOWS1251", "", "\xC8\xE2\xE0\xED\xEE\xE2", "Иванов", ""},
		{"KOI8-R", "KOI8-R", "", "\xE9\xD7\xC1\xCE\xCF\xD7", "Иванов", ""},
		{"a set nobody knows, text that is ASCII", "EBCDIC", "", "Berg^Ida", "Berg", "Ida"},
		{"a set nobody knows, another configured", "EBCDIC", "8859/1", "\xD8deg\xE5rd^Zo\xEB", "Ødegård", "Zoë"},
		{"ISO IR87 after ASCII", "ASCII~ISO IR87", "", "\x1B$B;3ED\x1B(B^\x1B$BB@O:\x1B(B", "山田", "太郎"},
		{"ISO IR87 after nothing", "~ISO IR87", "", "\x1B$B;3ED\x1B(B^\x1B$BB@O:\x1B(B", "山田", "太郎"},
		{"ISO IR87 alone", "ISO IR87", "", "\x1B$B;3ED\x1B(B^\x1B$BB@O:\x1B(B", "山田", "太郎"},
		{"ISO IR87 not stated", "", "", "\x1B$B;3ED\x1B(B^\x1B$BB@O:\x1B(B", "山田", "太郎"},
		{"ISO IR87 not stated, another configured", "", "Windows-1252", "\x1B$B;3ED\x1B(B^\x1B$BB@O:\x1B(B", "山田", "太郎"},
		{"ISO IR87 stated, another configured", "ASCII~ISO IR87", "Windows-1252", "\x1B$B;3ED\x1B(B^\x1B$BB@O:\x1B(B", "山田", "太郎"},
		{"delimiters within characters", "ASCII~ISO IR87", "", "\x1B$B4|7^5~\x1B(B^\x1B$B!\\!&\x1B(B", "期迎京", "＋・"},
		{"Latin-1 and ISO IR87", "8859/1~ISO IR87", "", "\xD8deg\xE5rd^\x1B$BB@O:\x1B(B", "Ødegård", "太郎"},
		{"ISO IR159", "ASCII~ISO IR87~ISO IR159", "", "\x1B$(D0!\x1B(B^A", "丂", "A"},
		{"KS X 1001", "KS X 1001", "", "\xB1\xE8^\xC8\xF1\xC1\xDF", "김", "희중"},
		{"KS X 1001 by escape sequences", "ASCII~KS X 1001", "", "\xB1\xE8^\xC8\xF1\xC1\xDF", "김", "희중"},
		{"GB 18030", "GB 18030-2000", "", "\xCD\xF5^\x81\x30\x89\x38\x81\x7C", "王", "ß亅"},
		{"Big5 with a delimiter's byte", "BIG-5", "", "\xB3\x5C^\xA5\x7C", "許", "四"},
		{"Shift_JIS with an escape character's byte", "Shift_JIS", "", "\x95\x5C^\xB1", "表", "ｱ"},
	} {
		t.Run(row.name, func(t *testing.T) {
			in := named(row.charset, row.bytes)
			m, err := hl7.Parse(in, hl7.Options{Charset: row.configured})
			require.NoError(t, err)
			assert.Equal(t, row.family, m.Get("PID-5.1"))
			assert.Equal(t, row.given, m.Get("PID-5.2"))
			assert.Equal(t, "19700101", m.Get("PID-7"), "the fields after it keep their places")
			require.NoError(t, m.Set("PID-8", "F"))
			assert.Equal(t, strings.TrimSuffix(string(in), "\r")+"|F\r", string(m.Bytes()))
		})
	}
}

// What cannot be told for sure is refused by its place, and the answer can still be given.
func TestParse_textThatIsNotSure(t *testing.T) {
	for _, row := range []struct {
		name, charset, configured, bytes string
		code                             hl7.ErrorCode
		path                             string
	}{
		{"CP1252 not stated", "", "", "\x8Aim\xE9^\x8Eofie", hl7.DataType, "PID-5"},
		{"CP1252 as ASCII", "ASCII", "", "\x8Aim\xE9^\x8Eofie", hl7.DataType, "PID-5"},
		{"CP1252 as UTF-8", "UNICODE UTF-8", "", "\x8Aim\xE9^\x8Eofie", hl7.DataType, "PID-5"},
		{"a byte that Windows-1252 lacks", "Windows-1252", "", "a\x81", hl7.DataType, "PID-5"},
		{"controls in 8859/2", "8859/2", "", "\x8Aim\xE1k", hl7.DataType, "PID-5"},
		{"half a character", "GB 18030-2000", "", "a\x81\x30\x89", hl7.DataType, "PID-5"},
		{"unknown escape sequence", "ASCII~ISO IR87", "", "\x1B%G\xE5", hl7.DataType, "PID-5"},
		{"a set nobody knows", "EBCDIC", "", "\xD8deg\xE5rd", hl7.TableValueNotFound, "MSH-18"},
		{"more sets than there are", strings.Repeat("ASCII~ISO IR87~", 20), "", "\xD8", hl7.TableValueNotFound, "MSH-18"},
		{"UTF-16 stated", "UNICODE UTF-16", "", "\xD8deg\xE5rd", hl7.TableValueNotFound, "MSH-18"},
		{"a set nobody knows configured", "", "EBCDIC", "Berg", hl7.ApplicationInternal, ""},
		{"NUL", "", "", "B\x00e\x00", hl7.DataType, "PID"},
	} {
		t.Run(row.name, func(t *testing.T) {
			m, err := hl7.Parse(named(row.charset, row.bytes), hl7.Options{Charset: row.configured})
			var e *hl7.Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, row.code, e.Code)
			assert.Equal(t, row.path, e.Path)
			assert.Equal(t, hl7.AE, hl7.CodeOf(err))
			assert.NotContains(t, m.Get("PID-5"), "\uFFFD")
			ack := reparse(t, hl7.Ack(m, hl7.AE, err, time.Unix(0, 0)))
			assert.Equal(t, "c1", ack.Get("MSA-2"))
			assert.NotContains(t, string(ack.Bytes()), "im\xE9")
		})
	}
}

func reparse(t *testing.T, m *hl7.Message) *hl7.Message {
	t.Helper()
	again, err := hl7.Parse(m.Bytes(), hl7.Options{})
	require.NoError(t, err, "%q", m.Bytes())
	return again
}

func TestNew_characterSets(t *testing.T) {
	for _, row := range []struct {
		charset, text, bytes string
		ok                   bool
	}{
		{"UNICODE UTF-8", "Žofie 太郎", "Žofie 太郎", true},
		{"8859/1", "Ødegård", "\xD8deg\xE5rd", true},
		{"8859/1", "Žofie", "", false}, // a letter of Windows-1252 alone
		{"8859/2", "Žofie", "\xAEofie", true},
		{"8859/2", "太郎", "", false},
		{"", "Ødegård", "", false},
		{"BIG-5", "許|", "\xB3\x5C\\F\\", true},
		{"UNICODE UTF-8", "\xFF", "", false},
	} {
		t.Run(row.charset+" "+row.text, func(t *testing.T) {
			m, err := hl7.New(hl7.Recommended, row.charset)
			require.NoError(t, err)
			err = m.Set("PID-5", row.text)
			require.Equal(t, row.ok, err == nil, "%v", err)
			if !row.ok {
				assert.Nil(t, m.Segment("PID"), "nothing is set")
				assert.NotContains(t, err.Error(), row.text)
				return
			}
			assert.Contains(t, string(m.Bytes()), "PID|||||"+row.bytes+"\r")
			assert.Equal(t, row.text, reparse(t, m).Get("PID-5"))
		})
	}
	_, err := hl7.New(hl7.Recommended, "EBCDIC")
	require.Error(t, err)
}

func TestKnownCharset(t *testing.T) {
	for _, name := range append(hl7.CharsetNames, "", "utf8", "windows1250", "cp1251", "1252", "latin1", "iso-8859-2") {
		assert.True(t, hl7.KnownCharset(name), name)
	}
	for _, name := range []string{"EBCDIC", "UTF-16", "UNICODE UTF-32", "8859/99", "CNS 11643-1992", "replacement"} {
		assert.False(t, hl7.KnownCharset(name), name)
	}
}
