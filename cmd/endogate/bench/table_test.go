//go:build bench

package bench_test

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// series are the values of one cell, one for each round in which it was measured.
type series []float64

// String gives the median, and what lay around it.
func (s series) String() string {
	if len(s) == 0 {
		return "–"
	}
	sorted := slices.Sorted(slices.Values(s))
	median := (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
	if len(sorted) == 1 {
		return digits(median)
	}
	return fmt.Sprintf("%s [%s–%s]", digits(median), digits(sorted[0]), digits(sorted[len(sorted)-1]))
}

func digits(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// over divides round by round: what disturbs a round disturbs both sides of its ratio.
func (s series) over(other series) series {
	var ratios series
	for i := range min(len(s), len(other)) {
		ratios = append(ratios, s[i]/other[i])
	}
	return ratios
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// table prints a Markdown table.
func table(title string, head []string, rows [][]string) {
	fmt.Printf("\n### %s\n\n| %s |\n|%s\n", title, strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, row := range rows {
		fmt.Printf("| %s |\n", strings.Join(row, " | "))
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
