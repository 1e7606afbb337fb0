package trial

import (
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// laid writes files below a folder.
func laid(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	return dir
}

func TestSets_Read(t *testing.T) {
	o := Sets{Classes: []string{"polyp", "mucosa"}}
	renamed := o
	renamed.Rename = map[string]string{"Polyps": "polyp", "ulcer": ""}
	masked := o
	masked.Masks, masked.Class = "masks", "top"
	const table = "\ufefffile;label;site\nsub/a.jpg;polyp;1\nb.jpg;mucosa;2\nc.jpg;;2\n/x/d.jpg;polyp|mucosa;1\n"
	dir := laid(t, map[string]string{
		"labels.csv": table, "twice.csv": "file,label\na,polyp\na,mucosa\n", "unknown.csv": "file,label\na,ulcer\n", "class.csv": "file,class\na,polyp\n",
		"no.csv": "name,label\na,polyp\n", "empty.csv": "", "ragged.csv": "file,label\na\n", "none.csv": "file,label\na,\n", "above/list.csv": "file,label\nabove/x.jpg,polyp\n", "above/x.jpg": "",
		"excel.txt":   "\xff\xfe" + string([]byte{'f', 0, 'i', 0, 'l', 0, 'e', 0, '\t', 0, 'l', 0, 'a', 0, 'b', 0, 'e', 0, 'l', 0, '\n', 0, 'a', 0, '\t', 0, 'p', 0, 'o', 0, 'l', 0, 'y', 0, 'p', 0, '\n', 0}),
		"windows.csv": "File ; LABEL\r\nframes\\w.jpg; Polyp\r\n", "frames/w.jpg": "", "latin.csv": "file,label\nl\xe4sion.jpg,polyp\n",
		"classes/polyp/1.jpg": "", "classes/mucosa/2.jpg": "", "other/Polyps/1.jpg": "", "other/ulcer/2.jpg": "", "flat/1.jpg": "",
	})
	for _, tt := range []struct {
		name, said string
		o          Sets
		paths      []string          // below dir
		is         map[string]string // by file
		without    int
		fault      string
	}{
		{name: "semicolons, mark, rows without a label, several classes", said: "labels.csv", o: o, paths: []string{"sub/a.jpg", "b.jpg", "/x/d.jpg"}, is: map[string]string{"sub/a.jpg": "polyp", "/x/d.jpg": "polyp+mucosa"}, without: 1},
		{name: "some rows", said: "labels.csv,site=[2-9]", o: o, paths: []string{"b.jpg"}, is: map[string]string{"b.jpg": "mucosa"}, without: 1},
		{name: "column class", said: "class.csv", o: o, paths: []string{"a"}, is: map[string]string{"a": "polyp"}},
		{name: "files from the folder above", said: "above/list.csv", o: o, paths: []string{"above/x.jpg"}, is: map[string]string{"above/x.jpg": "polyp"}},
		{name: "a folder for each class", said: "classes", o: o, paths: []string{"classes/mucosa", "classes/polyp"}, is: map[string]string{"classes/polyp/1.jpg": "polyp"}},
		{name: "other names, and something else", said: "other", o: renamed, paths: []string{"other/Polyps", "other/ulcer"}, is: map[string]string{"other/Polyps/1.jpg": "polyp", "other/ulcer/2.jpg": ""}},
		{name: "UTF-16 with tabs", said: "excel.txt", o: o, paths: []string{"a"}, is: map[string]string{"a": "polyp"}},
		{name: "as Windows has it", said: "windows.csv", o: o, paths: []string{"frames/w.jpg"}, is: map[string]string{"frames/w.jpg": "polyp"}},
		{name: "not UTF-8", said: "latin.csv", o: o, fault: "not in UTF-8; save it as CSV UTF-8"},
		{name: "one file twice", said: "twice.csv", o: o, fault: "line 3: a is in line 2 too"},
		{name: "unknown label", said: "unknown.csv", o: o, fault: `line 2: label "ulcer" is no class of the model, which has polyp, mucosa; say --label "ulcer"=CLASS`},
		{name: "unknown folder", said: "other", o: o, fault: `label "Polyps" is no class`},
		{name: "no such column", said: "no.csv", o: o, fault: `no column "file"; it has name, label`},
		{name: "no such column to choose by", said: "labels.csv,centre=2", o: o, fault: `no column "centre"`},
		{name: "empty", said: "empty.csv", o: o, fault: "empty"},
		{name: "ragged", said: "ragged.csv", o: o, fault: "wrong number of fields"},
		{name: "no labels", said: "none.csv", o: o, fault: "no frame of it has a label"},
		{name: "no classes", said: "flat", o: o, fault: "no folder for each class"},
		{name: "rows of a folder", said: "classes,a=b", o: o, fault: "this is a folder"},
		{name: "no pattern", said: "labels.csv,site=[", o: o, fault: "must be COLUMN=PATTERN"},
		{name: "masks of no class", said: "flat", o: masked, fault: "name it with --class"},
		{name: "missing", said: "nowhere.csv", o: o, fault: "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := tt.o.Read("own=" + filepath.Join(dir, tt.said))
			if tt.fault != "" {
				require.ErrorContains(t, err, tt.fault)
				return
			}
			require.NoError(t, err)
			below := func(p string) string {
				if filepath.IsAbs(p) {
					return p
				}
				return filepath.Join(dir, p)
			}
			var paths []string
			for _, p := range tt.paths {
				paths = append(paths, below(p))
			}
			require.Equal(t, paths, cleaned(s.Paths))
			require.Equal(t, tt.without, s.Without)
			for file, is := range tt.is {
				for _, p := range append(s.Paths, below(file)) {
					if filepath.Clean(p) == below(file) {
						file = p
					}
				}
				l, ok := s.label(file)
				if !ok {
					l, ok = s.label(below(file))
				}
				require.True(t, ok, file)
				require.Equal(t, is, strings.Join(l.Is, "+"), file)
			}
		})
	}
	for _, said := range []string{"labels.csv", "=labels.csv", "own="} {
		_, err := o.Read(said)
		require.ErrorContains(t, err, "must be NAME=")
	}
}

// Parts of a video have labels of their own by start_s and end_s; all of it has one, or parts have, and not both.
func TestSets_parts(t *testing.T) {
	o := Sets{Classes: []string{"polyp", "mucosa"}}
	read := func(rows string) (Set, error) {
		return o.Read("own=" + filepath.Join(laid(t, map[string]string{"labels.csv": "file,label,start_s,end_s\n" + rows}), "labels.csv"))
	}
	s, err := read("a.mp4,polyp,1.5,4\nb.mp4,mucosa,,\na.mp4,mucosa,4,9.25\n")
	require.NoError(t, err)
	require.Len(t, s.Paths, 2)
	var spans [][2]float64
	for _, l := range s.labels(s.Paths[0]) {
		spans = append(spans, [2]float64{l.From, l.To})
	}
	require.Equal(t, [][2]float64{{1.5, 4}, {4, 9.25}}, spans)
	require.Len(t, s.labels(s.Paths[1]), 1)
	require.Empty(t, s.labels("other.mp4"))
	for rows, fault := range map[string]string{
		"a.mp4,polyp,4,1\n": "the end behind the start", "a.mp4,polyp,,4\n": "must be seconds", "a.mp4,polyp,-1,4\n": "must be seconds", "a.mp4,polyp,0,NaN\n": "must be seconds",
		"a.mp4,polyp,0,4\na.mp4,polyp,,\n": "say one or the other", "a.mp4,polyp,0,4\na.mp4,mucosa,8,9\na.mp4,mucosa,3.5,6\n": "line 4: a.mp4 from 3.5 to 6 s is in part from 0 to 4 s too",
	} {
		_, err := read(rows)
		require.ErrorContains(t, err, fault, rows)
	}
}

func cleaned(paths []string) (out []string) {
	for _, p := range paths {
		out = append(out, filepath.Clean(p))
	}
	return out
}

// Masks say where one class is, and nothing of the others; columns come from a CSV of their own.
func TestSets_masksAndColumns(t *testing.T) {
	dir := laid(t, map[string]string{"frames/a.jpg": "", "frames/b.jpg": "", "frames/c.jpg": "", "about.csv": "file,device\na.jpg,X\nframes/b.jpg,Y\nb.jpg,Z\n"})
	require.NoError(t, os.Mkdir(filepath.Join(dir, "masks"), 0o700))
	for name, grey := range map[string]uint8{"a.png": 255, "b.png": 0} {
		m := image.NewGray(image.Rect(0, 0, 4, 4))
		m.Pix[5] = grey
		f, err := os.Create(filepath.Join(dir, "masks", name))
		require.NoError(t, err)
		require.NoError(t, png.Encode(f, m))
		require.NoError(t, f.Close())
	}
	o := Sets{Classes: []string{"polyp", "mucosa"}, Masks: filepath.Join(dir, "masks"), Class: "polyp", About: filepath.Join(dir, "about.csv")}
	s, err := o.Read("own=" + filepath.Join(dir, "frames"))
	require.NoError(t, err)
	for file, want := range map[string]struct {
		is     []string
		device string
	}{"a.jpg": {[]string{"polyp"}, "X"}, "b.jpg": {nil, "Z"}, "c.jpg": {nil, ""}} {
		l, ok := s.label(filepath.Join(dir, "frames", file))
		require.True(t, ok)
		require.Equal(t, want.is, l.Is, file)
		require.Equal(t, want.device, l.Columns["device"], file)
		require.True(t, l.knows("polyp"))
		require.False(t, l.knows("mucosa"))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "masks", "c.png"), []byte("no picture"), 0o600))
	_, ok := s.label(filepath.Join(dir, "frames", "c.jpg"))
	require.False(t, ok, "what cannot be read says nothing")
}
