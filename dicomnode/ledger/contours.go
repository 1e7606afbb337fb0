package ledger

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"

	sqlite3 "github.com/mattn/go-sqlite3"

	"endogate/inference/analysis"
)

// Contours have a point for each pixel that they pass, and as text they would be nine tenths of a ledger. They stand beside
// the other words of their findings, packed without loss:
//
//	zlib of
//	  uvarint     findings
//	  for each    uvarint: 0 of none (null), else one more than its contours; and in the same way the points of each
//	  8 × points  the columns of all points as IEEE 754, little endian: the first bytes of all, then the second, …
//	  8 × points  the rows

type contours = [][][2]float64

// maxContours bounds what is unpacked of one span.
const maxContours = 256 << 20

var errContours = errors.New("contours are damaged")

// splitFindings returns findings as text without their contours, and these; nil where there are none.
func splitFindings(findings []analysis.Finding) (text string, packed []byte, err error) {
	bare := slices.Clone(findings)
	of, some := make([]contours, len(bare)), false
	for i := range bare {
		of[i], bare[i].Contours = bare[i].Contours, nil
		some = some || of[i] != nil
	}
	b, err := json.Marshal(bare)
	if err == nil && some {
		packed, err = packContours(of)
	}
	return string(b), packed, err
}

// joinFindings gives findings the contours that splitFindings has taken from them.
func joinFindings(findings []analysis.Finding, packed []byte) error {
	if len(packed) == 0 {
		return nil
	}
	of, err := unpackContours(packed)
	if err == nil && len(of) != len(findings) {
		err = fmt.Errorf("%w: of %d findings, there are %d", errContours, len(of), len(findings))
	}
	if err != nil {
		return err
	}
	for i := range findings {
		findings[i].Contours = of[i]
	}
	return nil
}

// packers are kept: one takes a megabyte, which costs more to make than contours take to pack.
var packers = sync.Pool{New: func() any { return zlib.NewWriter(nil) }}

func packContours(all []contours) ([]byte, error) {
	b := binary.AppendUvarint(nil, uint64(len(all)))
	var points [][2]float64
	for _, of := range all {
		b = appendLength(b, of == nil, len(of))
		for _, contour := range of {
			b = appendLength(b, contour == nil, len(contour))
			points = append(points, contour...)
		}
	}
	for axis := range 2 {
		for shift := 0; shift < 64; shift += 8 {
			for _, p := range points {
				b = append(b, byte(math.Float64bits(p[axis])>>shift))
			}
		}
	}
	var out bytes.Buffer
	w := packers.Get().(*zlib.Writer)
	defer packers.Put(w)
	w.Reset(&out)
	_, err := w.Write(b)
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func appendLength(b []byte, none bool, n int) []byte {
	if none {
		return binary.AppendUvarint(b, 0)
	}
	return binary.AppendUvarint(b, uint64(n)+1)
}

func unpackContours(packed []byte) ([]contours, error) {
	z, err := zlib.NewReader(bytes.NewReader(packed))
	var b []byte
	if err == nil {
		b, err = io.ReadAll(io.LimitReader(z, maxContours+1))
	}
	if err != nil || len(b) > maxContours {
		return nil, fmt.Errorf("%w (%v)", errContours, err)
	}
	r := &lengths{b: b}
	all := make([]contours, r.next(1, 0))
	total := 0
	for i := range all {
		n, none := r.optional(1)
		if none {
			continue
		}
		all[i] = make(contours, n)
		for j := range all[i] {
			if n, none := r.optional(16); !none {
				all[i][j] = make([][2]float64, n)
				total += n
			}
		}
	}
	if r.bad || len(r.b) != 16*total {
		return nil, errContours
	}
	at := 0
	for i := range all {
		for _, contour := range all[i] {
			for p := range contour {
				for axis := range 2 {
					var bits uint64
					for k := range 8 {
						bits |= uint64(r.b[(8*axis+k)*total+at]) << (8 * k)
					}
					contour[p][axis] = math.Float64frombits(bits)
				}
				at++
			}
		}
	}
	return all, nil
}

// lengths reads counts. None is more than the bytes that are left have room for.
type lengths struct {
	b   []byte
	bad bool
}

func (r *lengths) next(bytesOfEach, extra uint64) int {
	n, size := binary.Uvarint(r.b)
	if size <= 0 || n > uint64(len(r.b)-size)/bytesOfEach+extra {
		r.bad = true
		return 0
	}
	r.b = r.b[size:]
	return int(n)
}

func (r *lengths) optional(bytesOfEach uint64) (n int, none bool) {
	n = r.next(bytesOfEach, 1)
	return max(0, n-1), n == 0
}

// register gives a connection what the migration that packs contours calls, and the check that looks at them.
func register(conn *sqlite3.SQLiteConn) error {
	split := func(text string) (string, []byte, error) {
		var findings []analysis.Finding
		if err := json.Unmarshal([]byte(text), &findings); err != nil {
			return "", nil, err
		}
		return splitFindings(findings)
	}
	fit := func(text string, packed []byte) bool {
		var findings []analysis.Finding
		return json.Unmarshal([]byte(text), &findings) == nil && joinFindings(findings, packed) == nil
	}
	return errors.Join(
		conn.RegisterFunc("contours_fit", fit, true),
		conn.RegisterFunc("findings_without_contours", func(text string) (string, error) { s, _, err := split(text); return s, err }, true),
		conn.RegisterFunc("contours_of_findings", func(text string) ([]byte, error) { _, b, err := split(text); return b, err }, true),
	)
}
