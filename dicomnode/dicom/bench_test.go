package dicom

import (
	"bytes"
	"testing"
)

// What a receiver spends on an instance beside moving its bytes.
func BenchmarkReadAttributes(b *testing.B) {
	for _, uid := range encodings {
		e := sample(uid, true)
		data := e.dataset(b)
		b.Run(string(uid), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				a, err := ReadAttributes(bytes.NewReader(data), e.ts)
				if err != nil || a.Header().InstanceNumber != 7 {
					b.Fatal(err)
				}
			}
		})
	}
}
