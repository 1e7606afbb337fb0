package mllp

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// readAll returns the messages of a stream, and what ended it.
func readAll(r *Reader) (messages []string, err error) {
	for {
		message, err := r.Next()
		if err != nil {
			return messages, err
		}
		messages = append(messages, string(message))
	}
}

func TestReader(t *testing.T) {
	const a, b = "MSH|^~\\&|A\rPID|1\r", "MSH|^~\\&|B\rPID|2\r"
	tests := []struct {
		name    string
		in      string
		want    []string
		dropped int64
		err     error // io.EOF where nil
	}{
		{"nothing", "", nil, 0, nil},
		{"one", "\x0b" + a + "\x1c\r", []string{a}, 0, nil},
		{"two", "\x0b" + a + "\x1c\r\x0b" + b + "\x1c\r", []string{a, b}, 0, nil},
		{"nul and line ends between", "\x0b" + a + "\x1c\r\x00\x00\r\n\x0b" + b + "\x1c\r\n", []string{a, b}, 0, nil},
		{"log line first", "[10:15:00 T-89]\r\n\x0b" + a + "\x1c\r", []string{a}, 14, nil},
		{"bom first", "\xef\xbb\xbf\x0b" + a + "\x1c\r", []string{a}, 3, nil},
		{"bom inside is the parser's", "\x0b\xef\xbb\xbf" + a + "\x1c\r", []string{"\xef\xbb\xbf" + a}, 0, nil},
		{"framed twice", "\x0b\x0b" + a + "\x1c\r\x1c\r\x0b" + b + "\x1c\r", []string{a, b}, 0, nil},
		{"each byte twice", "\x0b\x0b" + a + "\x1c\x1c\r\r\x0b" + b + "\x1c\r", []string{a, b}, 0, nil},
		{"end without 0D at the end", "\x0b" + a + "\x1c", []string{a}, 0, nil},
		{"end without 0D, the next follows", "\x0b" + a + "\x1c\x0b" + b + "\x1c", []string{a, b}, 0, nil},
		{"line ends are 0A", "\x0bMSH|^~\\&|A\nPID|1\n\x1c\n\x0b" + b + "\x1c\r", []string{"MSH|^~\\&|A\nPID|1\n", b}, 0, nil},
		{"no segment end", "\x0bMSH|^~\\&|A\x1c\r", []string{"MSH|^~\\&|A"}, 0, nil},
		{"empty", "\x0b\x1c\r\x0b" + a + "\x1c\r", []string{"", a}, 0, nil},
		{"half, then anew", "\x0bMSH|^~\\&|A\rPI\x0b" + b + "\x1c\r", []string{b}, 13, nil},
		{"half, then a batch", "\x0bMSH|^~\\&|A\rPI\x0bFHS|^~\\&\r" + b + "\x1c\r", []string{"FHS|^~\\&\r" + b}, 13, nil},
		{"two halves", "\x0bMSH|1\x0bMSH|2\x0b" + b + "\x1c\r", []string{b}, 11, nil},
		{"0B in a text is the parser's", "\x0bMSH|^~\\&|A\rNTE|1||one\x0btwo\r\x1c\r", []string{"MSH|^~\\&|A\rNTE|1||one\x0btwo\r"}, 0, nil},
		{"1C in a text", "\x0bMSH|^~\\&|A\rNTE|1||one\x1ctwo\r\x1c\r", nil, 0, ErrDamaged},
		{"0B is missing", a + "\x1c\r\x0b" + b + "\x1c\r", []string{b}, int64(len(a)) - 2, nil},
		{"half a frame", "\x0b" + a, nil, 0, io.ErrUnexpectedEOF},
		{"utf-16, big endian", utf16Bytes("\x0b"+a+"\x1c\r", 1), nil, 0, ErrDamaged},
		{"utf-16, little endian", utf16Bytes("\x0b"+a+"\x1c\r", 0), nil, 0, ErrDamaged},
		{"too large", "\x0b" + strings.Repeat("x", 101) + "\x1c\r", nil, 0, ErrTooLarge},
		{"as large as may be", "\x0b" + strings.Repeat("x", 100) + "\x1c\r", []string{strings.Repeat("x", 100)}, 0, nil},
		{"never a frame", strings.Repeat("x", maxBetween), nil, maxBetween, ErrNoFrame},
	}
	for _, tt := range tests {
		for how, split := range map[string]func(io.Reader) io.Reader{"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader} {
			t.Run(tt.name+", "+how, func(t *testing.T) {
				r := NewReader(split(strings.NewReader(tt.in)))
				r.MaxSize = 100
				got, err := readAll(r)
				want := tt.err
				if want == nil {
					want = io.EOF
				}
				require.ErrorIs(t, err, want)
				assert.Equal(t, tt.want, got)
				assert.Equal(t, tt.dropped, r.Dropped)
			})
		}
	}
}

// utf16Bytes is text in two bytes a character, the low one at index low^1... of each pair.
func utf16Bytes(text string, low int) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(text)) {
		pair := []byte{byte(u >> 8), byte(u >> 8)}
		pair[low], pair[1-low] = byte(u), byte(u>>8)
		b = append(b, pair...)
	}
	return string(b)
}

// A frame that is too large is not read to its end, nor kept.
func TestReader_tooLargeIsBounded(t *testing.T) {
	read := 0
	endless := readerFunc(func(p []byte) (int, error) {
		for i := range p {
			p[i] = 'x'
		}
		if read == 0 {
			p[0] = vt
		}
		read += len(p)
		return len(p), nil
	})
	r := NewReader(endless)
	r.MaxSize = 1 << 20
	beginning, err := r.Next()
	require.ErrorIs(t, err, ErrTooLarge)
	assert.Len(t, beginning, 1<<20)
	assert.LessOrEqual(t, read, 1<<20+2*readBuffer)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestAppend(t *testing.T) {
	got, err := Append([]byte("x"), []byte("MSH|\r"))
	require.NoError(t, err)
	assert.Equal(t, "x\x0bMSH|\r\x1c\r", string(got))
	for _, message := range []string{"MSH|\x0b", "\x1c"} {
		_, err := Append(nil, []byte(message))
		require.ErrorIs(t, err, ErrFrameBytes)
	}
}

// However a stream of frames is cut up, and whatever stands between them, the messages come out whole and in order.
func TestReader_property(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		content := rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string {
			return "MSH|" + strings.Map(func(r rune) rune {
				if r == rune(vt) || r == rune(fs) {
					return 'x'
				}
				return r
			}, string(b))
		})
		between := rapid.StringMatching(`[\x00\r\n -~]{0,20}`)
		var stream []byte
		var want []string
		for range rapid.IntRange(0, 5).Draw(t, "messages") {
			stream = append(stream, between.Draw(t, "between")...)
			message := content.Draw(t, "message")
			var err error
			stream, err = Append(stream, []byte(message))
			require.NoError(t, err)
			want = append(want, message)
		}
		r := NewReader(readerFunc(func(p []byte) (int, error) {
			if len(stream) == 0 {
				return 0, io.EOF
			}
			n := copy(p[:min(len(p), rapid.IntRange(1, 40).Draw(t, "piece"))], stream)
			stream = stream[n:]
			return n, nil
		}))
		got, err := readAll(r)
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, want, got)
	})
}

// Whatever comes, what is taken has no 1C in it, is not longer than allowed, and reads the same when it is framed again.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{"\x0bMSH|^~\\&\r\x1c\r", "\x0b\x0bMSH|\x1c\x0bFHS|\x1c\n", "x\x0b\x1c", "\x00\x0b\x00M\x00S\x00\x1c\x00\r"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 64
		r := NewReader(bytes.NewReader(in))
		r.MaxSize = limit
		for {
			message, err := r.Next()
			if err != nil {
				require.LessOrEqual(t, len(message), limit)
				break
			}
			require.LessOrEqual(t, len(message), limit)
			require.NotContains(t, string(message), string(fs))
			if framed, err := Append(nil, message); !errors.Is(err, ErrFrameBytes) {
				again, err := NewReader(bytes.NewReader(framed)).Next()
				require.NoError(t, err)
				require.Equal(t, string(message), string(again))
			}
		}
		require.LessOrEqual(t, r.Dropped, int64(len(in)))
	})
}
