package spool

import (
	"bytes"
	"hash/crc32"
	"testing"

	"github.com/stretchr/testify/require"
)

// segmentBytes is a segment of records with data.
func segmentBytes(salt uint64, data ...string) []byte {
	b := encodeSegmentHeader(1, 1, salt)
	for i, d := range data {
		meta := []byte(`{"id":"e","kind":"received","header":{},"transfer_syntax_uid":"1.2","at":"2026-03-04T05:06:07Z","size":0,"digest":""}`)
		meta[7] = byte('a' + i)
		h := recordHeader{seq: uint64(i + 1), dataLen: int64(len(d)), dataCRC: crc32.Checksum([]byte(d), castagnoli), metaLen: len(meta)}
		b = append(append(b, encodeRecordHead(h, salt, meta)...), d...)
	}
	return b
}

// FuzzScan walks over arbitrary bytes. Whatever it takes for a record must be one.
func FuzzScan(f *testing.F) {
	whole := segmentBytes(7, "one", "", "three")
	f.Add(whole, uint64(0))
	f.Add(whole, uint64(3))
	f.Add(whole[:len(whole)-1], uint64(0))
	f.Add(append(bytes.Clone(whole), make([]byte, 100)...), uint64(0))
	f.Add(append(bytes.Clone(whole[:60]), whole...), uint64(0))
	f.Add([]byte{}, uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, until uint64) {
		r := bytes.NewReader(b)
		sc, err := newScanner(r, int64(len(b)), 1, until)
		if err != nil {
			return
		}
		end, seq := int64(segmentHeaderSize), uint64(0)
		for sc.next() {
			require.GreaterOrEqual(t, sc.off, end)
			require.Greater(t, sc.header.seq, seq)
			end, seq = sc.end, sc.header.seq
			require.LessOrEqual(t, end, int64(len(b)))
			if until > 0 {
				require.Less(t, seq, until)
			}
			at := sc.off + recordHeaderSize
			head := encodeRecordHead(sc.header, sc.salt, b[at:at+int64(sc.header.metaLen)])
			require.Equal(t, b[sc.off:at+int64(sc.header.metaLen)], head)
		}
		require.NoError(t, sc.err)
	})
}

// TestScan_magicEverywhere is a damaged segment whose data is made to look like records: it
// must cost one pass, not one for each place that looks like one.
func TestScan_magicEverywhere(t *testing.T) {
	b := segmentBytes(7, string(bytes.Repeat(recordMagic, 1<<18)), "two")
	b[segmentHeaderSize] ^= 1
	r := &countingReader{Reader: bytes.NewReader(b)}
	sc, err := newScanner(r, int64(len(b)), 1, 0)
	require.NoError(t, err)
	require.True(t, sc.next())
	require.Equal(t, "b", sc.entry.ID)
	require.False(t, sc.next())
	require.NoError(t, sc.err)
	require.Less(t, r.n, 15*len(b), "bytes read")
}

type countingReader struct {
	*bytes.Reader
	n int
}

func (r *countingReader) ReadAt(b []byte, off int64) (int, error) {
	n, err := r.Reader.ReadAt(b, off)
	r.n += n
	return n, err
}

func TestScan_seqMustRise(t *testing.T) {
	b := segmentBytes(7, "one", "two")
	b = append(b, b[segmentHeaderSize:]...)
	sc, err := newScanner(bytes.NewReader(b), int64(len(b)), 1, 0)
	require.NoError(t, err)
	n := 0
	for sc.next() {
		n++
	}
	require.NoError(t, sc.err)
	require.Equal(t, 2, n)
	require.EqualValues(t, len(b)-segmentHeaderSize, 2*sc.tail)
}

func TestScan_finds(t *testing.T) {
	b := segmentBytes(7, "one", "", "three")
	sc, err := newScanner(bytes.NewReader(b), int64(len(b)), 1, 0)
	require.NoError(t, err)
	var ids []string
	for sc.next() {
		ids = append(ids, sc.entry.ID)
	}
	require.NoError(t, sc.err)
	require.Equal(t, []string{"a", "b", "c"}, ids)
	require.EqualValues(t, len(b), sc.end)
	require.Zero(t, sc.tail)
}
