package admin

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/ledger"
	"endogate/inference/analysis"
	"endogate/reports/draft"
)

func TestPage_listsStudies(t *testing.T) {
	b := open(t, newHospital(t))
	b.visit("/", ".studies tbody tr")
	b.picture("studies", false)
	rows := eval[[][]string](b, `[...document.querySelectorAll(".studies tbody tr")].map((tr) => [...tr.cells].map((td) => td.innerText))`)
	require.Len(t, rows, 3)
	require.Equal(t, "Nováková, Jana\n7405121234", rows[0][0])
	require.Equal(t, "ACC-2026-004711", rows[0][1])
	require.Regexp(t, `Nov 4, 2026 9:30[ \x{202f}]AM`, rows[0][2])
	require.Contains(t, rows[0][3], "In progress\n9 steps to do")
	require.Equal(t, "4", rows[0][5])
	require.Contains(t, rows[0][6], "9 of 18 delivered")
	require.Contains(t, rows[1][3], "Complete")
	require.Contains(t, rows[2][0], "Yamada, Tarou · 山田, 太郎")
	require.Contains(t, rows[2][0], "▲\nUrgent finding", "in words, and not by colour alone")
	require.NotContains(t, rows[0][0]+rows[1][0], "Urgent")
	for _, scheme := range []string{"dark", "light"} {
		b.scheme(scheme)
		require.Empty(t, eval[[]string](b, accessibilityFaults), scheme)
	}
	require.Equal(t, []string{"!\nNot analysed\n1 of 1 instance not analysed: video", "1200", "–"}, rows[2][3:6], "no tick, and no nought of findings")
	b.until(`document.querySelector("#strip").innerText.includes("Accepting")`)
	require.Equal(t, "4", b.text("#badge-parked"))

	b.do(chromedp.SendKeys(chromedp.CSS(`[name=accession]`), "ACC-2026-004711\r"))
	b.until(`document.querySelectorAll(".studies tbody tr").length === 1`)
	hash := eval[string](b, `location.hash`)
	require.Equal(t, "#/studies?accession=ACC-2026-004711", hash)
	b.visit("/#/studies?patient_id=nobody", ".empty")
	require.Contains(t, b.text(".empty"), "No study matches")
}

// The map that the reader sees is a layer of its own over the source, transparent where it has no weight and where the network
// saw nothing, as opaque as the slider says.
func TestPage_showsHeatmap(t *testing.T) {
	h := newHospital(t)
	b := open(t, h)
	b.visit("/", ".studies tbody tr")
	b.click(".studies tbody tr a")
	b.until(`document.querySelector(".stage canvas.heat") && document.querySelector(".stage img").naturalWidth`)
	b.until(`[...document.querySelectorAll(".thumb img")].every((i) => i.complete && i.naturalWidth)`)
	b.picture("study", false)
	b.picture("study-whole", true)

	pixel := func(x, y float64) []float64 {
		return eval[[]float64](b, `(([x, y]) => { const c = document.querySelector(".stage canvas.heat");
			return [...c.getContext("2d").getImageData(Math.floor(x * c.width), Math.floor(y * c.height), 1, 1).data] })(`+fmt.Sprintf("[%g,%g]", x, y)+`)`)
	}
	require.InDeltaSlice(t, []float64{128, 0, 0, 255}, pixel(0.5, 0.5), 4, "the maximum")
	require.Zero(t, pixel(0.01, 0.01)[3], "no weight")
	require.InDelta(t, 255*64/255/0.25, pixel(0.99, 0.01)[3], 4, "a quarter of the maximum is a little more than opaque")
	require.Zero(t, pixel(0.1, 0.9)[3], "masked")
	require.Equal(t, 1, eval[int](b, `document.querySelectorAll(".masked rect").length`))
	caption := b.text(".stage figcaption")
	for _, said := range []string{"AI, not verified", "Polyp 94.0 %", "demo-colon 1.0.0", "Grad-CAM", "weight for the class", "hot region", "not the border of a lesion", "hatched: masked", "has no grid"} {
		require.Contains(t, caption, said)
	}

	opacity := `Number(getComputedStyle(document.querySelector(".stage .heat")).opacity)`
	eval[chromedp.Void](b, `(() => { const s = document.querySelector("#opacity"); s.value = 25; s.dispatchEvent(new Event("input")) })()`)
	b.until(opacity + ` === 0.25`)

	require.Contains(t, b.text(".panel"), "Polyp of colon (68496003, SCT) · Colon (71854001, SCT)")
	require.Contains(t, b.text(".panel"), "94.0 %")
	require.Contains(t, b.text(".panel"), "demo-colon 1.0.0")
	require.Contains(t, b.text(".notice.ai"), "AI – not verified.")
	outlines := eval[int](b, `document.querySelectorAll(".contours path").length`)
	require.Equal(t, 1, outlines)

	b.click("#mode-side")
	b.until(`document.querySelectorAll(".stage figure").length === 2 && [...document.querySelectorAll(".stage img")].every((i) => i.naturalWidth)`)
	b.picture("study-side", false)
	b.click("#mode-source")
	b.until(`!document.querySelector(".stage .heat")`)
}

// TestPage_shown holds the page to the rule that all else made of a document is held to (TestShown of reports/publish).
func TestPage_shown(t *testing.T) {
	text, err := os.ReadFile("../../../testdata/drafts/decided.json")
	require.NoError(t, err)
	var doc draft.Document
	require.NoError(t, json.Unmarshal(text, &doc))
	hospital := newHospital(t)
	hospital.office.doc = &doc
	b := open(t, hospital)
	b.visit("/#/studies/2.25.1001", "#draft table")
	shown := func(label string) map[string]string {
		return eval[map[string]string](b, `Object.fromEntries([...document.querySelectorAll("#draft table[aria-label='`+label+`'] tbody tr")].map((tr) =>
			[tr.cells[0].querySelector("div").firstChild.textContent, tr.cells[1].innerText]))`)
	}
	stand, out := shown("Findings of the draft"), shown("Rejected and retracted")
	require.Len(t, stand, len(doc.Shown()))
	require.Len(t, out, len(doc.Findings)-len(doc.Shown()))
	for _, f := range doc.Shown() {
		require.Equal(t, !f.Decided(), strings.Contains(stand[f.Code.Meaning], "Not decided"), f.Code.Meaning)
	}
	require.Contains(t, stand["echo lesion"], "Retracted: wrong weights", "a person's, and the retraction is said")
	require.Contains(t, out["foxtrot lesion"], "Retracted: wrong weights")
	require.Contains(t, out["charlie lesion"], "Rejected")
}

// TestPage_draft shows the report draft as it is: what is decided, what is not, and never as markup.
func TestPage_draft(t *testing.T) {
	b := open(t, newHospital(t))
	b.visit("/#/studies/2.25.1001", "#draft table")
	text := b.text("#draft")
	for _, want := range []string{
		"AI draft – not verified", "version 1.3", "by the gateway", "Polyp of colon", "Not decided", "92.0 %, 2 of 5 frames", "Rejected",
		"(named by the client, not signed in)", "[to be completed]", evil,
	} {
		require.Contains(t, text, want)
	}
	require.Equal(t, "/api/v1/studies/2.25.1001/draft.pdf?number=1&version=3", eval[string](b, `document.querySelector("#draft a.button").getAttribute("href")`))
	require.Zero(t, eval[int](b, `document.querySelectorAll("#draft img, #draft script").length`))
	require.NotEqual(t, "owned", eval[string](b, `document.title`))
	b.picture("draft", true)
	b.visit("/#/studies/2.25.1002", "#draft p")
	require.Contains(t, b.text("#draft"), "no such draft")
}

// The link to another viewer is there where the configuration has one, and leads to the study.
func TestPage_viewer(t *testing.T) {
	s := newServer(t, newHospital(t))
	s.Settings = func() Settings {
		is := sampleSettings
		is.Viewer = "https://pacs.example/viewer?StudyInstanceUIDs={study}&at={instance}"
		return is
	}
	b := openAt(t, serve(t, s))
	b.visit("/#/studies/2.25.1001", "#viewer")
	require.Equal(t, "https://pacs.example/viewer?StudyInstanceUIDs=2.25.1001&at=2.25.1001.1", eval[string](b, `document.querySelector("#viewer").href`))
	require.Equal(t, "noopener noreferrer", eval[string](b, `document.querySelector("#viewer").rel`))
	b.accessible("study with a link to a viewer")
}

func TestPage_keyboardAndDeepLink(t *testing.T) {
	b := open(t, newHospital(t))
	b.visit("/#/studies/2.25.1001?frame=3-1", ".thumb[aria-selected=true]")
	require.Contains(t, b.text(".position"), "Image 3 (3 of 7)")
	b.do(chromedp.Focus(chromedp.CSS(".thumb[aria-selected=true]")), chromedp.KeyEvent(kb.ArrowDown))
	b.until(`document.querySelector(".position").innerText.startsWith("Image 4")`)
	b.until(`document.activeElement.getAttribute("aria-selected") === "true"`)
	b.do(chromedp.KeyEvent(kb.ArrowLeft))
	b.until(`document.querySelector(".position").innerText.startsWith("Image 3")`)
	hash := eval[string](b, `location.hash`)
	require.Equal(t, "#/studies/2.25.1001?frame=3-1", hash)
}

// The film strip is as taken or the weightiest first, of a class alone; its address says how.
func TestPage_filmStrip(t *testing.T) {
	h := newHospital(t)
	b := open(t, h)
	b.visit("/#/studies/2.25.1001", ".thumb")
	order := `[...document.querySelectorAll(".thumb")].map((t) => t.id)`
	taken := eval[[]string](b, order)
	require.Len(t, taken, 7)
	eval[bool](b, `(() => { const s = document.getElementById("sort"); s.value = "importance"; return s.dispatchEvent(new Event("change")) })()`)
	b.until(`location.hash.includes("sort=importance")`)
	weights := eval[[]float64](b, `[...document.querySelectorAll(".thumb")].map((t) => { const tag = t.querySelector(".tag"); return tag ? tag.classList.contains("finding") + parseFloat(tag.innerText.match(/([0-9.]+) %/)[1]) / 100 : 0 })`)
	require.True(t, slices.IsSortedFunc(weights, func(a, b float64) int { return cmp.Compare(b, a) }), weights)
	require.NotEqual(t, taken, eval[[]string](b, order))
	eval[bool](b, `(() => { const s = document.getElementById("only-class"); s.value = "polyp"; return s.dispatchEvent(new Event("change")) })()`)
	b.until(`location.hash.includes("class=polyp") && document.querySelectorAll(".thumb").length < 7`)
	require.True(t, eval[bool](b, `[...document.querySelectorAll(".thumb .tag")].every((t) => t.innerText.includes("Polyp"))`))
	require.Contains(t, b.text(".sieve"), "of 7 frames")
	shown, hash := eval[[]string](b, order), eval[string](b, "location.hash")
	b.visit("/"+hash, ".thumb")
	require.Equal(t, shown, eval[[]string](b, order), "the address is the view")
	b.picture("study-sieved", false)
}

// The worklist of second looks: frame and heatmap beside the sentence, with the words that decided; decided by button and by key.
func TestPage_reviews(t *testing.T) {
	h := newHospital(t)
	b := open(t, h)
	b.visit("/#/reviews", ".review")
	b.until(`[...document.querySelectorAll(".review:first-of-type img")].length === 2 && [...document.querySelectorAll(".review img")].every((i) => i.naturalWidth)`)
	require.Equal(t, []string{"No", "polyps", "Ülkus"}, eval[[]string](b, `[...document.querySelectorAll(".quoted mark")].map((m) => m.textContent)`))
	require.Contains(t, b.text(".review:first-of-type"), "Report denies it")
	require.Contains(t, b.text("table.list"), "75.0 % [30.1 %–95.4 %]", "3 of 4 agree")
	require.False(t, eval[bool](b, `!!document.querySelector("#counted-by")`), "nobody is counted where that is not allowed")
	h.byPhysician = true
	b.visit("/#/studies", "table.studies")
	b.visit("/#/reviews", "#counted-by")
	b.do(chromedp.SetValue(chromedp.CSS("#counted-by"), "physician"))
	eval[bool](b, `document.querySelector("#counted-by").dispatchEvent(new Event("change"))`)
	b.until(`document.querySelector("table.list").innerText.includes("4711")`)
	require.Contains(t, b.text("table.list"), "Meier, <b>Anna · 4711")
	require.Contains(t, b.text("table.list"), "not known")
	for _, scheme := range []string{"dark", "light"} {
		b.scheme(scheme)
		b.picture("reviews-"+scheme, true)
		require.Empty(t, eval[[]string](b, accessibilityFaults), scheme)
	}
	b.size(390, 844)
	require.False(t, eval[bool](b, `document.documentElement.scrollWidth > innerWidth`), "it scrolls sideways")
	b.picture("phone-reviews", true)
	b.size(1600, 1000)

	b.do(chromedp.Focus(chromedp.CSS(".review")), chromedp.KeyEvent("j", ofKeyboard))
	b.until(`document.activeElement.dataset.id === "fedcba9876543210"`)
	b.do(chromedp.KeyEvent("k", ofKeyboard), chromedp.KeyEvent("4", ofKeyboard), chromedp.KeyEvent("m", ofKeyboard))
	b.until(`document.activeElement.id === "comment-0123456789abcdef"`)
	b.write("#comment-0123456789abcdef", "refuse")
	b.do(chromedp.Focus(chromedp.CSS(".review")), chromedp.KeyEvent("c", ofKeyboard))
	b.see("#dialog-field")
	b.write("#dialog-field", "Dr A")
	b.click("#dialog-yes")
	b.until(`document.querySelector(".review [role=alert]").innerText.includes("report and results are others now")`)
	eval[bool](b, `(() => { const f = document.querySelector("#comment-0123456789abcdef"); f.value = ""; return f.dispatchEvent(new Event("input")) })()`)
	b.write("#comment-0123456789abcdef", "look again")
	b.do(chromedp.Focus(chromedp.CSS(".review")), chromedp.KeyEvent("c", ofKeyboard))
	b.until(`document.querySelectorAll(".review").length === 1`)
	decided := h.decided["0123456789abcdef"]
	require.Equal(t, ledger.ReviewDecision{Suspicion: 4, Comment: "look again", Author: "Dr A", Unauthenticated: true, DecidedAt: sampleTime}, decided.ReviewDecision)
	require.Equal(t, ledger.ReviewConfirmed, decided.State)
	b.click("#reject-fedcba9876543210")
	b.see(".empty")
	b.visit("/#/reviews?state=rejected", ".review")
	require.Contains(t, b.text(".review"), "Report is right, says Dr A (not signed in)")
	require.NotEqual(t, "owned", eval[string](b, `document.title`))
	h.mu.Lock()
	h.err = errors.New("disk")
	h.mu.Unlock()
	b.visit("/#/reviews", "main [role=alert] .notice")
}

// A key decides what is selected and nothing that comes to its place, and one that is held down decides nothing.
func TestPage_reviewSelected(t *testing.T) {
	h := newHospital(t)
	set := func(open ...string) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.decided = map[string]ledger.Review{}
		for _, name := range []string{"0123456789abcdef", "fedcba9876543210"} {
			if !slices.Contains(open, name) {
				h.decided[name] = ledger.Review{Name: name, Study: "1", State: ledger.ReviewRejected}
			}
		}
	}
	set("fedcba9876543210")
	b := open(t, h)
	b.visit("/#/reviews", ".review")
	const selected = `[...document.querySelectorAll(".review[aria-current]")].map((e) => e.dataset.id).join()`
	b.until(selected + ` === "fedcba9876543210"`)
	set("0123456789abcdef", "fedcba9876543210")
	b.eager()
	b.until(`document.querySelectorAll(".review").length === 2`)
	b.until(selected + ` === "fedcba9876543210"`)
	set("0123456789abcdef")
	b.eager()
	b.until(`document.querySelector(".review").dataset.id === "0123456789abcdef" && document.querySelectorAll(".review").length === 1`)
	press := func(key, repeat string) {
		eval[bool](b, `document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "`+key+`", repeat: `+repeat+`, bubbles: true, cancelable: true }))`)
	}
	press("c", "false")
	require.Empty(t, eval[string](b, selected), "what was selected has gone")
	press("j", "false")
	b.until(selected + ` === "0123456789abcdef"`)
	press("c", "true")
	require.False(t, eval[bool](b, `!!document.querySelector("dialog")`))
	press("c", "false")
	b.see("#dialog-field")
}

// A poll that brings news redraws what has changed and leaves the reader's place alone.
func TestPage_pollKeepsThePlace(t *testing.T) {
	h := newHospital(t)
	b := open(t, h)
	b.visit("/#/studies/2.25.1001?frame=3-1", ".stage img")
	eval[chromedp.Void](b, `(() => { window.kept = document.querySelector(".stage img"); const s = document.querySelector("#opacity"); s.value = 33; s.dispatchEvent(new Event("input")); s.focus() })()`)
	h.mu.Lock()
	h.studies[0].Status = ledger.StudyDone
	h.mu.Unlock()
	b.eager()
	b.until(`document.querySelector(".study-head .chip").innerText.includes("Complete")`)
	kept := eval[bool](b, `window.kept === document.querySelector(".stage img") && document.querySelector("#opacity").value === "33" && document.activeElement.id === "opacity"`)
	require.True(t, kept)
}

// Results are shown with every note, under the version of the model that gave them.
func TestPage_modelReplaced(t *testing.T) {
	h := newHospital(t)
	a := &h.studies[0].Instances[0].Analyses[0]
	a.MadeBy.Version = "0.9.1"
	a.Frames[0].Notes = []string{"polyp: nothing to show", "only the first frame is analysed"}
	b := open(t, h)
	b.visit("/#/studies/2.25.1001?frame=1-1", ".stage img")
	panel := b.text(".panel")
	require.Contains(t, panel, "demo-colon 0.9.1 (no longer loaded)")
	require.Contains(t, panel, "polyp: nothing to show")
	require.Contains(t, panel, "only the first frame is analysed")
}

// Of several boxes of a class the panel has the most probable one, whatever their order.
func TestPage_severalBoxes(t *testing.T) {
	h := newHospital(t)
	frame := &h.studies[0].Instances[0].Analyses[0].Frames[0]
	best := frame.Findings[0]
	best.Probability = 0.9612
	less, least := best, best
	less.Probability, less.Heatmap, least.Probability, least.Heatmap = 0.5512, "", 0.5211, ""
	frame.Findings = []analysis.Finding{less, best, least}
	b := open(t, h)
	b.visit("/#/studies/2.25.1001?frame=1-1", ".stage img")
	panel := b.text(".panel")
	require.Contains(t, panel, "96.1 %")
	require.NotContains(t, panel, "55.1 %")
	require.NotContains(t, panel, "52.1 %")
}

func TestPage_unanalysedVideo(t *testing.T) {
	b := open(t, newHospital(t))
	b.visit("/#/studies/2.25.1003", ".stage .broken")
	require.Contains(t, b.text(".study-head"), "Not analysed")
	require.Contains(t, b.text(".study-head"), "Urgent finding")
	require.NotContains(t, b.text(".study-head"), "Complete")
	require.Contains(t, b.text(".stage"), "cannot be shown here")
	require.Contains(t, b.text(".panel"), "video is not analysed by any model of route endoscopy")
	b.picture("study-video", false)
}

func TestPage_parked(t *testing.T) {
	h := newHospital(t)
	b := open(t, h)
	b.visit("/#/parked", "#retry-delivery-42")
	require.Contains(t, b.text("tbody tr"), "0x0122 SOP class not supported")
	b.picture("parked", false)
	b.click("#retry-delivery-42")
	b.until(`document.querySelectorAll("tbody tr").length === 3`)
	b.until(`document.querySelector("#badge-parked").innerText === "3"`)
	require.Equal(t, "Retry", b.text("tbody tr:nth-child(2) td:last-child"), "a report is not discarded")
	require.Equal(t, "Discard", b.text("tbody tr:nth-child(3) td:last-child"), "an instance is sent again instead")
	b.click("#discard-job-e7\\.demo-colon")
	b.see("dialog .danger")
	b.picture("parked-dialog", false)
	require.Equal(t, []string{"retry delivery 42"}, h.acted, "discarding asks first")
	b.click("dialog .danger")
	b.until(`document.querySelectorAll("tbody tr").length === 2`)
	b.click("#retry-all")
	b.until(`document.querySelectorAll("tbody tr").length === 1 && !document.querySelector("#retry-all")`)
	require.Contains(t, b.text("tbody tr"), "no route matches")
	b.click("#discard-instance-e9")
	b.see("dialog .danger")
	require.Contains(t, b.text("dialog"), "only copy")
	b.click("dialog .danger")
	b.see(".empty")
	require.Equal(t, []string{"retry delivery 42", "discard job e7.demo-colon", "retry exam 3", "discard instance e9"}, h.acted)
}

// What was received under the UID of other bytes goes out when a person has said so, by itself.
func TestPage_conflictIsNoBulkRetry(t *testing.T) {
	h := newHospital(t)
	h.parked = append(h.parked, Parked{
		Kind: ParkedDelivery, ID: "43", StudyInstanceUID: "2.25.1002", SOPInstanceUID: "2.25.1002.1", Purpose: "source", Destination: "his",
		Reason: "another data set of the same SOP Instance UID was received before", At: sampleTime, Conflict: true,
	})
	b := open(t, h)
	b.visit("/#/parked", "#retry-delivery-43")
	require.Equal(t, "Retry all 3", b.text("#retry-all"))
	b.click("#retry-all")
	b.until(`document.querySelectorAll("tbody tr").length === 2 && !document.querySelector("#retry-all")`)
	require.Equal(t, []string{"retry delivery 42", "retry job e7.demo-colon", "retry exam 3"}, h.acted)
	b.click("#retry-delivery-43")
	b.see("dialog .danger")
	require.Contains(t, b.text("dialog"), "Two data sets were received under one SOP Instance UID")
	b.picture("parked-conflict", false)
	require.Len(t, h.acted, 3, "asks first")
	b.click("dialog .danger")
	b.until(`document.querySelectorAll("tbody tr").length === 1`)
	require.Equal(t, "retry delivery 43", h.acted[3])
	b.visit("/#/destinations", "#retry-his")
	require.Equal(t, "Send 1 parked again", b.text("#retry-his"), "of three")
}

func TestPage_destinationsAndSystem(t *testing.T) {
	b := open(t, newHospital(t))
	b.visit("/#/destinations", "#echo-pacs")
	b.click("#echo-pacs")
	b.until(`document.querySelector("main").innerText.includes("Answered in 3.2 ms (0x0000 success)")`)
	b.click("#echo-his")
	b.until(`document.querySelector("main").innerText.includes("connection refused")`)
	b.picture("destinations", false)
	b.visit("/#/system", ".checks li")
	b.picture("system", true)
	b.visit("/#/outbox?state=", "tbody tr")
	b.picture("outbox", false)
}

func TestPage_smallAndLight(t *testing.T) {
	b := open(t, newHospital(t))
	b.size(390, 844)
	for name, path := range map[string]string{"phone-studies": "/", "phone-study": "/#/studies/2.25.1001", "phone-parked": "/#/parked"} {
		b.visit(path, "main h1")
		b.until(`[...document.querySelectorAll(".stage img")].every((i) => i.naturalWidth)`)
		wide := eval[bool](b, `document.documentElement.scrollWidth > innerWidth`)
		require.False(t, wide, "%s scrolls sideways", name)
		b.picture(name, name != "phone-study")
	}
	b.size(1600, 1000)
	b.scheme("light")
	b.visit("/", ".studies tbody tr")
	b.picture("light-studies", false)
	b.visit("/#/studies/2.25.1001", ".stage .heat")
	b.until(`[...document.querySelectorAll(".stage img, .thumb img")].every((i) => i.naturalWidth)`)
	b.picture("light-study", false)
}

// Text from DICOM, from peers and from models is never markup, wherever it comes in.
func TestPage_hostileText(t *testing.T) {
	h := newHospital(t)
	study := h.studies[0]
	fillText(reflect.ValueOf(&study).Elem(), evil)
	study.StudyInstanceUID = "2.25.1001"
	study.FirstAt, study.LastAt = sampleTime, sampleTime
	h.studies = []Study{study}
	for i := range h.parked {
		kind := h.parked[i].Kind
		fillText(reflect.ValueOf(&h.parked[i]).Elem(), evil)
		h.parked[i].Kind = kind
	}
	b := open(t, h)
	for path, shows := range map[string]string{
		"/": ".studies tbody tr", "/#/studies/2.25.1001": ".timeline li", "/#/parked": "tbody tr", "/#/outbox?state=": "tbody tr", "/#/destinations": ".card",
		"/#/studies?patient_id=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E": ".empty", "/#/%3Cimg%20src%3Dx%3E": "h1", "/#/studies/%3Cimg%20src%3Dx%3E": "[role=alert] .notice",
	} {
		b.visit(path, shows)
		found := eval[[]string](b, `[...document.querySelectorAll("img[src=x], main script, [onerror], iframe")].map((e) => e.outerHTML)`)
		require.Empty(t, found, path)
		require.NotEqual(t, "owned", run(b, chromedp.Title()))
	}
	b.visit("/", ".studies tbody tr")
	require.Equal(t, evil, b.text(".studies tbody th .muted"), "it is shown as it is")
}

// fillText sets every string below v.
func fillText(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			fillText(v.Field(i), text)
		}
	case reflect.Slice:
		for i := range v.Len() {
			fillText(v.Index(i), text)
		}
	case reflect.Map:
		if v.Type().Key().Kind() == reflect.String && v.Len() > 0 {
			v.SetMapIndex(reflect.ValueOf(text).Convert(v.Type().Key()), v.MapIndex(v.MapKeys()[0]))
		}
	}
}

// Every control has a name, every image an alternative, and text can be read: WCAG 2.2 AA's 4.5 to 1.
func TestPage_accessible(t *testing.T) {
	b := open(t, newHospital(t))
	for _, scheme := range []string{"dark", "light"} {
		b.scheme(scheme)
		for path, shows := range map[string]string{
			"/": ".studies tbody tr", "/#/studies/2.25.1001": ".timeline li", "/#/parked": "tbody tr", "/#/outbox": "tbody tr", "/#/destinations": ".card", "/#/system": ".checks li",
		} {
			b.visit(path, shows)
			b.until(`document.querySelector("#strip").innerText.includes("Accepting")`)
			faults := eval[[]string](b, accessibilityFaults)
			require.Empty(t, faults, scheme+" "+path)
		}
	}
}

const accessibilityFaults = `(() => {
	const faults = [], canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
	const rgba = (css) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = css; canvas.fillRect(0, 0, 1, 1); const d = canvas.getImageData(0, 0, 1, 1).data; return [d[0], d[1], d[2], d[3] / 255]; };
	const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
	const ground = (el) => el ? (() => { const c = rgba(getComputedStyle(el).backgroundColor); return c[3] === 1 ? c : over(c, ground(el.parentElement)); })() : [255, 255, 255, 1];
	const light = (c) => [0, 1, 2].map((i) => c[i] / 255).map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4).reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0);
	for (const el of document.querySelectorAll("body *")) {
		const text = [...el.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join("");
		if (!text || !el.checkVisibility() || el.closest("noscript")) continue;
		const under = ground(el), [a, b] = [light(over(rgba(getComputedStyle(el).color), under)), light(under)].sort((x, y) => y - x);
		const ratio = (a + .05) / (b + .05);
		if (ratio < 4.5) faults.push(ratio.toFixed(2) + " " + el.className + ": " + text.slice(0, 40));
	}
	for (const el of document.querySelectorAll("button, a[href], input, select")) {
		const name = el.innerText?.trim() || el.getAttribute("aria-label") || [...(el.labels || [])].map((l) => l.innerText.trim()).join("");
		if (!name) faults.push("no name: " + el.outerHTML.slice(0, 90));
	}
	for (const el of document.querySelectorAll("img")) if (!el.hasAttribute("alt")) faults.push("no alt: " + el.src);
	const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
	if (new Set(ids).size !== ids.length) faults.push("an id is there twice");
	if (document.querySelectorAll("h1").length !== 1) faults.push("not one h1");
	return faults;
})()`

func TestPage_saysWhenTheGatewayIsGone(t *testing.T) {
	h := newHospital(t)
	b := open(t, h)
	b.visit("/#/studies/9.9.9", "[role=alert] .notice")
	require.Contains(t, b.text("[role=alert]"), "study 9.9.9: not found")
	h.mu.Lock()
	h.err = ErrBusy
	h.mu.Unlock()
	b.eager()
	b.until(`!document.getElementById("offline").hidden`)
	h.mu.Lock()
	h.err = nil
	h.mu.Unlock()
	b.eager()
	b.until(`document.getElementById("offline").hidden`)
}
