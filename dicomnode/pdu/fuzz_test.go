package pdu_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/pdu"
)

// What decodes encodes to something that decodes alike.
func FuzzDecode(f *testing.F) {
	for _, row := range table {
		in := wire(f, row.in)
		f.Add(in[0], in[pdu.HeaderLength:])
	}
	f.Fuzz(func(t *testing.T, typ byte, body []byte) {
		p, err := pdu.Decode(pdu.Type(typ), body)
		if err != nil {
			var e *pdu.Error
			require.ErrorAs(t, err, &e)
			return
		}
		b, err := pdu.Append(nil, p)
		require.NoError(t, err, "what was decoded fits")
		again, err := pdu.Decode(pdu.Type(typ), b[pdu.HeaderLength:])
		require.NoError(t, err)
		require.Equal(t, p, again)
	})
}

// A stream of anything ends in an error and never gives more bytes than it had.
func FuzzReader(f *testing.F) {
	in, _ := stream(f, 1000)
	f.Add(in[20000:])
	f.Add([]byte{4, 0, 0, 0, 0, 6, 0, 0, 0, 2, 1, 3, 5, 0, 0, 0, 0, 4, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		r := pdu.NewReader(bytes.NewReader(in))
		r.MaxDataLength = 4096
		total := 0
		for {
			p, err := r.Next()
			if err != nil {
				return
			}
			total += pdu.HeaderLength
			if d, ok := p.(*pdu.Data); ok {
				for _, v := range d.PDVs {
					total += pdu.PDVHeaderLength + len(v.Data)
				}
			}
			require.LessOrEqual(t, total, len(in))
		}
	})
}
