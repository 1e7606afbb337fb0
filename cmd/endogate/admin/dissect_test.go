package admin

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

const framePage = "/#/frame/2.25.1001/2.25.1001.1/1"

// The page that looks into a frame: map over source as opaque as the slider says, beside it, wiped; class, layer and method by button and
// by key; and an address that is the view.
func TestPage_looksIntoAFrame(t *testing.T) {
	b := open(t, newHospital(t))
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

	b.click("#beside summary")
	b.until(`document.querySelectorAll("#tiles-methods canvas.heat").length === 3 && document.querySelectorAll("#tiles-blocks canvas.heat").length === 2`)
	b.picture("frame-beside", true)
	b.do(chromedp.Focus(chromedp.CSS(".lens")), chromedp.KeyEvent(kb.ArrowRight))
	b.until(`location.hash.startsWith("#/frame/2.25.1001/2.25.1001.2/1") && document.querySelector(".position")?.innerText.startsWith("Image 2")`)
}

// What cannot be asked is said, with what the gateway says of it.
func TestPage_looksIntoNothing(t *testing.T) {
	b := open(t, newHospital(t))
	b.visit(framePage+"?class=tea", "[role=alert] .notice")
	require.Contains(t, b.text("[role=alert] .notice"), "there is no class tea")
}
