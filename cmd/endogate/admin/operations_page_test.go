package admin

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
)

// An operator who has an accession number in hand finds and frees the stuck study with one search: it is typed on whatever page is
// shown, leads to the study, and there are two clicks from there: retry, and yes.
func TestPage_findsAndFrees(t *testing.T) {
	h := newHospital(t)
	h.studies[0].ParkedCount = 2
	b := open(t, h)
	b.visit("/#/outbox", "h1")
	b.until(`document.getElementById("find")`)

	steps := 0
	step := func(do func()) { steps++; do() }
	step(func() {
		b.write("#find-study", "ACC-2026-004711")
		b.do(chromedp.KeyEvent(kb.Enter))
	})
	b.see("#retry-study")
	require.Equal(t, "#/studies/2.25.1001", eval[string](b, "location.hash"), "the only one that matches is shown at once")
	b.until(`document.querySelectorAll(".timeline li").length`)
	step(func() { b.click("#retry-study") })
	b.see("dialog .danger")
	require.Contains(t, b.text("dialog"), "2 items", "what it would do is said first")
	step(func() { b.click("dialog .danger") })
	b.until(`document.querySelector("main").innerText.includes("put back in the queue")`)
	require.Equal(t, 3, steps)
	require.ElementsMatch(t, []string{"retry job e7.demo-colon", "retry exam 3"}, h.acted)

	b.write("#find-study", "nothing that is here")
	b.do(chromedp.KeyEvent(kb.Enter))
	b.see(".empty")
	b.accessible("nothing found")
}

// The pages of who keeps the gateway running: what is shown of each, in the dark and the light.
func TestPage_operations(t *testing.T) {
	h := newHospital(t)
	server := newServer(t, h)
	server.Settings = func() Settings {
		return Settings{Models: []Model{sampleModel, sampleSuccessor()}, Palette: samplePalette()}
	}
	b := openAt(t, serve(t, server))
	look := func(name string) {
		for _, scheme := range []string{"dark", "light"} {
			b.scheme(scheme)
			b.accessible(name + ", " + scheme)
			b.picture(name+"-"+scheme, true)
		}
		b.scheme("dark")
	}
	shows := func(texts ...string) {
		t.Helper()
		for _, text := range texts {
			require.Contains(t, b.text("main"), text)
		}
	}

	b.visit("/#/operations", "#flow")
	b.see("#workers")
	shows("1,412", "3,005", "gpu-1", "Does not answer", "Not asked yet", "4 jobs, oldest 12", "permission denied")
	look("operations")

	b.click(`.places a[href="#/associations"]`)
	b.see(`a[href="#/associations/8"]`)
	shows("TROLLEY9", "Rejected", "Stands")
	look("associations")
	b.click(`a[href="#/associations/7"]`)
	b.until(`document.querySelectorAll("#steps tr").length === 2`)
	shows("JPEG Baseline (Process 1)", "abstract syntax not supported", "0xC000 cannot understand")
	look("association")

	file := filepath.Join(t.TempDir(), "scope.dcm")
	require.NoError(t, os.WriteFile(file, []byte("a file"), 0o600))
	b.visit("/#/routes", "#trial-file")
	require.True(t, eval[bool](b, `document.querySelector("#calling").getBoundingClientRect().bottom <= document.querySelector(".drop").getBoundingClientRect().top`), "the fields stand below each other")
	b.write("#calling", "TROLLEY9")
	b.do(chromedp.SetUploadFiles(chromedp.CSS("#trial-file"), []string{file}))
	b.see("#trial-routes")
	shows("It would not be taken.", "station_name: ROOM2, not one of BRONCHO1, "+evil, "demo-colon would analyse it", "pixeldata: no decoder", "heatmaps")
	look("routes")

	b.visit("/#/models", "#warm-demo-colon")
	b.click("#warm-demo-colon")
	b.until(`document.querySelector("main").innerText.includes("2 networks in memory, after 412 ms")`)
	shows("Polyp of colon (68496003, SCT)")
	eval[bool](b, `(document.querySelector("#compare-frames").value = 5000, true)`)
	b.click("#compare")
	b.see("#cancel-task")
	b.until(`document.querySelector("progress").value > 0`)
	look("comparing")
	b.click("#cancel-task")
	b.until(`document.querySelector("#compared")`)
	shows("It was ended before all was done; what was done stands.", "Polyp: 70.0 % / 20.0 %")
	look("compared")

	b.visit("/#/configuration", "#settings")
	shows("tls://***@nats.hospital:4222", "ENDOGATE_LOG_LEVEL", "exam.quiet", "unknown key")
	require.Equal(t, 4, eval[int](b, `document.querySelectorAll("#settings tbody tr").length`))
	b.click("#only-set")
	b.until(`document.querySelectorAll("#settings tbody tr").length === 3`)
	shows("Counts from a reload on", "Counts from the next start on: the listener is opened at the start", "changed nothing")
	look("configuration")
	b.until(`(document.querySelector("#reload").click(), document.querySelector("#reload").click(), true)`) // a double click
	b.see("dialog .danger")
	require.Contains(t, b.text("dialog"), "exam.quiet changes at once.")
	time.Sleep(300 * time.Millisecond)
	require.Equal(t, 1, eval[int](b, `document.querySelectorAll("dialog").length`))
	b.accessible("asking to reload")
	b.click("dialog .danger")
	b.until(`document.querySelector("#reloading").innerText.includes("1 key counts anew.")`)
	b.click("#reload")
	b.see("#reloading .notice.bad")
	require.Contains(t, b.text("#reloading"), "line 44: exam.quite: unknown key")

	b.visit("/#/audit", "#older")
	shows("Security Alert", "anna 10.20.0.5", evil, "refused or failed")
	look("audit")
	b.click("#older")
	b.until(`document.querySelector("main").innerText.includes("Login")`)
	b.write("[name=text]", "nobody")
	b.click("#audit-search")
	b.see(".empty")

	b.visit("/#/destinations", "#accepts-pacs")
	b.click("#accepts-his")
	b.until(`document.querySelector("main").innerText.includes("connection refused: is the archive running?")`)
	b.click("#accepts-pacs")
	b.see(".matrix")
	require.Equal(t, []int{3, 2, 1}, eval[[]int](b, `["good", "bad", "muted"].map((c) => document.querySelectorAll(".matrix td." + c).length)`))
	look("destinations")
}

// Held results are let go, of one study or of all, after it was said why they are held and a person gave the reason.
func TestPage_releasesHeld(t *testing.T) {
	h := newHospital(t)
	for _, uid := range []string{"2.25.1003", "2.25.1001"} {
		h.parked = append(h.parked, Parked{Kind: ParkedGate, ID: uid, StudyInstanceUID: dicom.UID(uid), Reason: ledger.MismatchSex.String(), At: sampleTime, Mismatches: []ledger.Mismatch{ledger.MismatchSex}})
	}
	b := open(t, h)
	b.asks("de-DE,de")
	b.visit("/#/parked?kind=gate", "#release-everything")
	require.Contains(t, b.text("main"), "Ergebnisse, zurückgehalten")
	b.click("#release-everything")
	b.see("#dialog-field")
	require.Contains(t, b.text("dialog"), "2 Studien freigeben?")
	require.Contains(t, b.text("dialog"), "2 × "+ledger.MismatchSex.String())
	b.accessible("asking for the reason")
	b.picture("release-de", false)
	b.write("#dialog-field", "auf Station geklärt")
	b.click("#dialog-yes")
	b.until(`document.querySelector("dialog h2")?.innerText === "Wer gibt sie frei?"`)
	b.write("#dialog-field", "Dr. Weiß")
	b.click("#dialog-yes")
	b.until(`document.querySelector("main").innerText.includes("Die Ergebnisse von 1 Studie sind freigegeben.")`)
	h.mu.Lock()
	require.Equal(t, []string{"released by Dr. Weiß for: auf Station geklärt"}, h.acted, "the other is not held any more")
	h.mu.Unlock()
	b.visit("/#/system", ".checks")
	require.Contains(t, b.text("main"), "Warteschlangen und Platz")
	b.picture("system-de", true)
	b.visit("/#/outbox?state=", ".list")
	b.picture("outbox-de", true)
	b.visit("/#/studies/2.25.1001", "#work")
	b.picture("draft-card-de", true)
}

// TestPage_rollsBack: another version of a model is put in force, after it was said what would come of it, and taken back as easily, in every language.
func TestPage_rollsBack(t *testing.T) {
	h := newHospital(t)
	server := newServer(t, h)
	server.Settings = func() Settings {
		h.mu.Lock()
		defer h.mu.Unlock()
		m := sampleModel
		if h.version == "0.9.0" {
			m.Version, m.Chosen = h.version, &ModelChoice{Over: sampleModel.Version, At: sampleTime.Add(time.Hour), By: "person anna"}
		}
		return Settings{Models: []Model{m}, Palette: samplePalette()}
	}
	b := openAt(t, serve(t, server))
	for _, tt := range []struct{ languages, put, title, done, chosen, back string }{
		{"en-US,en", "Put in force", "Put demo-colon 0.9.0 in force?", "demo-colon 0.9.0 is in force.", "in the place of version 1.0.0", "As configured"},
		{"de-DE,de", "In Kraft setzen", "demo-colon 0.9.0 in Kraft setzen?", "demo-colon 0.9.0 ist in Kraft.", "anstelle der konfigurierten Version 1.0.0", "Wie konfiguriert"},
		{"nb-NO,nb", "Ta i bruk", "Ta demo-colon 0.9.0 i bruk?", "demo-colon 0.9.0 er i bruk.", "i stedet for den konfigurerte versjonen 1.0.0", "Som konfigurert"},
	} {
		language := tt.languages[:2]
		h.mu.Lock()
		h.acted, h.version = nil, ""
		h.mu.Unlock()
		b.asks(tt.languages)
		b.visit("/#/models", "#versions-demo-colon")
		b.click("#versions-demo-colon")
		b.see("#put-1")
		require.Equal(t, 3, eval[int](b, `document.querySelectorAll("#versions tbody tr").length`))
		require.Equal(t, 1, eval[int](b, `document.querySelectorAll("#versions button").length`), "neither what is in force nor what is damaged can be put in force")
		require.Contains(t, b.text("#versions"), evil)
		require.Equal(t, tt.put, b.text("#put-1"))
		for _, scheme := range []string{"light", "dark"} {
			b.scheme(scheme)
			b.accessible("versions, " + language + ", " + scheme)
			b.picture("versions-"+language+"-"+scheme, true)
		}
		b.click("#put-1")
		b.see("dialog .danger")
		require.Equal(t, tt.title, b.text("dialog h2"))
		b.accessible("asking to put in force, " + language)
		b.click("dialog .danger")
		b.until(`document.querySelector("#putting").innerText.includes("` + tt.done + `")`)
		b.until(`document.querySelector("main .card .notice")?.innerText.includes("` + tt.chosen + `")`)
		b.see("#put-0")
		require.Equal(t, tt.back, b.text("#put-0"), "the configured one")
		b.accessible("chosen, " + language)
		b.picture("chosen-"+language, true)
		b.click("#put-0")
		b.see("dialog .danger")
		b.click("dialog .danger")
		b.until(`document.querySelector("#putting").innerText.includes("demo-colon 1.0.0")`)
		b.until(`!document.querySelector("main .card .notice")`)
		h.mu.Lock()
		require.Equal(t, []string{"version 0.9.0 (9) by not known", "version 1.0.0 (9) by not known"}, h.acted)
		h.mu.Unlock()
	}
	h.mu.Lock()
	h.err = fmt.Errorf("%w: nothing has changed: the network does not load", ErrRefused)
	h.mu.Unlock()
	b.click("#put-1")
	b.see("dialog .danger")
	b.click("dialog .danger")
	b.until(`document.querySelector("#putting").innerText.includes("the network does not load")`)
}

// What is parked is acted on by its kind, as long work that says how far it is.
func TestPage_parkedInBulk(t *testing.T) {
	h := newHospital(t)
	for range 3 {
		h.parked = append(h.parked, Parked{Kind: ParkedJob, ID: "more" + string(rune('a'+len(h.parked))), StudyInstanceUID: "2.25.1001", Model: "demo-colon", Reason: "no decoder", At: sampleTime, Bulk: true})
	}
	b := open(t, h)
	b.visit("/#/parked?kind=job", "#discard-everything")
	require.Equal(t, 4, eval[int](b, `document.querySelectorAll("tbody tr").length`))
	b.click("#discard-everything")
	b.see("dialog .danger")
	require.Contains(t, b.text("dialog"), "all 4 parked items")
	b.accessible("asking")
	b.click("dialog .danger")
	b.until(`document.querySelector("main").innerText.includes("4 items discarded.")`)
	b.see(".empty")
	require.Len(t, h.acted, 4)
}
