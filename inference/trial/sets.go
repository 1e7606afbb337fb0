package trial

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"endogate/explain/faithfulness"
)

// maxLabels bounds what is read of a CSV file.
const maxLabels = 64 << 20

// Label is what is known of the frames of a file.
type Label struct {
	Is      []string          // the classes that it shows; none where it shows something else
	Only    string            // the one class of which that is known; "" for all
	Columns map[string]string // of the CSV, to group by

	// From and To are of a part of a video, in seconds since its first frame, the end not in it; both 0: it is of all of the file.
	From, To float64
}

// Set is frames of known classes.
type Set struct {
	Name    string
	From    string
	Paths   []string // files, and folders of them
	Without int      // rows without a label, left out

	label func(file string) (Label, bool)
	parts map[string][]Label // of videos of which parts have labels of their own, in the order of the CSV
}

// labels are all that are known of a file.
func (s Set) labels(file string) []Label {
	if of := s.parts[file]; of != nil {
		return of
	}
	if l, ok := s.label(file); ok {
		return []Label{l}
	}
	return nil
}

// Sets says how sets are read.
type Sets struct {
	Classes []string          // of the model
	Rename  map[string]string // labels that are none of them, to one or to "", something else
	File    string            // the column of files; "" is file
	Label   string            // the column of labels; "" is label, or class
	About   string            // a CSV with columns to group by, for sets that are folders
	Masks   string            // a folder of masks, named as their frames, for folders of frames without classes
	Class   string            // what is marked in them
}

// Read reads a set: NAME=PATH, or NAME=PATH,COLUMN=PATTERN,... for some rows of a CSV. The path is a CSV file of labels, a folder
// with a folder for each class, or a folder of frames whose masks say where the class is.
func (o Sets) Read(said string) (Set, error) {
	name, rest, ok := strings.Cut(said, "=")
	parts := strings.Split(rest, ",")
	s := Set{Name: name, From: parts[0]}
	fault := func(err error) (Set, error) { return Set{}, fmt.Errorf("set %s: %w", said, err) }
	if !ok || name == "" || s.From == "" {
		return fault(errors.New("must be NAME=FOLDER or NAME=LABELS.csv"))
	}
	where := map[string]string{}
	for _, p := range parts[1:] {
		column, pattern, ok := strings.Cut(p, "=")
		if _, err := path.Match(pattern, ""); !ok || err != nil {
			return fault(fmt.Errorf("%q: must be COLUMN=PATTERN, as source=hk-*", p))
		}
		where[column] = pattern
	}
	info, err := os.Stat(s.From)
	switch {
	case err != nil:
		return fault(err)
	case !info.IsDir():
		err = o.table(&s, where)
	case len(where) > 0:
		err = errors.New("columns are those of a CSV file, and this is a folder")
	default:
		err = o.folder(&s)
	}
	if err != nil {
		return fault(err)
	}
	if len(s.Paths) == 0 {
		return fault(errors.New("no frame of it has a label"))
	}
	return s, nil
}

// classes reads a label: a class, or several with | between them.
func (o Sets) classes(label string) ([]string, error) {
	var is []string
	for _, l := range strings.Split(label, "|") {
		l = strings.TrimSpace(l)
		if to, renamed := o.Rename[l]; renamed {
			l = to
		} else if same := alike(o.Classes, l); same != "" {
			l = same
		} else {
			return nil, fmt.Errorf("label %q is no class of the model, which has %s; say --label %q=CLASS, or --label %q= where it is something else",
				l, strings.Join(o.Classes, ", "), l, l)
		}
		if l != "" {
			is = append(is, l)
		}
	}
	return is, nil
}

// alike is the one of some names that a text is, or is but for capitals and spaces around; "" where none is, or several are.
func alike(names []string, text string) string {
	if slices.Contains(names, text) {
		return text
	}
	found := ""
	for _, name := range names {
		if strings.EqualFold(name, strings.TrimSpace(text)) {
			if found != "" {
				return ""
			}
			found = name
		}
	}
	return found
}

// labelled is a line of a CSV, by column.
type labelled struct {
	line  int
	cells map[string]string
}

// readTable reads a CSV with a header; it may be of semicolons or tabs, in UTF-16, and begin with a byte order mark, as spreadsheets
// write it. Columns that are needed are found whatever their capitals.
func readTable(file string, needs ...string) ([]labelled, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxLabels+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxLabels:
		return nil, fmt.Errorf("%s: larger than %d MiB", file, maxLabels>>20)
	}
	if text, _, err = transform.Bytes(unicode.BOMOverride(transform.Nop), text); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("%s: not in UTF-8; save it as CSV UTF-8, so that names of files are what they are", file)
	}
	r := csv.NewReader(bytes.NewReader(text))
	header, _, _ := bytes.Cut(text, []byte("\n"))
	for _, between := range ";\t" {
		if bytes.Count(header, []byte(string(between))) > bytes.Count(header, []byte(string(r.Comma))) {
			r.Comma = between
		}
	}
	lines, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("%s: empty; the first line must name the columns", file)
	}
	for i := range lines[0] {
		lines[0][i] = strings.TrimSpace(lines[0][i])
	}
	for _, column := range needs {
		if same := alike(lines[0], column); same != "" {
			lines[0][slices.Index(lines[0], same)] = column
		} else {
			return nil, fmt.Errorf("%s: no column %q; it has %s", file, column, strings.Join(lines[0], ", "))
		}
	}
	rows := make([]labelled, 0, len(lines)-1)
	for i, line := range lines[1:] {
		cells := map[string]string{}
		for k, name := range lines[0] {
			cells[name] = strings.TrimSpace(line[k])
		}
		rows = append(rows, labelled{i + 2, cells})
	}
	return rows, nil
}

// columns are those of files and labels.
func (o Sets) columns(file string) (files, labels string, err error) {
	files, labels = o.File, o.Label
	if files == "" {
		files = "file"
	}
	if labels == "" {
		labels = "label"
		if _, err := readTable(file, labels); err != nil {
			if _, err := readTable(file, "class"); err == nil {
				labels = "class"
			}
		}
	}
	return files, labels, nil
}

// table reads a CSV of labels.
func (o Sets) table(s *Set, where map[string]string) error {
	files, labels, err := o.columns(s.From)
	if err != nil {
		return err
	}
	rows, err := readTable(s.From, append(slices.Sorted(maps.Keys(where)), files, labels)...)
	if err != nil {
		return err
	}
	byFile, lines := map[string]Label{}, map[string]int{}
	s.parts = map[string][]Label{}
	for _, r := range rows {
		taken := true
		for column, pattern := range where {
			match, _ := path.Match(pattern, r.cells[column])
			taken = taken && match
		}
		if !taken {
			continue
		}
		if r.cells[labels] == "" {
			s.Without++
			continue
		}
		is, err := o.classes(r.cells[labels])
		if err != nil {
			return fmt.Errorf("line %d: %w", r.line, err)
		}
		file := beside(s.From, r.cells[files])
		part := Label{Is: is, Columns: r.cells}
		if part.From, part.To, err = r.span(); err != nil {
			return fmt.Errorf("line %d: %w", r.line, err)
		}
		if part.To > 0 {
			if len(s.parts[file]) == 0 {
				s.Paths = append(s.Paths, file)
			}
			if i := slices.IndexFunc(s.parts[file], func(l Label) bool { return l.From < part.To && part.From < l.To }); i >= 0 {
				other := s.parts[file][i]
				return fmt.Errorf("line %d: %s from %g to %g s is in part from %g to %g s too, and its frames would count twice; let parts not overlap, and say several classes in one line, with | between them", r.line, r.cells[files], part.From, part.To, other.From, other.To)
			}
			s.parts[file] = append(s.parts[file], part)
			continue
		}
		if first := lines[file]; first > 0 {
			return fmt.Errorf("line %d: %s is in line %d too; say several classes of a frame in one line, with | between them", r.line, r.cells[files], first)
		}
		byFile[file], lines[file] = part, r.line
		s.Paths = append(s.Paths, file)
	}
	for file := range s.parts {
		if lines[file] > 0 {
			return fmt.Errorf("line %d: other lines have labels of parts of that file, by start_s and end_s; say one or the other of it", lines[file])
		}
	}
	s.label = func(file string) (Label, bool) { l, ok := byFile[file]; return l, ok }
	return nil
}

// span reads the columns start_s and end_s, seconds of a video; both 0 where it has none.
func (r labelled) span() (from, to float64, err error) {
	start, end := r.cells["start_s"], r.cells["end_s"]
	if start == "" && end == "" {
		return 0, 0, nil
	}
	from, err = strconv.ParseFloat(start, 64)
	if err == nil {
		to, err = strconv.ParseFloat(end, 64)
	}
	if err != nil || !(from >= 0 && to > from && to < 1e6) {
		return 0, 0, fmt.Errorf("start_s %q and end_s %q: must be seconds since the first frame of a video, the end behind the start", start, end)
	}
	return from, to, nil
}

// beside finds a file that a CSV names: beside it, or from the folder above, which names it as some lists do; also where a
// program on Windows has written the list.
func beside(table, name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	dir := filepath.Dir(table)
	found := filepath.Join(dir, name)
	if _, err := os.Stat(found); err != nil {
		if slashed := strings.ReplaceAll(name, `\`, "/"); slashed != name {
			return beside(table, slashed)
		}
		if above := filepath.Join(dir, "..", name); isFile(above) {
			return above
		}
	}
	return found
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// folder reads a folder of a folder for each class, or one of frames with masks.
func (o Sets) folder(s *Set) error {
	about, err := o.about()
	if err != nil {
		return err
	}
	columns := func(file string) map[string]string {
		relative, err := filepath.Rel(s.From, file)
		if err != nil {
			return nil
		}
		if cells := about[filepath.ToSlash(relative)]; cells != nil {
			return cells
		}
		return about[filepath.Base(file)]
	}
	if o.Masks != "" {
		if !slices.Contains(o.Classes, o.Class) {
			return fmt.Errorf("masks say where one class is: name it with --class; there are %s", strings.Join(o.Classes, ", "))
		}
		s.Paths = []string{s.From}
		s.label = func(file string) (Label, bool) {
			l := Label{Only: o.Class, Columns: columns(file)}
			in, err := marked(o.Masks, file)
			if in {
				l.Is = []string{o.Class}
			}
			return l, err == nil
		}
		return nil
	}
	entries, err := os.ReadDir(s.From)
	if err != nil {
		return err
	}
	byFolder := map[string][]string{}
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		is, err := o.classes(e.Name())
		if err != nil {
			return err
		}
		byFolder[e.Name()] = is
		s.Paths = append(s.Paths, filepath.Join(s.From, e.Name()))
	}
	if len(s.Paths) == 0 {
		return errors.New("it has no folder for each class; name a CSV of labels, or --masks and --class")
	}
	s.label = func(file string) (Label, bool) {
		relative, err := filepath.Rel(s.From, file)
		first, _, _ := strings.Cut(filepath.ToSlash(relative), "/")
		is, ok := byFolder[first]
		return Label{Is: is, Columns: columns(file)}, err == nil && ok
	}
	return nil
}

// about reads the columns of frames in folders, by file.
func (o Sets) about() (map[string]map[string]string, error) {
	if o.About == "" {
		return nil, nil
	}
	files := o.File
	if files == "" {
		files = "file"
	}
	rows, err := readTable(o.About, files)
	if err != nil {
		return nil, err
	}
	by := map[string]map[string]string{}
	for _, r := range rows {
		by[filepath.ToSlash(filepath.Clean(r.cells[files]))] = r.cells
	}
	return by, nil
}

// marked reports whether a frame has a mask in which something is.
func marked(folder, file string) (bool, error) {
	stem := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	for _, name := range maskNamesOf(stem) {
		if m := filepath.Join(folder, name); isFile(m) {
			_, err := faithfulness.ReadMask(m)
			if errors.Is(err, faithfulness.ErrUnmarked) {
				return false, nil
			}
			return err == nil, err
		}
	}
	return false, nil
}
