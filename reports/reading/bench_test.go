package reading

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkReports reads reports of twelve annotated texts each, ten thousand different ones in turn: about 530 bytes each.
func BenchmarkReports(b *testing.B) {
	o, err := Load("")
	require.NoError(b, err)
	all := append(samples(b, "heldout"), samples(b, "develop")...)
	var english []string
	for _, s := range all {
		if s.language == "en" {
			english = append(english, s.text)
		}
	}
	texts := make([]string, 10_000)
	size := 0
	for i := range texts {
		var t strings.Builder
		for k := range 12 {
			t.WriteString(english[(i*31+k*(1+i%97))%len(english)] + "\n\n")
		}
		texts[i] = t.String()
		size += len(texts[i])
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		for _, text := range texts {
			o.Read(text, "")
		}
	}
	b.ReportMetric(float64(len(texts)*b.N)/b.Elapsed().Seconds(), "reports/s")
}
