package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"slices"
	"strconv"
	"strings"

	"endogate/cmd/endogate/admin"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/explain/picture"
	"endogate/inference/analysis"
	"endogate/reports/draft"
	"endogate/reports/pdf"
)

// timelines draws what models said of videos over time.
type timelines struct {
	ledger  *ledger.Ledger
	classes func(model string) []analysis.Class // as they are configured by now
	frames  func(ctx context.Context, instance dicom.UID, numbers []int, take func(number int, picture image.Image, err error) error) error
	words   *draft.Templates
}

// errNoTimeline says that no model has looked at a video.
var errNoTimeline = errors.New("no model has analysed it as a video, or its result was taken back")

// of draws the timeline of an instance by a model, or by the first that looked at it where none is named: for paper in a language,
// or in English for a screen where that is "".
func (t timelines) of(ctx context.Context, study, instance dicom.UID, model, language string) (image.Image, error) {
	videos, err := t.ledger.Videos(ctx, study)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(videos, func(v ledger.Video) bool {
		return v.SOPInstanceUID == instance && v.Moving != nil && (model == "" || v.Model == model)
	})
	if i < 0 {
		return nil, errNoTimeline
	}
	results, err := t.ledger.Results(ctx, videos[i].Job)
	if err != nil {
		return nil, err
	}
	drawn := t.line(videos[i], results, language)
	drawn.Light = language != ""
	if drawn.Marks, err = t.marks(ctx, instance, videos[i], language); err != nil {
		return nil, err
	}
	return drawn.Draw(), nil
}

// marks are key frames with their pictures. One that cannot be had leaves its place empty; on paper, which may be signed, only one that is gone does.
func (t timelines) marks(ctx context.Context, instance dicom.UID, v ledger.Video, language string) (all []picture.Mark, err error) {
	var numbers []int
	classes := t.classes(v.Model)
	for _, k := range evenly(v.Moving.KeyFrames, picture.MostMarks) {
		class := k.Class
		if i := slices.IndexFunc(classes, func(c analysis.Class) bool { return c.Name == k.Class }); i >= 0 && language != "" {
			class = t.called(language, classes[i])
		}
		all = append(all, picture.Mark{At: k.At, Caption: []string{fmt.Sprintf("%d  %s", k.Frame, analysis.Clock(k.At)), class, fmt.Sprintf("p = %.2f", k.Probability)}})
		numbers = append(numbers, k.Frame)
	}
	if len(numbers) == 0 {
		return nil, nil
	}
	return all, t.frames(ctx, instance, numbers, func(number int, one image.Image, err error) error {
		if err != nil && (ctx.Err() != nil || language != "" && !errors.Is(err, pdf.ErrNoPicture)) {
			return err
		}
		if i := slices.Index(numbers, number); err == nil {
			all[i].Frame = one
		}
		return nil
	})
}

// evenly are so many of the key frames, spread over all.
func evenly(all []analysis.KeyFrame, most int) []analysis.KeyFrame {
	all = slices.CompactFunc(slices.Clone(all), func(a, b analysis.KeyFrame) bool { return a.Frame == b.Frame })
	if len(all) <= most {
		return all
	}
	few := make([]analysis.KeyFrame, most)
	for i := range few {
		few[i] = all[i*len(all)/most]
	}
	return few
}

// say is the phrase label-NAME of a language, with its blanks filled in, which are given as name and value in turn.
func (t timelines) say(language, name string, blanks ...string) string {
	language = cmp.Or(language, "en")
	for i := 0; i+1 < len(blanks); i += 2 {
		blanks[i] = "{" + blanks[i] + "}"
	}
	return strings.NewReplacer(blanks...).Replace(t.words.Label(language, name))
}

// called is what a class is called in a language; in none it is as its model has it.
func (t timelines) called(language string, c analysis.Class) string {
	code := c.Finding
	if c.Role == analysis.RoleLandmark {
		code = c.Site
	}
	if language == "" || code.Value == "" {
		return c.Worded()
	}
	return cmp.Or(t.words.Called(language, draft.Finding{Code: code}), c.Worded())
}

// poorLabels name the reasons for which frames are discounted (inference.Quality).
var poorLabels = map[string]string{"too dark": "poor-dark", "overexposed": "poor-overexposed", "out of the body": "poor-outside", "blurred": "poor-blurred"}

// line is the timeline of a video without pictures.
func (t timelines) line(v ledger.Video, results []analysis.Result, language string) picture.Timeline {
	m := v.Moving
	out := picture.Timeline{
		Title: t.say(language, "timeline", "model", v.Model), Length: m.Length,
		Remark: t.say(language, "timeline-counted", "analysed", strconv.Itoa(m.Analysed), "frames", strconv.Itoa(m.Frames), "discounted", strconv.Itoa(m.Discounted)),
		Words: picture.TimelineWords{
			Unverified: t.say(language, "timeline-unverified"), Threshold: t.say(language, "timeline-threshold"), Weights: t.say(language, "timeline-weights"),
			Discounted: t.say(language, "timeline-discounted"), None: t.say(language, "timeline-none"),
		},
	}
	poor := func(frame int) bool {
		return slices.ContainsFunc(m.Poor, func(s analysis.Stretch) bool { return s.FirstFrame <= frame && frame <= s.LastFrame })
	}
	for i, c := range t.lanes(v.Model, m) {
		lane := picture.Lane{Name: t.called(language, c), Threshold: c.Threshold, Tone: i}
		for _, r := range results {
			if p, asked := r.Scores[c.Name]; asked {
				at := r.Span.Start.Seconds()
				lane.Points = append(lane.Points, picture.Point{At: at, Value: p, Discounted: poor(r.Span.First)})
				out.Length = max(out.Length, at)
			}
		}
		for _, s := range m.Segments {
			if s.Class == c.Name {
				lane.Persists = append(lane.Persists, picture.Stretch{From: s.Start, To: s.End})
			}
		}
		out.Lanes = append(out.Lanes, lane)
	}
	for _, s := range m.Poor {
		out.Quality = append(out.Quality, picture.Stretch{From: s.Start, To: s.End, Text: cmp.Or(t.say(language, poorLabels[s.Why]), s.Why)})
	}
	for _, w := range m.Weights {
		out.Weights = append(out.Weights, picture.Point{At: w.At, Value: w.Value})
	}
	if c := m.Course; c != nil {
		for name, e := range map[string]*analysis.Estimate{"timeline-insertion": c.Insertion, "timeline-withdrawal": c.Withdrawal} {
			if e != nil {
				out.Spans = append(out.Spans, picture.Stretch{From: e.From.At, To: e.To.At, Text: t.say(language, name, "time", analysis.Clock(e.Seconds))})
			}
		}
		slices.SortFunc(out.Spans, func(a, b picture.Stretch) int { return strings.Compare(a.Text, b.Text) })
	}
	return out
}

// lanes are the classes that have one: findings, then landmarks, then quality. Of what a model takes for normal nothing is shown.
func (t timelines) lanes(model string, m *analysis.Moving) (lanes []analysis.Class) {
	classes := t.classes(model)
	if len(classes) == 0 { // the model is here no more: what it found is known by name
		for _, s := range m.Segments {
			if !slices.ContainsFunc(classes, func(c analysis.Class) bool { return c.Name == s.Class }) {
				classes = append(classes, analysis.Class{Name: s.Class, Role: s.Role})
			}
		}
	}
	for _, role := range []analysis.Role{analysis.RoleFinding, analysis.RoleLandmark, analysis.RoleQuality} {
		for _, c := range classes {
			if c.Role == role && len(lanes) < mostLanes {
				lanes = append(lanes, c)
			}
		}
	}
	return lanes
}

// mostLanes bounds the picture of a model of many classes.
const mostLanes = 12

// Timeline implements admin.Frames.
func (v *views) Timeline(ctx context.Context, study, instance dicom.UID, model string) (image.Image, error) {
	img, err := v.timelines().of(ctx, study, instance, model, "")
	switch {
	case errors.Is(err, errNoTimeline):
		return nil, fmt.Errorf("%w: %w", admin.ErrNotFound, err)
	case err != nil:
		return nil, notFound(err)
	}
	return img, nil
}
