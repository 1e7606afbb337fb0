package peers

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"image"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"endogate/cmd/endogate/installed"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// A viewer on software rendering and a busy machine is slow; these bound what is waited for.
const (
	ohifLimit = 12 * time.Minute // for the whole visit
	ohifStep  = 5 * time.Minute  // for one change of the page
	ohifAgain = 20 * time.Second // until a series that does not come is asked for once more
)

// repeat says when something is done once more: after a while, and then after twice as long each time, as a machine that needs longer would
// otherwise begin anew for ever.
type repeat struct {
	from  time.Time
	after time.Duration
}

func repeated(after time.Duration) *repeat { return &repeat{time.Now(), after} }

func (r *repeat) due() bool {
	if time.Since(r.from) < r.after {
		return false
	}
	r.from, r.after = time.Now(), 2*r.after
	return true
}

// ohifStale is what the viewer throws, and survives, where an image arrives for a viewport that was put in the place of
// another meanwhile: a race of its own (OHIF/Viewers issues 5518 and 6073), which a slow machine meets at a double click.
const ohifStale = "The stack viewport has been destroyed and is no longer usable"

// OHIFScreenshot opens a study of Orthanc's in the OHIF viewer and returns a PNG of the page that shows
// the series whose description contains seriesDescription. The test fails unless
//   - the series list shows that series, and every SR series of the study,
//   - the viewport shows an instance of that series: its pixels are nearest to what Orthanc renders for it,
//   - every SR opens on a source image with its regions drawn, and
//   - the viewer reports no error up to the end.
//
// Pictures of the page go to the test's artefacts.
func OHIFScreenshot(t testing.TB, o *Orthanc, studyInstanceUID, seriesDescription string) []byte {
	t.Helper()
	return OHIFScreenshotFrom(t, o.URL, o, studyInstanceUID, seriesDescription)
}

// OHIFScreenshotFrom is OHIFScreenshot where the viewer has the study from another server, by DICOMweb below its URL, and Orthanc says
// what is in it.
func OHIFScreenshotFrom(t testing.TB, server string, o *Orthanc, studyInstanceUID, seriesDescription string) []byte {
	t.Helper()
	installed.Require(t, "chromium")
	site := startOHIF(t, server)
	ctx, cancel := context.WithTimeout(startBrowser(t), ohifLimit)
	defer cancel()
	v := &ohif{t: t, ctx: ctx, messages: console(t, ctx)}

	series := o.Series(t, studyInstanceUID)
	v.open(site + "/viewer?StudyInstanceUIDs=" + url.QueryEscape(studyInstanceUID))
	v.listed("", seriesDescription)
	pictures := rendered(t, o, series)
	v.shows("", seriesDescription, pictures, "series "+strconv.Quote(seriesDescription), func(of string) bool { return strings.Contains(of, seriesDescription) })
	picture := v.screenshot("ohif-heatmap.png")
	for _, s := range series {
		if s.Modality != "SR" {
			continue
		}
		v.listed("SR", s.Description)
		v.shows("SR", s.Description, pictures, "the source of an SR", func(of string) bool { return !strings.Contains(of, seriesDescription) })
		if hasRegion(t, o, s) {
			v.showsRegion()
		}
		v.screenshot("ohif-report.png")
	}
	v.noErrors()
	return picture
}

// OHIFSeries is a series with pictures of some of its frames, as the list of series says it.
type OHIFSeries struct {
	Modality, Description string
	Frames                []image.Image
	// Next is what a person does to see others: play them, or look at the next one.
	Next OHIFNext
}

// OHIFNext is how frames behind the first that is shown are shown.
type OHIFNext int

const (
	OHIFStay   OHIFNext = iota // they are not
	OHIFPlay                   // by the cine player
	OHIFScroll                 // by the key for the next frame
)

// OHIFVideos opens a study in the OHIF viewer, which has it from a server by DICOMweb below its URL, and returns a PNG of the page with each of the
// series, at the last frame of it that was shown. The test fails unless the viewport shows one of the frames of each, and another one next where there is a next; a
// region of an SR; or where the viewer reports an error.
func OHIFVideos(t testing.TB, server, studyInstanceUID string, all ...OHIFSeries) (pictures [][]byte) {
	t.Helper()
	installed.Require(t, "chromium")
	site := startOHIF(t, server)
	ctx, cancel := context.WithTimeout(startBrowser(t), time.Duration(len(all))*ohifLimit)
	defer cancel()
	v := &ohif{t: t, ctx: ctx, messages: console(t, ctx)}
	v.open(site + "/viewer?StudyInstanceUIDs=" + url.QueryEscape(studyInstanceUID))
	for i, s := range all {
		v.listed(s.Modality, s.Description)
		frames := map[image.Image]string{}
		for n, f := range s.Frames {
			frames[f] = strconv.Itoa(n)
		}
		first := ""
		v.shows(s.Modality, s.Description, frames, "a frame of "+s.Description, func(of string) bool { first = of; return true })
		if s.Modality == "SR" {
			v.showsRegion()
		}
		if s.Next != OHIFStay {
			v.moves(s.Next, frames, first)
		}
		pictures = append(pictures, v.screenshot(fmt.Sprintf("ohif-video-%d.png", i)))
	}
	v.noErrors()
	return pictures
}

// moves has the viewport go on until it shows another frame than the first. What was played stands still then: the viewer puts nothing in the place of a video that plays.
func (v *ohif) moves(how OHIFNext, frames map[image.Image]string, first string) {
	v.t.Helper()
	const player = `document.querySelector('[data-cy="cine-player-play-pause"]')`
	press := func() { v.wait("cine player", `(b => b !== null && (b.click(), true))(`+player+`)`) }
	if how == OHIFPlay {
		if there, err := chromedp.Run(v.ctx, chromedp.Evaluate[bool](player+" !== null")); err != nil || !there {
			v.do(chromedp.KeyEvent("c")) // has the player shown
		}
		press()
		defer press()
	}
	again := repeated(ohifAgain)
	v.until(func() string {
		switch {
		case how == OHIFScroll:
			v.do(chromedp.KeyEvent(kb.ArrowDown))
		case again.due(): // it may have played before
			press()
		}
		if canvas := v.canvas(); canvas != nil && !uniform(canvas) {
			if nearest, distance := nearestOf(canvas, frames); nearest != first && distance <= sameDistance {
				return ""
			}
		}
		return "the viewport goes on to no other frame"
	})
}

// do does steps in the page.
func (v *ohif) do(steps ...chromedp.Action[chromedp.Void]) {
	v.t.Helper()
	if err := chromedp.Do(v.ctx, steps...); err != nil {
		v.t.Fatalf("peers: ohif: %v%s", err, v.said())
	}
}

// nearestOf is what is said of the picture that a canvas is nearest to, and how far it is from it.
func nearestOf(canvas image.Image, pictures map[image.Image]string) (nearest string, distance float64) {
	distance = 256
	for picture, of := range pictures {
		if d := fitDistance(canvas, picture); d < distance {
			nearest, distance = of, d
		}
	}
	return nearest, distance
}

// rendered returns what Orthanc draws for every image of the series, with the description of its series.
func rendered(t testing.TB, o *Orthanc, series []Series) map[image.Image]string {
	t.Helper()
	pictures := map[image.Image]string{}
	for _, s := range series {
		for _, instance := range s.Instances {
			if s.Modality != "SR" && s.Modality != "KO" {
				pictures[o.Rendered(t, instance.ID)] = s.Description
			}
		}
	}
	return pictures
}

// hasRegion tells whether an SR series holds a region in image coordinates.
func hasRegion(t testing.TB, o *Orthanc, series Series) bool {
	t.Helper()
	for _, instance := range series.Instances {
		if strings.Contains(fmt.Sprint(o.Tags(t, instance.ID)), "SCOORD") {
			return true
		}
	}
	return false
}

// ohif is a page of the viewer.
type ohif struct {
	t        testing.TB
	ctx      context.Context
	messages func() []chromedp.ConsoleMessage
}

// open navigates and waits until the first series of the study is in the viewport.
func (v *ohif) open(page string) {
	v.t.Helper()
	if err := chromedp.Do(v.ctx, chromedp.EmulateViewport(1440, 900), chromedp.Navigate(page)); err != nil {
		v.t.Fatalf("peers: ohif: open the study: %v%s", err, v.said())
	}
	v.until(func() string {
		if canvas := v.canvas(); canvas == nil || uniform(canvas) {
			return "the study does not open"
		}
		return ""
	})
}

// thumbnail is an entry of the series list, with or without a picture.
const thumbnail = `[data-cy^="study-browser-thumbnail"]`

// find is a function of the page: the entry of the series list with this modality and description.
const find = `((modality, description) => [...document.querySelectorAll('` + thumbnail + `')].find(entry => {
	const text = label => (entry.querySelector('[data-cy="series-' + label + '-label"]') || {}).textContent || '';
	return text('modality').includes(modality) && text('description').includes(description);
}))`

func (v *ohif) entry(modality, description string) string {
	return fmt.Sprintf("%s(%s, %s)", find, strconv.Quote(modality), strconv.Quote(description))
}

// listed waits until the series list shows the series.
func (v *ohif) listed(modality, description string) {
	v.t.Helper()
	v.wait(fmt.Sprintf("series %q in the list", description), v.entry(modality, description)+" !== undefined")
}

// activate shows the series in the viewport, as a double click on its entry does.
func (v *ohif) activate(modality, description string) {
	v.t.Helper()
	click := v.entry(modality, description) + `.dispatchEvent(new MouseEvent('dblclick', {bubbles: true})), true`
	if _, err := chromedp.Run(v.ctx, chromedp.Evaluate[bool](click)); err != nil {
		v.t.Fatalf("peers: ohif: activate %q: %v", description, err)
	}
}

// shows activates the series and waits until the viewport shows one of the pictures, and the nearest of them is of a
// wanted series. As a person would, it activates again where nothing comes.
func (v *ohif) shows(modality, description string, pictures map[image.Image]string, what string, wanted func(description string) bool) {
	v.t.Helper()
	v.activate(modality, description)
	again := repeated(ohifAgain)
	v.until(func() string {
		if again.due() {
			v.activate(modality, description)
		}
		canvas := v.canvas()
		if canvas == nil || uniform(canvas) {
			return "the viewport stays empty instead of showing " + what
		}
		nearest, distance := nearestOf(canvas, pictures)
		if !wanted(nearest) || distance > sameDistance {
			return fmt.Sprintf("the viewport does not show %s: nearest is series %q, off by %.1f of 255", what, nearest, distance)
		}
		return ""
	})
}

// showsRegion waits until a region is drawn over the viewport. A viewer that read the SR after it had drawn the image
// draws the region with the image's next change, so the window changes its height by a pixel now and then.
func (v *ohif) showsRegion() {
	v.t.Helper()
	const drawn = `document.querySelector('svg.svg-layer > *:not(defs)') !== null`
	height, again := int64(900), repeated(2*time.Second)
	v.until(func() string {
		holds, err := chromedp.Run(v.ctx, chromedp.Evaluate[bool](drawn))
		if err == nil && holds {
			return ""
		}
		if again.due() {
			height = 1799 - height
			err = chromedp.Do(v.ctx, chromedp.EmulateViewport(1440, height))
		}
		return fmt.Sprintf("the region of an SR is not drawn (%v)", err)
	})
}

// canvas returns the pixels of the viewport, nil while there is none.
func (v *ohif) canvas() image.Image {
	v.t.Helper()
	const read = `(document.querySelector('canvas.cornerstone-canvas') || {toDataURL: () => ''}).toDataURL('image/png')`
	text, err := chromedp.Run(v.ctx, chromedp.Evaluate[string](read))
	if err != nil {
		v.t.Fatalf("peers: ohif: read the viewport: %v%s", err, v.said())
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "data:image/png;base64,"))
	if err != nil {
		v.t.Fatalf("peers: ohif: read the viewport: %v", err)
	}
	picture, _, err := image.Decode(bytes.NewReader(raw))
	if err != nil {
		return nil // a canvas without size has no pixels
	}
	return picture
}

// screenshot returns the page as PNG and puts it among the test's artefacts.
func (v *ohif) screenshot(name string) []byte {
	v.t.Helper()
	picture, err := chromedp.Run(v.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(v.t.ArtifactDir(), name), picture, 0o600)
	}
	if err != nil {
		v.t.Errorf("peers: ohif: screenshot: %v", err)
	}
	return picture
}

// wait waits until a JavaScript condition holds.
func (v *ohif) wait(what, condition string) {
	v.t.Helper()
	v.until(func() string {
		holds, err := chromedp.Run(v.ctx, chromedp.Evaluate[bool](condition))
		if err != nil || !holds {
			return fmt.Sprintf("no %s (%v)", what, err)
		}
		return ""
	})
}

// until waits until missing finds nothing missing.
func (v *ohif) until(missing func() string) {
	v.t.Helper()
	deadline := time.Now().Add(ohifStep)
	for {
		what := missing()
		if what == "" {
			return
		}
		if crash := v.crash(); crash != "" {
			v.screenshot("ohif-failed.png")
			v.t.Fatalf("peers: ohif: %s, as the viewer broke off: %s", what, crash)
		}
		if time.Now().After(deadline) || v.ctx.Err() != nil {
			v.screenshot("ohif-failed.png")
			v.t.Fatalf("peers: ohif: %s%s", what, v.said())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// noErrors fails the test when the viewer shows an error or threw one that nobody caught.
func (v *ohif) noErrors() {
	v.t.Helper()
	const shown = `[...document.querySelectorAll('[role="alertdialog"], [role="dialog"], [data-sonner-toast][data-type="error"]')]
		.map(e => e.innerText).concat(document.body.innerText.includes('Something went wrong') ? [document.body.innerText] : []).join('\n')`
	text, err := chromedp.Run(v.ctx, chromedp.Evaluate[string](shown))
	if err != nil {
		v.t.Fatalf("peers: ohif: look for errors: %v", err)
	}
	if text != "" {
		v.t.Errorf("peers: ohif: the viewer shows: %s", tail(text))
	}
	if crash := v.crash(); crash != "" {
		v.t.Errorf("peers: ohif: the viewer broke off: %s", crash)
	}
}

// crash returns the first exception that nobody caught, or that only the viewer's last resort did, [ohifStale] apart.
func (v *ohif) crash() string {
	for _, m := range v.messages() {
		if m.IsException() && !strings.Contains(m.Text, ohifStale) || strings.Contains(m.Text, "Error Boundary") {
			return tail(m.Text)
		}
	}
	return ""
}

// said returns the errors of the page's console, to stand behind a failure.
func (v *ohif) said() string {
	var b strings.Builder
	for _, m := range v.messages() {
		if m.Type == chromedp.ConsoleError || m.IsException() {
			fmt.Fprintf(&b, "\n%s", m)
		}
	}
	return tail(b.String())
}
