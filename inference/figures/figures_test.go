package figures

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// expected is what testdata/expected.py computed apart, by scikit-learn; nil where it says nothing.
type expected struct {
	Name                string
	Present, Absent     []float64
	Threshold           float64
	Counts              [4]int
	Accuracy, ECE       float64
	Sensitivity         *float64
	Specificity         *float64
	Precision, F1, MCC  *float64
	AUC                 *float64
	AccuracyInterval    []float64 `json:"accuracy_interval"`
	SensitivityInterval []float64 `json:"sensitivity_interval"`
	SpecificityInterval []float64 `json:"specificity_interval"`
	AUCInterval         []float64 `json:"auc_interval"`
	AtSensitivity       *float64  `json:"at_sensitivity_0.9"`
	AtSpecificity       *float64  `json:"at_specificity_0.9"`
}

func TestFigures_asComputedApart(t *testing.T) {
	text, err := os.ReadFile("testdata/expected.json")
	require.NoError(t, err)
	var cases []expected
	require.NoError(t, json.Unmarshal(text, &cases))
	require.Len(t, cases, 13)
	for _, want := range cases {
		t.Run(want.Name, func(t *testing.T) {
			same := func(want *float64, interval []float64, got Figure, what string) {
				t.Helper()
				if want == nil {
					require.NotEmpty(t, got.None, "%s is %s", what, got)
					require.Equal(t, "–", got.String())
					return
				}
				require.Empty(t, got.None, what)
				require.InDelta(t, *want, got.Value, 1e-12, what)
				if interval != nil {
					require.True(t, got.Interval, what)
					require.InDelta(t, interval[0], got.Low, 1e-9, what)
					require.InDelta(t, interval[1], got.High, 1e-9, what)
				}
			}
			s := Scores{want.Present, want.Absent}
			c := s.At(want.Threshold)
			require.Equal(t, Counts{want.Counts[0], want.Counts[1], want.Counts[2], want.Counts[3]}, c)
			same(&want.Accuracy, want.AccuracyInterval, c.Accuracy(), "accuracy")
			same(want.Sensitivity, want.SensitivityInterval, c.Sensitivity(), "sensitivity")
			same(want.Specificity, want.SpecificityInterval, c.Specificity(), "specificity")
			same(want.Precision, nil, c.Precision(), "precision")
			same(want.F1, nil, c.F1(), "F1")
			same(want.MCC, nil, c.MCC(), "MCC")
			same(want.AUC, want.AUCInterval, s.AUC(), "AUC")
			p, so := append(append([]float64{}, want.Present...), want.Absent...), make([]bool, c.N())
			for i := range want.Present {
				so[i] = true
			}
			same(&want.ECE, nil, Reliable(p, so).ECE, "ECE")
			if want.AUC == nil {
				return
			}
			for _, aim := range []struct {
				of   string
				want *float64
			}{{"sensitivity", want.AtSensitivity}, {"specificity", want.AtSpecificity}} {
				got, why := s.Threshold(Aim{aim.of, 0.9})
				if aim.want == nil || *aim.want == 0 {
					require.NotEmpty(t, why, aim.of)
					continue
				}
				require.Empty(t, why, aim.of)
				require.InDelta(t, *aim.want, got, 1e-12, aim.of)
			}
		})
	}
}

// Published intervals: Newcombe 1998, table I, method 3.
func TestShare_published(t *testing.T) {
	for _, tt := range []struct {
		hits, n   int
		low, high float64
	}{{81, 263, 0.2553, 0.3662}, {15, 148, 0.0624, 0.1605}, {0, 20, 0, 0.1611}, {1, 29, 0.0061, 0.1718}} {
		f := Share(tt.hits, tt.n, "")
		require.InDelta(t, tt.low, f.Low, 5e-5)
		require.InDelta(t, tt.high, f.High, 5e-5)
	}
}

// Whatever the scores, no figure is NaN, and each lies in its interval and range.
func TestFigures_neverNaN(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) []float64 {
			return rapid.SliceOfN(rapid.OneOf(rapid.Float64Range(0, 1), rapid.SampledFrom([]float64{0, 0.5, 1})), 0, 8).Draw(t, name)
		}
		s := Scores{draw("present"), draw("absent")}
		c := s.At(rapid.Float64Range(0, 1).Draw(t, "threshold"))
		table := c.Table()
		all := append([]float64{}, s.Present...)
		r := Reliable(append(all, s.Absent...), make([]bool, c.N()))
		for _, f := range []Figure{
			table.Precision, table.Recall, table.Specificity, table.Accuracy, table.MCC, table.F1, s.AUC(), r.ECE,
			Macro([]Table{table, Counts{}.Table()}).F1, Mean(nil),
		} {
			if _, err := json.Marshal(f); err != nil {
				t.Fatal(err)
			}
			switch {
			case f.None != "":
			case math.IsNaN(f.Value) || f.Value < -1-1e-12 || f.Value > 1+1e-12:
				t.Fatalf("%+v", f)
			case f.Interval && !(0 <= f.Low && f.Low <= f.Value+1e-12 && f.Value-1e-12 <= f.High && f.High <= 1):
				t.Fatalf("%+v", f)
			}
		}
		for _, of := range []string{"sensitivity", "specificity"} {
			aim := rapid.Float64Range(0.01, 1).Draw(t, of)
			threshold, why := s.Threshold(Aim{of, aim})
			if why != "" {
				continue
			}
			at := s.At(threshold)
			got := map[string]Figure{"sensitivity": at.Sensitivity(), "specificity": at.Specificity()}[of]
			if got.Value < aim-1e-9 {
				t.Fatalf("%s %v at %v: wanted %v", of, got, threshold, aim)
			}
		}
	})
}
