package spool

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A segment starts with
//
//	0  8  "EGSPOOL" and the format version
//	8  8  Seq of its first record
//	16 8  salt: random, so that bytes a peer sent never pass for a record
//	24 4  how far above it the Seq is up to which other segments are void: their records are in this one
//	28 4  CRC32C of the above
//
// and a record is
//
//	0  4  "EGRC"
//	4  2  format version
//	6  2  flags
//	8  8  Seq
//	16 8  length of the data that follows the entry; 0 for a large data set
//	24 4  length of the entry as JSON
//	28 4  CRC32C of the data
//	32 4  CRC32C of the JSON
//	36 4  CRC32C of the salt and bytes 0 to 35
//	40    entry as JSON, data
//
// all big endian.
const (
	segmentHeaderSize = 32
	recordHeaderSize  = 40
	formatVersion     = 1
	maxMetaSize       = 1 << 20

	flagLarge = 1 << 0 // the data set is in large/<id>
)

var (
	segmentMagic = []byte{'E', 'G', 'S', 'P', 'O', 'O', 'L', formatVersion}
	recordMagic  = []byte("EGRC")
	castagnoli   = crc32.MakeTable(crc32.Castagnoli)

	// errHeader says that a segment's header is damaged.
	errHeader = errors.New("damaged")
	// errNoRecord says that there is no whole record at a place.
	errNoRecord = errors.New("no whole record")
)

// recordHeader is the fixed part of a record.
type recordHeader struct {
	seq     uint64
	large   bool
	dataLen int64
	metaLen int
	dataCRC uint32
	metaCRC uint32
}

// size is the length of the whole record in the log.
func (h recordHeader) size() int64 { return recordHeaderSize + int64(h.metaLen) + h.dataLen }

func encodeSegmentHeader(first, through, salt uint64) []byte {
	b := make([]byte, segmentHeaderSize)
	copy(b, segmentMagic)
	binary.BigEndian.PutUint64(b[8:], first)
	binary.BigEndian.PutUint64(b[16:], salt)
	binary.BigEndian.PutUint32(b[24:], uint32(through-first))
	binary.BigEndian.PutUint32(b[28:], crc32.Checksum(b[:28], castagnoli))
	return b
}

func decodeSegmentHeader(b []byte) (first, through, salt uint64, err error) {
	switch {
	case len(b) < segmentHeaderSize:
		return 0, 0, 0, io.ErrUnexpectedEOF
	case string(b[:7]) != string(segmentMagic[:7]):
		return 0, 0, 0, fmt.Errorf("%w: it is not that of a segment", errHeader)
	case binary.BigEndian.Uint32(b[28:]) != crc32.Checksum(b[:28], castagnoli): // it stands there in every format
		return 0, 0, 0, fmt.Errorf("%w: checksum differs", errHeader)
	case b[7] > formatVersion:
		return 0, 0, 0, fmt.Errorf("format version %d, this release reads %d", b[7], formatVersion)
	}
	first = binary.BigEndian.Uint64(b[8:])
	return first, first + uint64(binary.BigEndian.Uint32(b[24:])), binary.BigEndian.Uint64(b[16:]), nil
}

// encodeRecordHead returns the record up to its data: the fixed header and meta. It fills in
// what h says of meta.
func encodeRecordHead(h recordHeader, salt uint64, meta []byte) []byte {
	b := make([]byte, recordHeaderSize, recordHeaderSize+len(meta))
	copy(b, recordMagic)
	binary.BigEndian.PutUint16(b[4:], formatVersion)
	if h.large {
		binary.BigEndian.PutUint16(b[6:], flagLarge)
	}
	binary.BigEndian.PutUint64(b[8:], h.seq)
	binary.BigEndian.PutUint64(b[16:], uint64(h.dataLen))
	binary.BigEndian.PutUint32(b[24:], uint32(len(meta)))
	binary.BigEndian.PutUint32(b[28:], h.dataCRC)
	binary.BigEndian.PutUint32(b[32:], crc32.Checksum(meta, castagnoli))
	binary.BigEndian.PutUint32(b[36:], saltedCRC(salt, b[:36]))
	return append(b, meta...)
}

func saltedCRC(salt uint64, b []byte) uint32 {
	return crc32.Update(crc32.Checksum(binary.BigEndian.AppendUint64(nil, salt), castagnoli), castagnoli, b)
}

// readRecord reads the header and entry of the record at off, which must end by limit.
// It returns errNoRecord where there is none, and other errors only from r.
func readRecord(r io.ReaderAt, off, limit int64, salt uint64) (recordHeader, Entry, error) {
	var fixed [recordHeaderSize]byte
	if limit-off < recordHeaderSize {
		return recordHeader{}, Entry{}, errNoRecord
	}
	if err := readFull(r, fixed[:], off); err != nil {
		return recordHeader{}, Entry{}, err
	}
	h, err := decodeRecordHeader(fixed[:], salt)
	if err != nil || h.dataLen > limit-off || h.size() > limit-off {
		return recordHeader{}, Entry{}, errNoRecord
	}
	meta := make([]byte, h.metaLen)
	if err := readFull(r, meta, off+recordHeaderSize); err != nil {
		return recordHeader{}, Entry{}, err
	}
	var e Entry
	if crc32.Checksum(meta, castagnoli) != h.metaCRC || json.Unmarshal(meta, &e) != nil {
		return recordHeader{}, Entry{}, errNoRecord
	}
	e.Seq = h.seq
	return h, e, nil
}

func decodeRecordHeader(b []byte, salt uint64) (recordHeader, error) {
	flags := binary.BigEndian.Uint16(b[6:])
	h := recordHeader{
		seq:     binary.BigEndian.Uint64(b[8:]),
		large:   flags&flagLarge != 0,
		dataLen: int64(binary.BigEndian.Uint64(b[16:])),
		metaLen: int(binary.BigEndian.Uint32(b[24:])),
		dataCRC: binary.BigEndian.Uint32(b[28:]),
		metaCRC: binary.BigEndian.Uint32(b[32:]),
	}
	switch {
	case string(b[:4]) != string(recordMagic),
		binary.BigEndian.Uint16(b[4:]) != formatVersion,
		saltedCRC(salt, b[:36]) != binary.BigEndian.Uint32(b[36:]),
		flags&^flagLarge != 0,
		h.metaLen > maxMetaSize,
		h.dataLen < 0,
		h.large && h.dataLen != 0:
		return recordHeader{}, errNoRecord
	}
	return h, nil
}

// checkData compares the data of the record at off with its checksum.
func checkData(r io.ReaderAt, off int64, h recordHeader, buf []byte) (bool, error) {
	crc := uint32(0)
	at, left := off+recordHeaderSize+int64(h.metaLen), h.dataLen
	for left > 0 {
		b := buf[:min(int64(len(buf)), left)]
		if err := readFull(r, b, at); err != nil {
			return false, err
		}
		crc = crc32.Update(crc, castagnoli, b)
		at, left = at+int64(len(b)), left-int64(len(b))
	}
	return crc == h.dataCRC, nil
}

// readFull reads len(b) bytes at off; a file that ends before is errNoRecord.
func readFull(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	switch {
	case n == len(b):
		return nil
	case err == io.EOF:
		return errNoRecord
	}
	return err
}
