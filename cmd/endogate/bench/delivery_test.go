//go:build bench

package bench_test

import (
	"path/filepath"
	"testing"
)

// TestDelivery measures our SCU against peers as hospitals have them: as installed, with Nagle's algorithm on.
func TestDelivery(t *testing.T) {
	tpl := smallTemplate(t)
	dir := folder(t)
	stock := []receiver{
		storescp(t, filepath.Join(dir, "storescp"), "stock storescp --fork", nil),
		orthanc(t, filepath.Join(dir, "orthanc"), nil),
	}
	count := max(20, *small/3)
	p50, p99, rate := map[string]series{}, map[string]series{}, map[string]series{}
	eachRound(t, func(int) {
		for _, r := range stock {
			s := measure(t, r, tpl, count, 1)
			p50[r.name] = append(p50[r.name], milliseconds(s.percentile(50)))
			p99[r.name] = append(p99[r.name], milliseconds(s.percentile(99)))
			rate[r.name] = append(rate[r.name], s.perSecond())
		}
	})
	var rows [][]string
	for _, r := range stock {
		rows = append(rows, []string{r.name, p50[r.name].String(), p99[r.name].String(), rate[r.name].String()})
	}
	table("Delivery of 100 KB objects by our SCU to peers as installed, 1 association", []string{"peer", "p50 ms", "p99 ms", "objects/s"}, rows)
}
