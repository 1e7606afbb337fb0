package admin

import (
	"image"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/inference/analysis"
)

// fits holds that a page need not be moved sideways on a telephone and on a tablet (WCAG 2.2, 1.4.10).
func (b *browser) fits(state string) {
	b.t.Helper()
	for _, width := range []int64{320, 820} {
		b.size(width, 1000)
		wide := eval[int64](b, `document.scrollingElement.scrollWidth`)
		require.LessOrEqual(b.t, wide, width, state)
	}
	b.size(1600, 1000)
}

// accessible holds what is shown to the rules of WCAG 2.2 AA that axe-core knows, and to that what is seen of a control is said of it.
func (b *browser) accessible(state string) {
	b.t.Helper()
	axe, err := filepath.Abs("../../../bin/axe/axe.min.js")
	require.NoError(b.t, err)
	installed.Require(b.t, axe)
	if eval[bool](b, `typeof axe === "undefined"`) {
		source, err := os.ReadFile(axe)
		require.NoError(b.t, err)
		eval[bool](b, string(source)+"; true")
	}
	eval[bool](b, `(() => { window.found = null; axe.run(document, {
		runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], rules: { "label-content-name-mismatch": { enabled: true } }, resultTypes: ["violations"],
	}).then((r) => { window.found = r.violations.flatMap((v) => v.nodes.map((n) => v.id + ": " + n.target.join(" ") + " " + n.failureSummary)) }, (e) => { window.found = [String(e)] }); return true })()`)
	b.until(`window.found`)
	assert.Empty(b.t, eval[[]string](b, `window.found`), state)
	assert.Empty(b.t, eval[[]string](b, `[...document.querySelectorAll("[id]")].filter((e) => !e.closest("defs")).map((e) => e.id).filter((id, i, all) => all.indexOf(id) !== i)`), "%s: names that two have", state)
}

// TestPage_axe looks at pages and states in the dark and in the light.
func TestPage_axe(t *testing.T) {
	b := open(t, newHospital(t))
	for _, state := range []struct{ name, path, shows, click, then string }{
		{"studies", "/", ".studies tbody tr", "", ""},
		{"study, side by side", "/#/studies/2.25.1001", ".stage canvas.heat", "#mode-side", `document.querySelectorAll(".stage figure").length === 2`},
		{"frame, side by side and beside each other", framePage + "?view=side", ".lens canvas.heat", "#beside summary", `document.querySelectorAll("#tiles-blocks canvas.heat").length === 2`},
		{"study, all of it", "/#/studies/2.25.1002", ".timeline li", "", ""},
		{"study, not analysed", "/#/studies/2.25.1003", ".stage .broken", "", ""},
		{"study, not known", "/#/studies/9.9.9", "[role=alert] .notice", "", ""},
		{"second looks", "/#/reviews", ".review", "", ""},
		{"outbox", "/#/outbox?state=", "tbody tr", "", ""},
		{"parked, asked", "/#/parked", "#discard-job-e7\\.demo-colon", "#discard-job-e7\\.demo-colon", `document.querySelector("dialog .danger")`},
		{"destinations", "/#/destinations", "#echo-pacs", "", ""},
		{"system", "/#/system", ".checks li", "", ""},
		{"nothing found", "/#/studies?patient_id=nobody", ".empty", "", ""},
		{"frame, refused", framePage + "?class=tea", "[role=alert] .notice", "", ""},
	} {
		b.visit(state.path, state.shows)
		if state.click != "" {
			b.click(state.click)
			b.until(state.then)
		}
		for _, scheme := range []string{"dark", "light"} {
			b.scheme(scheme)
			b.accessible(state.name + ", " + scheme)
		}
		b.fits(state.name)
	}
}

// filmed gives a study of the hospital what a model that looks across time makes of a video.
func (h *hospital) filmed() {
	s := &h.studies[0]
	sop := s.Instances[0].SOPInstanceUID
	moment := func(frame int) analysis.Moment { return analysis.Moment{Frame: frame, At: float64(frame) / 25} }
	s.Videos = []Video{{
		SOPInstanceUID: sop, Model: sampleModel.Name, State: "done", Frames: 1200, Analysed: 240, ToAnalyse: 240, Skipped: 960, Discounted: 12, DiscountedWhy: map[string]int{"too dark": 12}, Selected: "every fifth",
		KeyFrames: []analysis.KeyFrame{{Frame: 400, Class: "polyp", Reason: "most probable", At: 16, Probability: .97}}, Length: 48, Poor: []analysis.Stretch{{Why: "too dark", FirstFrame: 1, LastFrame: 60, End: 2.4, Frames: 12}},
		Course: &analysis.Course{
			First: moment(61), Last: moment(1200), Cecum: &analysis.Landmark{Frames: 3, First: moment(300), Last: moment(320)},
			Withdrawal: &analysis.Estimate{Seconds: 35, From: moment(320), To: moment(1200)}, Preparation: []analysis.Preparation{{Class: "inadequate-preparation", End: 24, Frames: 100, Flagged: 3}},
		}, Timeline: &TimelineEdges{.1, .9},
	}}
	s.Segments = []Segment{{sop, sampleModel.Name, analysis.Segment{Class: "polyp", Role: analysis.RoleFinding, FirstFrame: 390, LastFrame: 410, PeakFrame: 400, Start: 15.6, End: 16.4, Probability: .97}}}
	sheet := Object{SOPInstance: instance(s.StudyInstanceUID, 70, "1.2.840.10008.5.1.4.1.1.7"), Purpose: "heatmap", Model: sampleModel.Name, Source: sop, Span: analysis.Span{First: 390, Count: 16}, MadeAt: sampleTime}
	s.Objects = append(s.Objects, sheet)
	h.images[string(sheet.SOPInstanceUID)] = func() (image.Image, error) { return image.NewRGBA(image.Rect(0, 0, 2400, 600)), nil }
}

// TestPage_axeStates looks at states that need more than the sample hospital.
func TestPage_axeStates(t *testing.T) {
	h := newHospital(t)
	h.filmed()
	server := newServer(t, h)
	server.Settings = func() Settings {
		is := sampleSettings
		is.Viewer = "https://pacs.example/viewer?StudyInstanceUIDs={study}"
		return is
	}
	b := openAt(t, serve(t, server))
	fail := func(err error) {
		h.mu.Lock()
		h.err = err
		h.mu.Unlock()
	}
	look := func(state string) {
		for _, scheme := range []string{"dark", "light"} {
			b.scheme(scheme)
			b.accessible(state + ", " + scheme)
			b.picture("axe-"+state+"-"+scheme, true)
		}
		b.fits(state)
	}
	h.studies[1].AccessionNumber = h.studies[0].AccessionNumber
	b.visit("/#/find?q=ACC-2026-004711", ".studies tbody tr + tr")
	look("several hits")
	b.visit("/#/studies/2.25.1001", ".sheet img")
	b.see("#viewer")
	b.click("details details summary")
	b.until(`[...document.querySelectorAll(".sheet img, .over-time")].every((i) => i.naturalWidth)`)
	look("video, sheet and viewer")
	b.visit("/#/audit?text=anna", "#older")
	look("audit, searched")
	for _, language := range []string{"de", "nb", "en"} {
		b.visit("/?language="+language+"#/live/room1", "canvas[data-frame='7']")
		b.until(`document.documentElement.lang === "` + language + `"`)
		look("live, " + language)
	}
	for name, err := range map[string]error{"forbidden": ErrForbidden, "busy": ErrBusy, "not found": ErrNotFound} {
		fail(err)
		b.visit("/#/studies", "[role=alert] .notice")
		look(name)
		fail(nil)
	}
	b.visit("/#/studies/2.25.1001", ".stage img")
	fail(ErrBusy)
	b.eager()
	b.see("#offline:not([hidden])")
	b.see("[role=alert] .notice")
	look("busy after it was shown")
	fail(nil)
}

// TestPage_axeGone looks at what a person meets whose sign-in has ended amid something.
func TestPage_axeGone(t *testing.T) {
	h := newHouse(t)
	b := openAt(t, h.URL)
	b.visit("/signin", "#name")
	b.write("#name", "clinician")
	b.write("#password", goodPassword)
	b.click("form button")
	b.see(".studies tbody tr")
	b.visit("/#/studies/2.25.1001", ".stage img")
	h.pass(2 * time.Hour)
	eval[int](b, `setTimeout(() => document.dispatchEvent(new Event("visibilitychange")))`) // which leads elsewhere
	b.see("#password")
	for _, scheme := range []string{"dark", "light"} {
		b.scheme(scheme)
		b.accessible("sign-in has ended, " + scheme)
	}
	b.picture("signin-ended", true)
}
