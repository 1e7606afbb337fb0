package ledger

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
)

// BenchmarkReceive takes in batches, as the gateway does after the spool: one job and one
// delivery for each, 100 instances to a study.
func BenchmarkReceive(b *testing.B) {
	for _, size := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			l := openLedger(b)
			n := 0
			for b.Loop() {
				batch := make([]Receipt, size)
				for i := range batch {
					n++
					batch[i] = benchReceipt(n)
				}
				receive(b, l, batch...)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func benchReceipt(n int) Receipt {
	r := receipt(n)
	r.ID = fmt.Sprintf("%026d", n)
	r.Header.StudyInstanceUID = dicom.UID(fmt.Sprintf("1.2.840.113619.2.55.3.%d", n/100))
	r.Header.SOPInstanceUID = dicom.UID(fmt.Sprintf("1.2.840.113619.2.55.3.604688119.%d", n))
	r.Forward, r.Destinations = []string{"archive"}, []string{"archive"}
	r.Kept = func(string) bool { return true }
	return r
}

// BenchmarkDelivered ends deliveries, one transaction for each, from as many callers.
func BenchmarkDelivered(b *testing.B) {
	for _, callers := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			l := openLedger(b)
			for n := 1; n <= b.N; n += 1000 {
				var batch []Receipt
				for i := n; i < n+1000; i++ {
					batch = append(batch, benchReceipt(i))
				}
				receive(b, l, batch...)
			}
			var next atomic.Int64
			b.ResetTimer()
			done := make(chan error, callers)
			for range callers {
				go func() {
					for {
						id := next.Add(1)
						if id > int64(b.N) {
							done <- nil
							return
						}
						if err := l.Delivered(b.Context(), id, "", said("0000"), at(1)); err != nil {
							done <- err
							return
						}
					}
				}()
			}
			for range callers {
				require.NoError(b, <-done)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tx/s")
		})
	}
}

// BenchmarkDueDeliveries looks for work among 50,000 deliveries that are due, or that all wait.
func BenchmarkDueDeliveries(b *testing.B) {
	l := openLedger(b)
	for n := 1; n <= 50_000; n += 1000 {
		var batch []Receipt
		for i := n; i < n+1000; i++ {
			r := benchReceipt(i)
			r.At = at(0)
			batch = append(batch, r)
		}
		receive(b, l, batch...)
	}
	for name, now := range map[string]int{"due": 1, "waiting": -1} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				ds, err := l.DueDeliveries(b.Context(), "archive", at(now), longest, 10)
				require.NoError(b, err)
				require.Equal(b, now > 0, len(ds) == 10)
			}
		})
	}
}

func BenchmarkCounts(b *testing.B) {
	l := openLedger(b)
	receive(b, l, benchReceipt(1))
	for b.Loop() {
		_, err := l.Counts(b.Context())
		require.NoError(b, err)
	}
}
