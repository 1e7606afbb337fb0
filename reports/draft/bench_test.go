package draft

import (
	"encoding/json"
	"testing"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

// BenchmarkNew makes the draft of an examination of 60 images that two models saw, without measuring frames.
func BenchmarkNew(b *testing.B) {
	in := sample()
	for e := range in.Exams {
		in.Exams[e].Instances = nil
		for n := range 60 {
			in.Exams[e].Instances = append(in.Exams[e].Instances, still(n+1, map[string]float64{"polyp": float64(n) / 60, "normal-cecum": float64(60-n) / 60}))
		}
	}
	in.Quality = func(i dicom.SOPInstance, _ analysis.Span) (Quality, error) {
		return Quality{Sharpness: 0.5, Exposure: 0.9, Hash: uint64(len(i.SOPInstanceUID)) * 0x9e3779b97f4a7c15}, nil
	}
	for b.Loop() {
		d, err := Default().New(in)
		if err != nil {
			b.Fatal(err)
		}
		text, err := json.Marshal(d)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(text)), "bytes")
	}
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := Load(""); err != nil {
			b.Fatal(err)
		}
	}
}
