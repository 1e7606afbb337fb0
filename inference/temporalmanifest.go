package inference

import (
	"cmp"

	"endogate/configs/strict"
)

// Bounds of what a manifest says of videos.
const (
	maxPerSecond = 120
	maxSelected  = defaultMaxFrames // no more are ever analysed
	maxKeyFrames = 50
)

// readTemporal reads select, aggregate, persist and key_frames.
func readTemporal(f *strict.Fields, kind Kind) Temporal {
	t := DefaultTemporal()
	if kind == Video {
		t = clipTemporal()
	}
	if v := f.Optional("select"); v.Present() {
		t.Select = readSelect(v)
	}
	t.Rule = cmp.Or(strict.OneOf(f.Optional("aggregate"), Hysteresis, Max, MeanTopK, Consensus), t.Rule)
	if v := f.Optional("persist"); v.Length(2) {
		items := v.List()
		t.Frames, t.Of = items[0].Integer(1, 100), items[1].Integer(1, 100)
		if t.Frames > t.Of {
			v.Fault("is %d of %d; the first is how many of so many frames", t.Frames, t.Of)
		}
	}
	if v := f.Optional("smoothing"); v.Present() {
		t.Smoothing = v.Above(0, 1)
	}
	if v := f.Optional("ends_below"); v.Present() {
		t.Lower = v.Above(0, 1)
	}
	if v := f.Optional("top"); v.Present() {
		t.Top = v.Integer(1, 1000)
	}
	if v := f.Optional("key_frames"); v.Present() {
		t.KeyFrames = v.Integer(0, maxKeyFrames)
	}
	return t
}

func readSelect(v strict.Value) Select {
	f := v.Fields()
	defer f.Done()
	s := Select{Most: defaultMaxFrames}
	ways := 0
	if every := f.Optional("every"); every.Present() {
		s.Every, ways = every.Integer(1, 1_000_000), ways+1
	}
	if per := f.Optional("per_second"); per.Present() {
		s.PerSecond, ways = per.Above(0, maxPerSecond), ways+1
	}
	if segments := f.Optional("segments"); segments.Present() {
		s.Segments, ways = segments.Integer(1, maxSelected), ways+1
	}
	if scene := f.Optional("scene"); scene.Present() {
		s.Scene, ways = scene.Above(0, 1), ways+1
	}
	if most := f.Optional("most"); most.Present() {
		s.Most = most.Integer(1, maxSelected)
	}
	if ways != 1 && f.Present() {
		v.Fault("must have one of every, per_second, segments and scene")
	}
	return s
}
