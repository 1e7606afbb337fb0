package trial

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

	"endogate/explain/faithfulness"
)

// row is a measurement with its intervals.
type row struct {
	*measurement
	Deletion, Insertion, Gain, Pointing, Energy, Similarity faithfulness.Estimate
}

// Report prints the table, and writes it as base.csv and as a plot, base.png.
func (t *Trial) Report(out io.Writer, base string) error {
	var rows []row
	for _, key := range t.order {
		m := t.measured[key]
		rows = append(rows, row{
			m, faithfulness.Mean(m.deletion), faithfulness.Mean(m.insertion), faithfulness.Mean(m.gain),
			faithfulness.Share(m.hits, m.pointed), faithfulness.Mean(m.energy), faithfulness.MeanOfDraws(m.draws()),
		})
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "method\tlayer\tdeletion ↓\tinsertion ↑\tinsertion − deletion ↑\tpointing ↑\tenergy inside ↑\tlike random weights ↓\tno map\n")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\n", r.method, r.layer, shown(r.Deletion), shown(r.Insertion), shown(r.Gain),
			shown(r.Pointing), shown(r.Energy), shown(r.Similarity), r.nothing)
	}
	fmt.Fprintf(w, "%d frames, %d with masks; mean and 95 %% interval. A map that knows nothing has energy %s.\n", t.frames, t.masked, shown(faithfulness.Mean(t.chance)))
	if t.resized > 0 {
		fmt.Fprintf(w, "%d masks have other proportions than their frames and were stretched over them: look whether they are of the same pictures.\n", t.resized)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(base), 0o755); err != nil {
		return err
	}
	bars := make([]faithfulness.Bar, len(rows))
	for i, r := range rows {
		bars[i] = faithfulness.Bar{Name: r.method, Deletion: r.Deletion, Insertion: r.Insertion, Energy: r.Energy, Similarity: r.Similarity}
		if t.layers > 1 && r.layer != "" {
			bars[i].Name += " " + r.layer
		}
	}
	if err := errors.Join(writeCSV(base+".csv", rows, t.Draws), faithfulness.Plot(base+".png", t.Bundle.Name+" "+t.Bundle.Version, bars)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%s.csv, %s.png\n", base, base)
	return err
}

// shown is an estimate for people; nothing where nothing was measured.
func shown(e faithfulness.Estimate) string {
	if e.N == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f [%.2f, %.2f]", e.Value, e.Low, e.High)
}

// text is a cell that no spreadsheet takes for a formula: the network names its layers.
func text(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}

// writeCSV writes one column for each number (RFC 4180).
func writeCSV(path string, rows []row, draws int) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	b := bufio.NewWriter(file)
	w := csv.NewWriter(b)
	header := []string{"method", "layer", "frames", "without_map", "draws"}
	for _, name := range []string{"deletion", "insertion", "insertion_less_deletion", "pointing", "energy_inside", "random_weights"} {
		header = append(header, name, name+"_low", name+"_high", name+"_n")
	}
	_ = w.Write(header) // Error has what goes wrong
	for _, r := range rows {
		line := []string{r.method, text(r.layer), strconv.Itoa(len(r.deletion)), strconv.Itoa(r.nothing), strconv.Itoa(draws)}
		for _, e := range []faithfulness.Estimate{r.Deletion, r.Insertion, r.Gain, r.Pointing, r.Energy, r.Similarity} {
			for _, v := range []float64{e.Value, e.Low, e.High} {
				cell := ""
				if e.N > 0 {
					cell = strconv.FormatFloat(v, 'f', 4, 64)
				}
				line = append(line, cell)
			}
			line = append(line, strconv.Itoa(e.N))
		}
		_ = w.Write(line)
	}
	w.Flush()
	return errors.Join(w.Error(), b.Flush(), file.Close())
}
