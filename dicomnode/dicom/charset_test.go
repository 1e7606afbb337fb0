package dicom

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const esc = "\x1b"

func TestText_characterSets(t *testing.T) {
	for _, row := range []struct{ name, charset, in, want string }{
		{"default", "", "Smith^John", "Smith^John"},
		{"default, byte of no set", "", "M\xfcller", "M\uFFFDller"},
		{"IR 6", "ISO_IR 6", "Smith", "Smith"},
		{"unknown term", "ISO_IR 999", "M\xfcller", "M\uFFFDller"},
		{"Latin 1", "ISO_IR 100", "Buc^J\xe9r\xf4me", "Buc^Jérôme"},                               // PS3.5 G
		{"Latin 1, loosely spelt", "iso-ir-100 ", "\xc4neas^R\xfcdiger", "Äneas^Rüdiger"},         // dclunie SCSGERM
		{"Latin 2", "ISO_IR 101", "Wa\xb3\xeasa", "Wałęsa"},                                       //
		{"Latin 3", "ISO_IR 109", "\xa1ebba", "Ħebba"},                                            //
		{"Latin 4", "ISO_IR 110", "Lat\xa2ija", "Latĸija"},                                        //
		{"Cyrillic", "ISO_IR 144", "\xbb\xee\xda\x63\x65\xdc\xd1\xe3\xe0\xd3", "Люкceмбург"},      // dclunie SCSRUSS
		{"Arabic", "ISO_IR 127", "\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1", "قباني^لنزار"},      // SCSARAB
		{"Greek", "ISO_IR 126", "\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", "Διονυσιος"},              // SCSGREEK
		{"Hebrew", "ISO_IR 138", "\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4", "שרון^דבורה"},           // SCSHBRW
		{"Latin 5", "ISO_IR 148", "\xc7avu\xfeo\xf0lu", "Çavuşoğlu"},                              //
		{"Latin 9", "ISO_IR 203", "\xa4uro", "€uro"},                                              //
		{"Thai", "ISO_IR 166", "\xca\xc1\xaa\xd2\xc2", "สมชาย"},                                   //
		{"UTF-8", "ISO_IR 192", "Wang^XiaoDong=王^小东=", "Wang^XiaoDong=王^小东="},                     // PS3.5 J.1
		{"UTF-8, broken", "ISO_IR 192", "M\xfcller", "M\uFFFDller"},                               //
		{"GB18030", "GB18030", "Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "Wang^XiaoDong=王^小东="}, // PS3.5 J.2
		{"GBK, second byte 5C and 5E", "GBK", "\x81\x5c^\x81\x5e", "乗^乛"},
		{"katakana and romaji", "ISO_IR 13", "\xd4\xcf\xc0\xde^\xc0\xdb\xb3~", "ﾔﾏﾀﾞ^ﾀﾛｳ‾"},
		{"Shift JIS called IR 13", "ISO_IR 13", "\x83\x84\x83\x7d\x83\x5c", "ヤマソ"},
		{
			"PS3.5 H.3.1: Japanese in three groups", `\ISO 2022 IR 87`,
			"Yamada^Tarou=" + esc + "$B;3ED" + esc + "(B^" + esc + "$BB@O:" + esc + "(B=" + esc + "$B$d$^$@" + esc + "(B^" + esc + "$B$?$m$&" + esc + "(B",
			"Yamada^Tarou=山田^太郎=やまだ^たろう",
		},
		{
			"PS3.5 H.3.2: with katakana", `ISO 2022 IR 13\ISO 2022 IR 87`,
			"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=" + esc + "$B;3ED" + esc + "(J^" + esc + "$BB@O:" + esc + "(J=" + esc + "$B$d$^$@" + esc + "(J^" + esc + "$B$?$m$&" + esc + "(J",
			"ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
		},
		{"JIS X 0212", `\ISO 2022 IR 87\ISO 2022 IR 159`, esc + "$(D\"/" + esc + "(B^A", "˘^A"},
		{
			"PS3.5 I.2: Korean", `\ISO 2022 IR 149`,
			"Hong^Gildong=" + esc + "$)C\xfb\xf3^" + esc + "$)C\xd1\xce\xd4\xd7=" + esc + "$)C\xc8\xab^" + esc + "$)C\xb1\xe6\xb5\xbf",
			"Hong^Gildong=洪^吉洞=홍^길동",
		},
		{"Korean without escapes", `\ISO 2022 IR 149`, "Hong=\xfb\xf3=\xc8\xab", "Hong=洪=홍"},
		{
			"PS3.5 K.2: Chinese", `\ISO 2022 IR 58`,
			"Zhang^XiaoDong=" + esc + "$)A\xd5\xc5^" + esc + "$)A\xd0\xa1\xb6\xab=", "Zhang^XiaoDong=张^小东=",
		},
		{
			"Latin 1 and Greek", `ISO 2022 IR 100\ISO 2022 IR 126`,
			"M\xfcller^" + esc + "-F\xc4\xe9\xef=\xfc", "Müller^Διο=ü", // = brings value 1 back
		},
		{"UTF-8 without a set", "", "Müller^山田", "Müller^山田"},
		{"UTF-8 where ASCII is stated", "ISO_IR 6", "Müller", "Müller"},
		{"Latin 1 without a set", "", "M\xfcller", "M\uFFFDller"},
		{"unknown escape", `\ISO 2022 IR 87`, "a" + esc + "%Gb", "a\uFFFD%Gb"},
		{"escape at the end", `\ISO 2022 IR 87`, "a" + esc, "a\uFFFD"},
		{"half a character", `\ISO 2022 IR 87`, esc + "$B;", "\uFFFD"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := &Attributes{elements: []Element{{Tag: PatientName, VR: "PN", Value: []byte(row.in)}}}
			a.charset = parseCharacterSet(row.charset)
			assert.Equal(t, row.want, a.Text(PatientName))
		})
	}
}

func TestTexts_splitsAfterDecoding(t *testing.T) {
	a := &Attributes{charset: parseCharacterSet("GB18030"), elements: []Element{
		{Tag: StudyDescription, VR: "LO", Value: []byte("\x81\x5c\\ b \\\x81\x5c ")},
		{Tag: 0x00204000, VR: "LT", Value: []byte(" a\\b  ")},
		{Tag: ImageType, VR: "CS", Value: []byte(`ORIGINAL\PRIMARY `)},
	}}
	assert.Equal(t, []string{"乗", "b", "乗"}, a.Texts(StudyDescription))
	assert.Equal(t, []string{` a\b`}, a.Texts(0x00204000))
	assert.Equal(t, []string{"ORIGINAL", "PRIMARY"}, a.Texts(ImageType))
	assert.Empty(t, a.Texts(PatientID))
}

func TestText_itemHasItsOwnCharacterSet(t *testing.T) {
	e := newEncoder(ExplicitVRLittleEndian, false).text(SpecificCharacterSet, "CS", "ISO_IR 100")
	e.sequence(OtherPatientIDsSequence,
		func(i *encoder) { i.text(PatientID, "LO", "\xfc") },
		func(i *encoder) { i.text(SpecificCharacterSet, "CS", "ISO_IR 144").text(PatientID, "LO", "\xbb") })
	a, err := ReadAttributes(bytes.NewReader(e.Bytes()), e.ts)
	require.NoError(t, err)
	assert.Equal(t, "ü", a.Item(OtherPatientIDsSequence, 0).Text(PatientID))
	assert.Equal(t, "Л", a.Item(OtherPatientIDsSequence, 1).Text(PatientID))
}

func TestAttributesDataset(t *testing.T) {
	everyEncoding(t, func(t *testing.T, uid UID, undefined bool) {
		e := sample(uid, undefined)
		a, err := ReadAttributes(bytes.NewReader(e.dataset(t)), e.ts)
		require.NoError(t, err)
		r := written(t, a.Dataset(), ExplicitVRLittleEndian)
		assert.Equal(t, a.Header(), r.Header())
		charset, _ := r.Get(SpecificCharacterSet)
		assert.Equal(t, "ISO_IR 192", string(charset.Value))
		name, _ := r.Get(PatientName)
		assert.Equal(t, "Müller^Jörg ", string(name.Value))
		rows, _ := r.Get(Rows)
		assert.Equal(t, []byte{4, 0}, rows.Value)
	})
	assert.Equal(t, Dataset{SpecificCharacterSet: Text{"ISO_IR 192"}}, (*Attributes)(nil).Dataset())
}

func FuzzText(f *testing.F) {
	f.Add(`\ISO 2022 IR 87`, "Yamada="+esc+"$B;3ED"+esc+"(B", "PN")
	f.Add("GB18030", "\x81\x5c\\", "LO")
	f.Add("ISO_IR 192", "\xff", "LT")
	f.Add(`ISO 2022 IR 13\ISO 2022 IR 149`, esc+"$)C\xb1", "SH")
	f.Add(`ISO 2022 IR 13\ISO 2022 IR 149`, esc+"$)C", "SH")
	f.Fuzz(func(t *testing.T, charset, value, vr string) {
		a := &Attributes{charset: parseCharacterSet(charset)}
		a.elements = []Element{{Tag: PatientName, VR: vr, Value: []byte(value)}}
		for _, text := range a.Texts(PatientName) {
			if !utf8.ValidString(text) {
				t.Errorf("not UTF-8: %q", text)
			}
		}
		if info := vrOf(vr); info.charset && len(value) < 16<<10 && !strings.Contains(value, "\x00") {
			again := written(t, a.Dataset(), ExplicitVRLittleEndian)
			assert.Equal(t, unmarked(a.Reading(PatientName)), unmarked(again.Reading(PatientName)))
			if a.Exact(PatientName) {
				assert.Equal(t, a.Texts(PatientName), again.Texts(PatientName))
			}
		}
	})
}

// What is not of its character set is read as it is most likely meant, and says so; names of it differ from none.
func TestReading(t *testing.T) {
	for _, row := range []struct {
		charset, in, want string
		doubtful          bool
	}{
		{"", "M\xfcller", "Müller", true},
		{"", "Müller", "Müller", false},
		{"", "\x8cil", "Œil", true},
		{"", "\x81\x8d", "\uFFFD\uFFFD", true}, // which Windows 1252 has not either
		{"ISO_IR 100", "Stra\xc3\x9fe", "Straße", true},
		{"ISO_IR 192", "M\xfcller", "Müller", true},
		{"ISO_IR 144", "\xbb", "Л", false},
		{"ISO_IR 999", "\xfc", "ü", true},
		{"GB18030", "\xcd\xf5\xd0", "王\uFFFD", true},
		{`\ISO 2022 IR 87`, "a\x1b$", "a\uFFFD$", true},
		{"UTF8", "ü", "ü", false},
		{"", "", "", false},
	} {
		a := &Attributes{elements: []Element{{Tag: PatientName, VR: "PN", Value: []byte(row.in)}}, charset: parseCharacterSet(row.charset)}
		reading, doubtful := Reading(a.Reading(PatientName))
		assert.Equal(t, row.want, reading, "%s %q", row.charset, row.in)
		assert.Equal(t, row.doubtful, doubtful, "%s %q", row.charset, row.in)
		assert.Equal(t, !row.doubtful, a.Exact(PatientName))
	}
	assert.False(t, NamesDiffer("Müller^J"+doubt, "Smith^A"))
	assert.True(t, NamesDiffer("Müller^Jörg", "Smith^Anna"))
}

// A backslash that somebody has typed into an attribute of one value counts: what stands before it may be another patient's.
func TestHeader_backslashes(t *testing.T) {
	of := func(id, charset string) Header {
		return (&Attributes{elements: []Element{{Tag: AccessionNumber, VR: "SH", Value: []byte(`A\1 `)}, {Tag: PatientID, VR: "LO", Value: []byte(id)}}, charset: parseCharacterSet(charset)}).Header()
	}
	assert.Equal(t, `7\1`, of(`7\1 `, "").PatientID)
	assert.Equal(t, `7\1`, of(`7 \ 1`, "").PatientID)
	assert.Equal(t, `A\1`, of("", "").AccessionNumber)
	doubtful, _ := Reading(of("7\\\xfc", "").PatientID)
	assert.Equal(t, `7\ü`, doubtful)
	assert.True(t, of(`7\1`, "").ofAnother(of(`7\2`, "")))
}

func TestASCII(t *testing.T) {
	for in, want := range map[string]string{
		"Müller": "Muller", "Straße": "Strasse", "Łódź": "Lodz", "Ørsted – 3×4": "Orsted - 3x4", "山田": "??", "plain": "plain", "": "",
	} {
		assert.Equal(t, want, ASCII(in))
	}
}
