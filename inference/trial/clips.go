package trial

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"

	"endogate/explain/faithfulness"
	"endogate/inference/analysis"
	"endogate/inference/ask"
)

// Clips measures how faithful the explanations in time of a model are that looks across time: each way to tell which frames count. It is used
// by one goroutine.
type Clips struct {
	Model *ask.Model
	Class string // to explain, as ask.Question.Class
	// Decisive are the first and last of the frames that decide a clip, from 1, by the clip's name. Clips that it lacks have no pointing game.
	Decisive  map[string][2]int
	Tolerance int // of the pointing game, in frames

	clips, known int
	order        []string
	ways         map[string]*inTime
	chance       []float64
}

// inTime is what was found of one way to tell which frames count.
type inTime struct {
	deletion, insertion, gain, energy []float64
	hits, pointed, nothing            int
}

// maxDecisive bounds a list of decisive frames.
const maxDecisive = 1 << 20

// ReadDecisive reads a CSV with the columns clip, first and last: the frames, from 1, that decide a clip. A clip is named as its folder or
// its file without ending.
func ReadDecisive(path string) (map[string][2]int, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines, err := csv.NewReader(io.LimitReader(bufio.NewReader(f), maxDecisive)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	all := map[string][2]int{}
	if len(lines) == 0 || len(lines[0]) != 3 || lines[0][0] != "clip" || lines[0][1] != "first" || lines[0][2] != "last" {
		return nil, fmt.Errorf("%s: the first line must be clip,first,last", path)
	}
	for i, line := range lines[1:] {
		first, err1 := strconv.Atoi(line[1])
		last, err2 := strconv.Atoi(line[2])
		if _, twice := all[line[0]]; err1 != nil || err2 != nil || first < 1 || last < first || twice {
			return nil, fmt.Errorf("%s: line %d: must be a clip, once, with the first and last of the frames that decide it, from 1", path, i+2)
		}
		all[line[0]] = [2]int{first, last}
	}
	return all, nil
}

// Measure takes down what the explanations of a clip are worth: the frames at some places, from 0, of a sequence of a name. Number is what
// number a frame has, from 1.
func (t *Clips) Measure(ctx context.Context, name string, at []int, number func(i int) int, sequence []analysis.Prepared) error {
	var frames []analysis.Prepared
	for _, i := range at {
		frames = append(frames, sequence[i])
	}
	w, err := t.Model.Watch(ctx, frames, ask.Question{Class: t.Class})
	if err != nil {
		return err
	}
	t.clips++
	score := func(ctx context.Context, there []bool) (float64, error) {
		p, err := t.Model.LookAt(ctx, w, there)
		if err != nil {
			return 0, err
		}
		return p[w.Class], nil
	}
	from, to, known := t.decide(name, at, number)
	if known {
		t.known++
		t.chance = append(t.chance, float64(to-from+1)/float64(len(frames)))
	}
	for _, way := range w.Ways() {
		m := t.of(way.Name)
		if way.Nothing() {
			m.nothing++
			continue
		}
		deletion, insertion, err := faithfulness.FrameCurves(ctx, score, way.Importance)
		if err != nil {
			return err
		}
		m.deletion, m.insertion = append(m.deletion, deletion.Area), append(m.insertion, insertion.Area)
		m.gain = append(m.gain, insertion.Area-deletion.Area)
		if known {
			m.pointed++
			if faithfulness.PointingInTime(way.Importance, from, to, t.Tolerance) {
				m.hits++
			}
			m.energy = append(m.energy, faithfulness.EnergyInTime(way.Importance, from, to))
		}
	}
	return nil
}

// decide are the first and last of a clip's frames, from 0, that decide it, where it is known and any of them are in it.
func (t *Clips) decide(name string, at []int, number func(i int) int) (first, last int, known bool) {
	decisive, known := t.Decisive[name]
	first = -1
	for k, i := range at {
		if n := number(i); n >= decisive[0] && n <= decisive[1] {
			if last = k; first < 0 {
				first = k
			}
		}
	}
	return first, last, known && first >= 0
}

func (t *Clips) of(way string) *inTime {
	if t.ways == nil {
		t.ways = map[string]*inTime{}
	}
	if t.ways[way] == nil {
		t.ways[way] = &inTime{}
		t.order = append(t.order, way)
	}
	return t.ways[way]
}

// Report prints the table, and writes it as base.csv.
func (t *Clips) Report(out io.Writer, base string) (err error) {
	if t.clips == 0 {
		return errors.New("no clip among the frames")
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "in time, by\tdeletion ↓\tinsertion ↑\tinsertion − deletion ↑\tpointing ↑\tenergy inside ↑\tsays nothing\n")
	if err := os.MkdirAll(filepath.Dir(base), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(base+".csv", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	table := csv.NewWriter(file)
	names := []string{"deletion", "insertion", "gain", "pointing", "energy"}
	header := []string{"way", "clips"}
	for _, n := range names {
		header = append(header, n, n+"_low", n+"_high", n+"_n")
	}
	_ = table.Write(append(header, "nothing")) // Error says
	for _, name := range t.order {
		m := t.ways[name]
		all := []faithfulness.Estimate{
			faithfulness.Mean(m.deletion), faithfulness.Mean(m.insertion), faithfulness.Mean(m.gain), faithfulness.Share(m.hits, m.pointed), faithfulness.Mean(m.energy),
		}
		fmt.Fprintf(w, "%s", name)
		line := []string{name, strconv.Itoa(t.clips)}
		for _, e := range all {
			fmt.Fprintf(w, "\t%s", shown(e))
			line = append(line, fmt.Sprint(e.Value), fmt.Sprint(e.Low), fmt.Sprint(e.High), strconv.Itoa(e.N))
		}
		fmt.Fprintf(w, "\t%d\n", m.nothing)
		_ = table.Write(append(line, strconv.Itoa(m.nothing)))
	}
	fmt.Fprintf(w, "%d clips, %d with frames that are known to decide; mean and 95 %% interval. A way that knows nothing has energy %s and points rightly as often.\n", t.clips, t.known, shown(faithfulness.Mean(t.chance)))
	table.Flush()
	return errors.Join(table.Error(), w.Flush())
}
