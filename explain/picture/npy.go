package picture

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"
)

// WriteNPY writes float32 values in row-major order as a NumPy file, format 1.0 (NEP 1).
func WriteNPY(w io.Writer, shape []int64, values []float32) error {
	n, dims := int64(1), make([]string, len(shape))
	for i, d := range shape {
		n *= d
		dims[i] = fmt.Sprint(d)
	}
	if n != int64(len(values)) {
		return fmt.Errorf("picture: npy: shape %v does not hold %d values", shape, len(values))
	}
	tuple := strings.Join(dims, ", ")
	if len(dims) == 1 {
		tuple += ","
	}
	header := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }", tuple)
	const prefix, alignment = 10, 64 // of magic, version and length; of the first value
	header += strings.Repeat(" ", alignment-1-(prefix+len(header))%alignment) + "\n"
	file := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), byte(len(header)>>8))
	file = append(file, header...)
	for _, v := range values {
		file = binary.LittleEndian.AppendUint32(file, math.Float32bits(v))
	}
	_, err := w.Write(file)
	return err
}
