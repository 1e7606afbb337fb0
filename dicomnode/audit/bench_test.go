package audit

import (
	"net/netip"
	"testing"
	"time"
)

// BenchmarkTransfers_Add is what an instance that comes costs more than without an audit trail.
func BenchmarkTransfers_Add(b *testing.B) {
	tr := &Transfers{Now: time.Now}
	tr.Begin(0)
	x := Exchange{Event: InstancesTransferred, Study: "2.25.310294837465920187465.2", Patient: "P-1", Peer: "SCOPE1", AETitle: "SCOPE1", Host: netip.MustParseAddr("10.1.2.3")}
	b.ReportAllocs()
	for i := range b.N {
		tr.Add(Transfer{Exchange: x, SOPClass: "1.2.840.10008.5.1.4.1.1.77.1.1", At: time.Time{}, Sequence: uint64(i + 1)})
	}
}
