package admin

import (
	"bytes"
	"encoding/json"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

const framePage = "/#/frame/2.25.1001/2.25.1001.1/1"

// The page that looks into a frame: map over source as opaque as the slider says, beside it, wiped; class, layer and method by button and
// by key; and an address that is the view.
func TestPage_looksIntoAFrame(t *testing.T) {
	h := newHospital(t)
	b := open(t, h)
	b.visit("/#/studies/2.25.1001?frame=1-1", "#look")
	b.click("#look")
	b.until(`document.querySelector(".lens")?.dataset.shown === "1" && document.querySelector(".lens img").naturalWidth`)
	require.Equal(t, "Why Polyp?", b.text("h1"))
	require.Contains(t, b.text(".lens figcaption"), "AI, not verified")
	b.picture("frame", false)

	style := func(what string) string {
		return eval[string](b, `getComputedStyle(document.querySelector(".lens canvas.heat")).`+what)
	}
	require.Equal(t, "0.4", style("opacity"), "as the configuration has it")
	eval[chromedp.Void](b, `(() => { const s = document.querySelector("#opacity"); s.value = 75; s.dispatchEvent(new Event("input")) })()`)
	require.Equal(t, "0.75", style("opacity"))
	alpha := eval[[]float64](b, `(() => { const c = document.querySelector(".lens canvas.heat").getContext("2d"); return [c.getImageData(0, 0, 1, 1).data[3], c.getImageData(1, 0, 1, 1).data[3]] })()`)
	require.Equal(t, []float64{0, 255}, alpha, "transparent where it has no weight")

	b.click("#mode-side")
	b.until(`document.querySelectorAll(".lens figure").length === 2`)
	b.picture("frame-side", false)
	b.click("#mode-wipe")
	b.until(`getComputedStyle(document.querySelector(".lens canvas.heat")).clipPath.startsWith("inset")`)
	b.click("#mode-source")
	b.until(`!document.querySelector(".lens canvas.heat")`)
	b.do(chromedp.Focus(chromedp.CSS(".lens")), chromedp.KeyEvent("v"))
	b.until(`document.querySelector(".lens canvas.heat")`)

	b.click(".layers li:first-child button")
	b.until(`document.querySelector(".lens figcaption").innerText.includes("conv1")`)
	b.do(chromedp.Focus(chromedp.CSS(".lens")), chromedp.KeyEvent("+"), chromedp.KeyEvent(kb.ArrowDown))
	b.until(`location.hash.includes("layer=conv1") && location.hash.includes("opacity=75") && location.hash.includes("at=1.25")`)
	require.Contains(t, b.text(".reading"), "Centre: column")
	hash := eval[string](b, "location.hash")
	b.visit("/"+hash, ".lens canvas.heat")
	b.until(`document.querySelector(".lens .view").style.transform.startsWith("scale(1.25)")`)
	require.Equal(t, hash, eval[string](b, "location.hash"), "the address is the view")
	require.Equal(t, "0.75", style("opacity"))
	require.Contains(t, b.text(".lens figcaption"), "conv1")

	b.click("#send-map")
	b.until(`document.querySelector("dialog")?.innerText.includes("AI, not verified")`)
	b.click("dialog .danger")
	b.until(`document.querySelector("#dialog-field")`)
	b.do(chromedp.SendKeys(chromedp.CSS("#dialog-field"), "Dr. Vesely"))
	b.click("#dialog-yes")
	b.until(`document.querySelector(".panel .notice.good")?.innerText.includes("on its way to pacs")`)
	require.Equal(t, []string{"Dr. Vesely"}, h.sentBy)
	require.Contains(t, h.maps[0], "conv1", "as it is shown")

	b.click("#beside summary")
	b.until(`document.querySelectorAll("#tiles-methods canvas.heat").length === 3 && document.querySelectorAll("#tiles-blocks canvas.heat").length === 2`)
	b.picture("frame-beside", true)
	b.do(chromedp.Focus(chromedp.CSS(".lens")), chromedp.KeyEvent(kb.ArrowRight))
	b.until(`location.hash.startsWith("#/frame/2.25.1001/2.25.1001.2/1") && document.querySelector(".position")?.innerText.startsWith("Image 2")`)
}

// What if a part of the frame were black: drawn by pointer or written, the old probabilities and the old map stay beside the new ones; on all
// frames; the address has it; nothing is kept. How faithful the map is, is drawn when somebody asks.
func TestPage_whatIf(t *testing.T) {
	h := newHospital(t)
	h.studies[0].InstanceCount += 12
	b := open(t, h)
	b.visit(framePage, ".lens canvas.heat")
	b.until(`document.querySelector(".lens img").naturalWidth`)
	b.click("#draw-box")
	at := eval[[]float64](b, `(() => { const r = document.querySelector(".lens .view").getBoundingClientRect(); return [r.left + r.width / 2, r.top + r.height / 2] })()`)
	for _, step := range []struct {
		kind input.DispatchMouseEventType
		by   float64
	}{{"mouseMoved", 0}, {"mousePressed", 0}, {"mouseMoved", 40}, {"mouseReleased", 40}} {
		_, err := chromedp.Call(b.ctx, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: step.kind, X: at[0] + step.by, Y: at[1] + step.by, Button: "left", ClickCount: 1})
		require.NoError(t, err)
	}
	b.until(`document.querySelectorAll(".lens figure").length === 2`)
	require.Contains(t, b.text(".class-row"), "was 94.0 %, −74.0 points")
	require.Contains(t, eval[string](b, "location.hash"), "black=")
	require.Contains(t, b.text(".lens figure:first-child figcaption"), "As it is")
	require.Equal(t, 1, eval[int](b, `document.querySelectorAll(".lens .marks .black").length`))
	hash := eval[string](b, "location.hash")
	b.visit("/"+hash, ".was")
	require.Equal(t, hash, eval[string](b, "location.hash"))

	b.click("#as-it-was")
	b.until(`!document.querySelector(".was") && !location.hash.includes("black")`)
	for edge, v := range map[string]string{"left": "0", "top": "0", "right": "20", "bottom": "30"} {
		b.write("#box-"+edge, v)
	}
	b.click("#what-if form button")
	b.until(`location.hash.includes("black=0%2C0%2C20%2C30") && document.querySelector(".was")`)
	b.click("#try-all")
	b.until(`document.querySelectorAll("#all-frames tbody tr").length === 7 && !document.querySelector("#stop-all")`)
	require.Contains(t, b.text("#what-if"), "Polyp in 7 frames → 0.")
	require.Contains(t, b.text("#all-frames tbody tr"), "nothing over its threshold")
	require.Contains(t, b.text("#what-if"), "12 instances beyond the first thousand were not tried")
	require.Empty(t, h.acted)
	b.click("#measure")
	b.until(`document.querySelectorAll("#faithful .curves path").length === 2`)
	require.Contains(t, b.text("#faithful"), "area 0.500: less is better")
	b.accessible("what if")
	b.picture("frame-what-if", true)
}

// What cannot be asked is said, with what the gateway says of it.
func TestPage_looksIntoNothing(t *testing.T) {
	b := open(t, newHospital(t))
	b.visit(framePage+"?class=tea", "[role=alert] .notice")
	require.Contains(t, b.text("[role=alert] .notice"), "there is no class tea")
	require.True(t, eval[bool](b, `!!document.querySelector("#method")`), "another method may answer")
}

// Of several models that one is asked which has analysed the frame, where the address names none.
func TestPage_looksIntoAFrame_twoModels(t *testing.T) {
	s := newServer(t, newHospital(t))
	other := sampleModel
	other.Name = "another"
	s.Settings = func() Settings { return Settings{Models: []Model{other, sampleModel}, Palette: samplePalette()} }
	b := openAt(t, serve(t, s))
	b.visit(framePage, ".lens[data-shown]")
	require.Equal(t, sampleModel.Name, eval[string](b, `new URLSearchParams(location.hash.split("?")[1]).get("model")`))
}

// A picture that is part of no record is asked about as a frame is; what is none is said.
func TestPage_tryAnImage(t *testing.T) {
	b := open(t, newHospital(t))
	b.visit("/#/try", "#file")
	b.accessible("try")
	give := func(name, body string) {
		eval[bool](b, `(() => { const d = new DataTransfer(); d.items.add(new File([`+body+`], "`+name+`")); const f = document.getElementById("file"); f.files = d.files; return f.dispatchEvent(new Event("change")) })()`)
	}
	give("notes.txt", `"no picture"`)
	b.see("[role=alert] .notice")
	require.Contains(t, b.text("[role=alert] .notice"), "no picture")
	eval[bool](b, `(() => { const c = document.createElement("canvas"); c.width = 60; c.height = 40; c.getContext("2d").fillRect(0, 0, 30, 20); c.toBlob((x) => { window.blob = x }); return true })()`)
	b.until("window.blob")
	give("mine.png", "window.blob")
	b.until(`document.querySelector(".lens canvas.heat")`)
	require.Contains(t, b.text(".dissect"), "mine.png: part of no record, kept nowhere")
	require.Contains(t, b.text(".lens figcaption"), "AI, not verified")
	require.Equal(t, "#/try", eval[string](b, "location.hash"))
	b.accessible("try, answered")
}

// A picture that somebody tries has a bound of its own, and has to be meant; it is in no answer of the gateway but its own.
func TestTry(t *testing.T) {
	h := newHospital(t)
	s := newServer(t, h).Handler()
	picture, err := os.ReadFile(framePath("polyp-0017b7c7.jpg"))
	require.NoError(t, err)
	put := func(target string, body []byte, headers ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, target, bytes.NewReader(body))
		r.Host = "127.0.0.1"
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w
	}
	w := put("/api/v1/try/frame.png", picture, ActionHeader, "1")
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	_, err = png.Decode(w.Body)
	require.NoError(t, err)
	var e Explanation
	w = put("/api/v1/try/explanation.json?as=map&black=0,0,9,9", picture, ActionHeader, "1")
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &e), w.Body)
	require.Empty(t, e.StudyInstanceUID)
	require.NotNil(t, e.Map)
	require.Empty(t, h.acted)
	for name, row := range map[string]struct {
		target string
		body   []byte
		code   int
	}{
		"no picture": {"/api/v1/try/frame.png", []byte("tea"), http.StatusUnprocessableEntity}, "no class": {"/api/v1/try/explanation.json?class=tea", picture, http.StatusUnprocessableEntity},
		"too large": {"/api/v1/try/frame.png", make([]byte, 32<<20+1), http.StatusRequestEntityTooLarge}, "no such parameter": {"/api/v1/try/frame.png?x=1", picture, http.StatusBadRequest},
	} {
		require.Equal(t, row.code, put(row.target, row.body, ActionHeader, "1").Code, name)
	}
	require.Equal(t, http.StatusForbidden, put("/api/v1/try/frame.png", picture).Code, "a form of another page")
}
