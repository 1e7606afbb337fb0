package gateway_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/ledger"
)

// A person looks into a frame in a browser while the gateway works: every choice changes the map. How long a new choice takes until it is
// drawn is logged: README has it as measured on a quiet machine (ENDOGATE_TEST_PICTURES is a folder for pictures of the page).
func TestGateway_looksIntoAFrame(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ""))
	g.replace("segment_size: 8MiB", "segment_size: 8MiB, retention: 1h")
	g.start()
	var instances []dicomBytes
	for _, path := range sample(t, "study1-0*") {
		instances = append(instances, readPart10(t, path))
	}
	storeAll(t, g.scp, instances...)
	study := g.studyOf(instances[0])
	g.waitFor("the study to be delivered", func() bool { return g.study(study).Status == ledger.StudyDone })

	page := peers.OpenPage(t, fmt.Sprintf("http://%s/#/frame/%s/%s/1", g.web, study, instances[0].uid), 1280, 800)
	picture := func(name string, whole bool) {
		if dir := os.Getenv("ENDOGATE_TEST_PICTURES"); dir != "" {
			page.Picture(filepath.Join(dir, name+".png"), whole)
		}
	}
	drawn := 0
	shown := func() {
		t.Helper()
		drawn++
		page.Until(fmt.Sprintf(`document.querySelector(".lens")?.dataset.shown === "%d"`, drawn))
	}
	shown()
	page.Until(`document.querySelector(".lens img").naturalWidth`)
	require.Equal(t, "Why Polyp?", peers.Evaluate[string](page, `document.querySelector("h1").innerText`))
	picture("look", false)
	page.Scheme("light")
	picture("look-light", false)
	page.Scheme("dark")
	page.Size(820, 1180)
	picture("look-tablet", false)
	page.Size(1280, 800)

	sum := `(() => { const c = document.querySelector(".lens canvas.heat"); return c.getContext("2d").getImageData(0, 0, c.width, c.height).data.reduce((a, b) => (a * 31 + b) % 65537, 7) })()`
	before := peers.Evaluate[int](page, sum)
	page.Click("#class-2")
	shown()
	require.NotEqual(t, before, peers.Evaluate[int](page, sum), "another class, another map")

	peers.Evaluate[int](page, `performance.clearMeasures("explained") ?? 0`)
	set := func(id, value string) {
		t.Helper()
		peers.Evaluate[bool](page, fmt.Sprintf(`(() => { const s = document.getElementById(%q); s.value = %q; return s.dispatchEvent(new Event("change")) })()`, id, value))
		shown()
	}
	for _, method := range installed.Scaled([]string{"hirescam"}, []string{"gradient", "guided-gradcam", "hirescam", "layercam", "gradient-x-input", "lrp-gamma", "gradcam"}) {
		set("method", method)
		for class := 1; class <= 3; class++ {
			page.Click(fmt.Sprintf("#class-%d", class))
			shown()
		}
		set("against", peers.Evaluate[string](page, `document.querySelector("#against").options[2].value`))
		set("against", "")
	}
	for layer := 1; layer <= installed.Scaled(1, 4); layer++ {
		page.Click(fmt.Sprintf(".layers li:nth-child(%d) button", layer))
		shown()
	}
	took := peers.Evaluate[[]float64](page, `performance.getEntriesByName("explained").map((e) => e.duration)`)
	slices.Sort(took)
	t.Logf("%d new choices: median %.0f ms, p95 %.0f ms, longest %.0f ms", len(took), took[len(took)/2], took[len(took)*95/100], took[len(took)-1])

	page.Click("#beside summary")
	page.Until(`document.querySelectorAll("#tiles-methods canvas.heat").length === 3 && document.querySelectorAll("#tiles-blocks canvas.heat").length === 4`)
	page.Until(`[...document.querySelectorAll(".tile img")].every((i) => i.naturalWidth)`)
	picture("look-beside", true)
	page.Click("#class-1")
	shown()
	page.Click("#find-text") // the sample has writing at its left
	shown()
	page.Until(`document.querySelectorAll(".lens figure").length === 2 && document.querySelector(".was")`)
	boxes := peers.Evaluate[[][4]int](page, `new URLSearchParams(location.hash.split("?")[1]).getAll("black").map((b) => b.split(",").map(Number))`)
	require.NotEmpty(t, boxes)
	require.Less(t, boxes[0][0], 20, "most of the writing is at the left: %v", boxes)
	page.Click("#try-all")
	page.Until(fmt.Sprintf(`document.querySelectorAll("#all-frames tbody tr").length === %d && !document.querySelector("#stop-all")`, len(instances)))
	page.Click("#measure")
	page.Until(`document.querySelectorAll("#faithful .curves path").length === 2`)
	picture("look-what-if", true)
	page.Size(1280, 2000)
	picture("look-what-if-wide", false)
}
