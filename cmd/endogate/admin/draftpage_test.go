package admin

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	dialogs "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/access"
	"endogate/reports/draft"
)

const draftPage = "/#/draft/2.25.1001"

// reporter works by keyboard alone, and counts: what is pressed, and how often they have to think what comes next.
type reporter struct {
	p           *deskPage
	keys, steps int
}

// press is one step: keys one after another, with modifiers held.
func (r *reporter) press(keys string, held ...chromedp.Modifier) {
	r.p.t.Helper()
	r.steps++
	r.write(keys, held...)
	r.keys += len(held)
}

// write is text, or keys that need no thought of their own.
func (r *reporter) write(text string, held ...chromedp.Modifier) {
	r.p.t.Helper()
	r.keys += len([]rune(text))
	r.p.do(chromedp.KeyEvent(text, chromedp.KeyModifiers(held...), ofKeyboard))
}

// ofKeyboard has the browser take a key as one of a keyboard: what the page takes for itself writes nothing.
func ofKeyboard(e *input.DispatchKeyEventParams) {
	if e.Type == "keyDown" {
		e.Type = "rawKeyDown"
	}
}

func (p *deskPage) opened(t *testing.T) {
	t.Helper()
	p.visit(draftPage, ".draft-finding[aria-current]")
	p.until(`document.activeElement.matches(".draft-finding")`)
}

// saved waits until all is saved, as that version.
func (p *deskPage) saved(t *testing.T, version string) {
	t.Helper()
	p.until(fmt.Sprintf(`document.querySelector(".saved").innerText === "Saved as %s"`, version))
}

func (p *deskPage) sectionText(name string) string {
	for _, s := range p.newest().Sections {
		if s.Name == name {
			return s.Text
		}
	}
	return ""
}

// A usual draft with three findings: one accepted, one changed, one rejected, a key image, two texts, signed. By the keystroke-level
// model (Card, Moran, Newell 1980: 0.28 s a key of somebody who types 40 words a minute, 1.35 s a step for the mind) that is under a minute.
func TestDraftPage_byKeyboard(t *testing.T) {
	p := openDraft(t)
	p.opened(t)
	p.picture("draft-page", false)
	r := &reporter{p: p}
	names := eval[[]string](p.browser, `[...document.querySelectorAll(".draft-finding h3")].map((h) => h.firstChild.textContent)`)
	require.Len(t, names, 3)
	focused := func(n int) {
		p.until(fmt.Sprintf(`document.activeElement === document.querySelectorAll(".draft-finding")[%d]`, n))
	}

	r.press("a")
	p.see("#dialog-field")
	r.press("Dr Weiß\r") // who nobody knows says who they are, once
	p.saved(t, "1.2")
	focused(1)
	r.press("m")
	p.until(`document.activeElement.id.startsWith("size-")`)
	r.write("6")
	r.press("\r", chromedp.ModifierCtrl)
	p.until(`document.querySelector(".modify[hidden]") && !document.querySelector(".modify:not([hidden])")`)
	p.saved(t, "1.3")
	focused(2)
	r.press("r")
	p.saved(t, "1.4")
	require.Equal(t, []draft.Decision{draft.Accepted, draft.Accepted, draft.Rejected}, decisions(p.newest()))
	require.InDelta(t, 6, p.newest().Findings[1].SizeMM, 0)

	r.press("k")
	focused(1)
	r.press("i")
	p.until(`document.activeElement.id.startsWith("frame-")`)
	r.press(kb.ArrowRight + "\r")
	p.saved(t, "1.5")
	images := p.newest().KeyImages
	require.Equal(t, "Dr Weiß", images[len(images)-1].By.Name)

	r.press(kb.ArrowDown, chromedp.ModifierAlt)
	p.until(`document.activeElement.id === "section-history"`)
	r.write("none")
	r.press(kb.ArrowDown, chromedp.ModifierAlt)
	r.write("no")
	r.press("\r", chromedp.ModifierCtrl)
	p.saved(t, "1.6")
	require.Equal(t, "History: none\nAnticoagulation: no\nASA class: [to be completed]", p.sectionText("history"))
	r.press(kb.Escape)
	r.press("s")
	p.see("#act-yes")
	require.Contains(t, p.text(".act"), "can no longer be edited")
	p.picture("draft-sign", false)
	r.press("\r")
	p.see("#signature")
	require.Equal(t, draft.Signed, p.newest().Standing)
	require.Contains(t, p.text("#not-verified"), "AI, not verified", "by nobody who is known")

	t.Logf("%d keys, %d steps: %.0f s by the keystroke-level model", r.keys, r.steps, 0.28*float64(r.keys)+1.35*float64(r.steps))
	assert.LessOrEqual(t, r.keys, 45)
	assert.LessOrEqual(t, r.steps, 14)
	assert.Less(t, 0.28*float64(r.keys)+1.35*float64(r.steps), 60.0)
}

func decisions(d draft.Document) (all []draft.Decision) {
	for _, f := range d.Findings {
		all = append(all, f.Decision)
	}
	return all
}

// A history of more versions than are had at a time is shown whole; and the name of who has not signed in is shown, given up by a button, and
// after a pause.
func TestDraftPage_longHistory(t *testing.T) {
	p := openDraft(t)
	p.opened(t)
	eval[bool](p.browser, `(sessionStorage.setItem("endogate-author", "Dr Weiß"), sessionStorage.setItem("endogate-author-until", Date.now() + 60000), true)`)
	p.edit(t, "Dr No", draft.Edit{Op: draft.OpAccept, Finding: p.newest().Findings[0].ID})
	p.see("#writes-as")
	require.Contains(t, p.text("#writes-as"), "Writing as Dr Weiß, not signed in")
	p.click("#somebody-else")
	p.until(`!document.querySelector("#writes-as")`)
	require.Empty(t, eval[string](p.browser, `sessionStorage.getItem("endogate-author") ?? ""`))
	eval[bool](p.browser, `(sessionStorage.setItem("endogate-author", "Dr Weiß"), sessionStorage.setItem("endogate-author-until", Date.now() - 1), true)`)
	p.edit(t, "Dr No", draft.Edit{Op: draft.OpAccept, Finding: p.newest().Findings[1].ID})
	p.until(`sessionStorage.getItem("endogate-author") === null`)

	const many = 1100
	p.reporting.mu.Lock()
	for len(p.events) < many {
		e := p.events[0]
		e.Version = 1000 + len(p.events)
		p.events = append(p.events, e)
	}
	p.reporting.mu.Unlock()
	p.click("#show-history")
	p.see("#all-versions")
	require.Contains(t, p.text("#all-versions"), "1,100")
	p.click("#all-versions")
	p.until(fmt.Sprintf(`document.querySelectorAll(".versions > li").length === %d`, many))
	require.Contains(t, eval[string](p.browser, `document.querySelector(".versions > li:last-child").innerText`), "1.1 ·")
}

// Two write at once: nothing that was written is lost, both versions are there to be seen, and a person makes one of them.
func TestDraftPage_conflict(t *testing.T) {
	p := openDraft(t)
	p.opened(t)
	eval[bool](p.browser, `(sessionStorage.setItem("endogate-author", "Dr Weiß"), true)`)
	p.do(chromedp.Focus(chromedp.CSS("#section-history")))
	eval[bool](p.browser, `(document.querySelector("#section-history").select(), true)`)
	p.do(chromedp.KeyEvent("Mine: FIT positive"))
	text := "Theirs: on apixaban"
	p.edit(t, "Dr No", draft.Edit{Op: draft.OpSection, Section: "history", Text: &text}, draft.Edit{Op: draft.OpAccept, Finding: p.newest().Findings[0].ID})
	p.do(chromedp.KeyEvent("\r", chromedp.KeyModifiers(chromedp.ModifierCtrl)))
	p.see("#clash")
	for _, said := range []string{"You write in version 1.1. Version 1.2 is there by now, by Dr No", text, "changed by both", "Changed there besides, and kept: Polyp of colon"} {
		require.Contains(t, p.text("#clash"), said)
	}
	require.Equal(t, "Mine: FIT positive", eval[string](p.browser, `document.querySelector("#merge-section-history").value`))
	require.Contains(t, p.text(".saved"), "Not saved: another version is there by now")
	require.False(t, eval[bool](p.browser, `document.querySelector("#section-history").checkVisibility()`), "one place to write")
	require.Equal(t, text, p.sectionText("history"), "nothing of theirs is overwritten")
	p.states(t, "conflict")
	p.picture("draft-conflict", false)

	p.reload(t)
	p.see("#clash")
	require.Equal(t, "Mine: FIT positive", eval[string](p.browser, `document.querySelector("#merge-section-history").value`), "after a reload")
	p.click("#merge-section-history-both")
	p.do(chromedp.Focus(chromedp.CSS("#merge-section-history")), chromedp.KeyEvent(kb.End), chromedp.KeyEvent("!"))
	p.edit(t, "Dr No", draft.Edit{Op: draft.OpReject, Finding: p.newest().Findings[1].ID}) // and again, amid the merge
	p.do(chromedp.KeyEvent("\r", chromedp.KeyModifiers(chromedp.ModifierCtrl)))
	p.until(`document.querySelector("#clash")?.innerText.includes("Version 1.3")`)
	require.Equal(t, text+"\nMine: FIT positive!", eval[string](p.browser, `document.querySelector("#merge-section-history").value`))
	p.click("#merge-save")
	p.saved(t, "1.4")
	require.Equal(t, text+"\nMine: FIT positive!", p.sectionText("history"))
	require.Equal(t, []draft.Decision{draft.Accepted, draft.Rejected, draft.Proposed}, decisions(p.newest()))
	require.Empty(t, eval[string](p.browser, `sessionStorage.getItem("endogate-draft//2.25.1001") ?? ""`))
}

// What is signed while somebody writes in it is not changed; what they wrote goes into its amendment.
func TestDraftPage_signedMeanwhile(t *testing.T) {
	p := openDraft(t)
	p.opened(t)
	eval[bool](p.browser, `(sessionStorage.setItem("endogate-author", "Dr Weiß"), document.querySelector("#section-sedation").select(), document.querySelector("#section-sedation").focus(), true)`)
	p.do(chromedp.KeyEvent("Propofol"))
	_, err := p.Sign(t.Context(), "", p.newest().Reference(), draft.Author{Name: "Dr No"})
	require.NoError(t, err)
	p.do(chromedp.KeyEvent("\r", chromedp.KeyModifiers(chromedp.ModifierCtrl)))
	p.see("#clash")
	require.Contains(t, p.text("#clash"), "It is signed: nothing can be changed in it but by an amendment")
	require.Equal(t, draft.Signed, p.newest().Standing)
	p.click("#merge-save")
	p.write("#act-reason", "the sedation\r")
	p.saved(t, "1.4")
	require.Equal(t, draft.Amending, p.newest().Standing)
	require.Equal(t, "Propofol", strings.TrimSpace(p.sectionText("sedation")))
	require.Equal(t, "the sedation", p.newest().Reason)
}

// A connection that is lost, a reload and a gateway that comes back lose no keystroke, and the page says what is not saved.
func TestDraftPage_lostConnection(t *testing.T) {
	p := openDraft(t)
	p.opened(t)
	eval[bool](p.browser, `(sessionStorage.setItem("endogate-author", "Dr Weiß"), document.querySelector("#section-history").select(), document.querySelector("#section-history").focus(), true)`)
	p.down.Store(true)
	p.do(chromedp.KeyEvent("Well"), chromedp.KeyEvent(kb.Escape), chromedp.KeyEvent("a"))
	p.until(`document.querySelector(".saved").innerText.includes("the gateway does not answer")`)
	require.Contains(t, p.text(".draft-finding"), "Accepted")
	require.Contains(t, p.text(".draft-finding"), "not saved")
	require.Equal(t, 1, p.newest().Version)
	p.states(t, "not saved")
	p.down.Store(false)
	p.reload(t)
	p.until(`document.querySelector("#section-history")?.value === "Well"`)
	require.Contains(t, p.text(".saved"), "Not saved yet")
	p.do(chromedp.Focus(chromedp.CSS("#section-history")), chromedp.KeyEvent(kb.End), chromedp.KeyEvent(" now "))
	p.down.Store(true)
	p.do(chromedp.KeyEvent("\r", chromedp.KeyModifiers(chromedp.ModifierCtrl)))
	p.until(`document.querySelector(".saved").innerText.includes("the gateway does not answer")`)
	p.down.Store(false)
	p.saved(t, "1.2") // by itself

	leaves := func() bool {
		return !eval[bool](p.browser, `(() => { const e = new Event("beforeunload", { cancelable: true }); dispatchEvent(e); return e.defaultPrevented; })()`)
	}
	require.True(t, leaves(), "all is saved")
	p.down.Store(true)
	p.do(chromedp.Focus(chromedp.CSS("#section-history")), chromedp.KeyEvent(kb.End), chromedp.KeyEvent("and then"))
	p.do(chromedp.Evaluate[chromedp.Void](`location.hash = "#/system"`))
	p.until(`!document.querySelector(".draft-page")`)
	require.False(t, leaves(), "asked from another view, too")
	p.down.Store(false)
	p.do(chromedp.Evaluate[chromedp.Void](`location.hash = "#/draft/2.25.1001"`))
	p.until(`document.querySelector("#section-history")?.value.endsWith("and then")`)
	eval[bool](p.browser, `(document.querySelector("#save-now")?.click(), true)`)
	p.saved(t, "1.3")
	require.Regexp(t, "^Well now ?and then$", p.sectionText("history"))
	require.Equal(t, draft.Accepted, p.newest().Findings[0].Decision)
}

// What the gateway refuses is said, with why, and stays there to be mended.
func TestDraftPage_refused(t *testing.T) {
	p := openDraft(t)
	p.opened(t)
	eval[bool](p.browser, `(sessionStorage.setItem("endogate-author", "Dr Weiß"), document.querySelector("#section-history").focus(), document.querySelector("#section-history").setRangeText("x".repeat(17000)), true)`)
	p.do(chromedp.KeyEvent("y"), chromedp.KeyEvent("\r", chromedp.KeyModifiers(chromedp.ModifierCtrl)))
	p.until(`document.querySelector(".saved").innerText.includes("longer than 16384 bytes")`)
	require.Contains(t, p.text(".saved"), "What you wrote is kept in this tab")
	require.Equal(t, 1, p.newest().Version)
	p.states(t, "refused")
	eval[bool](p.browser, `(document.querySelector("#section-history").select(), document.querySelector("#section-history").focus(), true)`)
	p.do(chromedp.KeyEvent("short"), chromedp.KeyEvent("\r", chromedp.KeyModifiers(chromedp.ModifierCtrl)))
	p.saved(t, "1.2")
	require.Equal(t, "short", p.sectionText("history"))

	eval[bool](p.browser, `(document.querySelector("[id^=modify-]").click(), document.querySelector("[id^=text-]").focus(), document.querySelector("[id^=text-]").setRangeText("z".repeat(17000)), true)`)
	p.do(chromedp.KeyEvent("y"), chromedp.KeyEvent("\r", chromedp.KeyModifiers(chromedp.ModifierCtrl)))
	p.until(`document.querySelector(".saved").innerText.includes("longer than 16384 bytes")`)
	p.do(chromedp.KeyEvent("a"))
	p.until(`document.querySelectorAll(".draft-finding .tag.finding").length === 2`)
	require.Equal(t, 17001, eval[int](p.browser, `document.querySelector("[id^=text-]").value.length`), "a remark that is refused is there")
	eval[bool](p.browser, `(document.querySelector("[id^=modify-]").click(), document.querySelector("[id^=text-]").select(), document.querySelector("[id^=text-]").focus(), true)`)
	p.do(chromedp.KeyEvent("flat"), chromedp.KeyEvent("\r", chromedp.KeyModifiers(chromedp.ModifierCtrl)))
	p.saved(t, "1.3")
	require.Equal(t, "flat", p.newest().Findings[0].Text)
	require.Equal(t, draft.Accepted, p.newest().Findings[1].Decision)
}

// Who signs, signs the version that the dialog names: what comes while it is open is refused, and shown.
func TestDraftPage_signsWhatWasRead(t *testing.T) {
	p := openDraft(t)
	p.opened(t)
	eval[bool](p.browser, `(sessionStorage.setItem("endogate-author", "Dr Weiß"), true)`)
	p.do(chromedp.KeyEvent("s"))
	p.see("#act-yes")
	require.Contains(t, p.text(".act"), "Sign version 1.1?")
	text := "Theirs: on apixaban"
	p.edit(t, "Dr No", draft.Edit{Op: draft.OpSection, Section: "history", Text: &text})
	p.eager()
	p.until(`document.querySelector(".draft-bar").innerText.includes("1.2")`)
	p.click("#act-yes")
	p.until(`document.querySelector(".saved").innerText.includes("version 1.2 is there by now")`)
	require.Equal(t, draft.Standing("draft"), p.newest().Standing)
}

// Frames are dragged from the strip onto a finding and among the key images, which are put in another order and taken out.
func TestDraftPage_keyImages(t *testing.T) {
	p := openDraft(t)
	p.opened(t)
	eval[bool](p.browser, `(sessionStorage.setItem("endogate-author", "Dr Weiß"), true)`)
	p.until(`[...document.querySelectorAll(".images img")].every((i) => i.complete && i.naturalWidth)`)
	was := p.newest()
	p.drag(t, "#frame-3", ".draft-finding[aria-current] h3")
	p.saved(t, "1.2")
	mine := func(d draft.Document, finding string) (all []int) {
		for _, k := range d.KeyImages {
			if k.Finding == finding {
				all = append(all, k.Frame.Number)
			}
		}
		return all
	}
	require.Equal(t, []int{4}, mine(p.newest(), was.Findings[0].ID), "in the place of the gateway's")
	p.drag(t, "#frame-5", "#key-0")
	p.saved(t, "1.3")
	require.Equal(t, []int{6}, mine(p.newest(), ""))
	n := len(p.newest().KeyImages)
	require.Equal(t, 4, n)
	p.drag(t, "#key-3", "#key-2")
	p.saved(t, "1.4")
	require.Equal(t, 6, p.newest().KeyImages[2].Frame.Number)
	p.do(chromedp.Focus(chromedp.CSS("#key-2")), chromedp.KeyEvent(kb.ArrowLeft, chromedp.KeyModifiers(chromedp.ModifierShift)))
	p.saved(t, "1.5")
	require.Equal(t, 6, p.newest().KeyImages[1].Frame.Number)
	p.until(`document.activeElement.id === "key-1"`)
	p.do(chromedp.KeyEvent(kb.Delete))
	p.saved(t, "1.6")
	require.Len(t, p.newest().KeyImages, 3)
	require.Empty(t, mine(p.newest(), ""))
}

// drag moves the pointer from one element to another with its button held.
func (p *deskPage) drag(t *testing.T, from, to string) {
	t.Helper()
	middle := func(selector string) []float64 {
		return eval[[]float64](p.browser, fmt.Sprintf(`(() => { const r = document.querySelector(%q).getBoundingClientRect(); return [r.left + r.width / 2, r.top + r.height / 2] })()`, selector))
	}
	eval[bool](p.browser, fmt.Sprintf(`(() => { const e = document.querySelector(%q); e.parentElement.scrollLeft += e.getBoundingClientRect().left - e.parentElement.getBoundingClientRect().left - 120; return true })()`, from))
	a, b := middle(from), middle(to)
	for _, step := range []struct {
		kind input.DispatchMouseEventType
		x, y float64
	}{{"mouseMoved", a[0], a[1]}, {"mousePressed", a[0], a[1]}, {"mouseMoved", a[0] + 6, a[1] - 6}, {"mouseMoved", (a[0] + b[0]) / 2, (a[1] + b[1]) / 2}, {"mouseMoved", b[0], b[1]}, {"mouseMoved", b[0] + 1, b[1]}, {"mouseReleased", b[0] + 1, b[1]}} {
		_, err := chromedp.Call(p.ctx, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: step.kind, X: step.x, Y: step.y, Button: "left", ClickCount: 1})
		require.NoError(t, err)
	}
}

// The history says what changed in each version; undo and a way back make versions; what is signed is amended and withdrawn, and each dialog names what it does.
func TestDraftPage_history(t *testing.T) {
	p := openDraft(t)
	p.opened(t)
	eval[bool](p.browser, `(sessionStorage.setItem("endogate-author", "Dr Weiß"), true)`)
	p.do(chromedp.KeyEvent("r"))
	p.saved(t, "1.2")
	p.until(`document.querySelector("#pdf").getAttribute("src").endsWith("number=1&version=2")`)
	p.do(chromedp.KeyEvent("h"))
	p.see("#what-1\\.2")
	p.click("#what-1\\.2")
	p.until(`document.querySelector(".changed ins")?.innerText.includes("Rejected") && document.querySelector(".changed del")?.innerText.includes("Not decided")`)
	p.picture("draft-history", false)
	p.states(t, "history")
	p.do(chromedp.KeyEvent("u"))
	p.saved(t, "1.3")
	require.Equal(t, draft.Proposed, p.newest().Findings[0].Decision)
	p.click("#back-to-1\\.2")
	p.see("#act-yes")
	require.Contains(t, p.text(".act"), "No version is lost")
	p.click("#act-yes")
	p.saved(t, "1.4")
	require.Equal(t, draft.Rejected, p.newest().Findings[0].Decision)

	p.click("#sign")
	p.see("#act-yes")
	require.Contains(t, p.text(".act"), "2 findings are not decided: they go out as what a model proposes")
	p.click("#act-yes")
	p.see("#amend")
	p.see("#what-1\\.5")
	p.states(t, "signed")
	p.click("#amend")
	p.write("#act-reason", "wrong site\r")
	p.saved(t, "1.6")
	require.Contains(t, p.text("#not-verified"), "AI, not verified")
	p.click("#withdraw")
	p.see("#act-reason")
	require.Contains(t, p.text(".act"), "All that have the report are told so")
	p.write("#act-reason", "wrong patient\r")
	p.until(`document.querySelector("#signature")?.innerText.includes("Do not use this report. Reason: wrong patient")`)
	p.states(t, "withdrawn")
	p.size(1280, 800)
	p.picture("draft-withdrawn", false)
	require.Equal(t, draft.Withdrawn, p.newest().Standing)
}

// states holds what is shown to the rules of accessibility, dark and light, on a desk and on a tablet, where nothing is cut off.
func (p *deskPage) states(t *testing.T, state string) {
	t.Helper()
	for _, at := range []struct {
		width, height int64
		scheme        string
	}{{1280, 800, "dark"}, {1280, 800, "light"}, {820, 1180, "dark"}} {
		p.size(at.width, at.height)
		p.scheme(at.scheme)
		p.accessible(fmt.Sprint(state, at))
		require.LessOrEqual(t, eval[int](p.browser, `document.documentElement.scrollWidth`), int(at.width), "%s: %s", state,
			eval[string](p.browser, `[...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > innerWidth).map((e) => e.tagName + "." + e.className).slice(0, 12).join(" ")`))
	}
	p.size(1280, 800)
	p.scheme("dark")
}

// reload loads the page anew, and says yes to leaving what is not saved.
func (p *deskPage) reload(t *testing.T) {
	t.Helper()
	require.NoError(t, chromedp.Listen(p.ctx, func(e any) {
		if _, ok := e.(*dialogs.EventJavascriptDialogOpening); ok {
			go func() {
				_, _ = chromedp.Call(p.ctx, dialogs.HandleJavaScriptDialog, dialogs.HandleJavaScriptDialogParams{Accept: true}) // of a page that goes
			}()
		}
	}))
	p.do(chromedp.Reload())
	p.see(".draft-top")
}

// What a person may not do is not there, and the page says why; AI that nobody has verified is called so in every state.
func TestDraftPage_states(t *testing.T) {
	p := openDraft(t, func(s *Server) { s.Settings = func() Settings { return sampleSettings } })
	p.opened(t)
	require.Contains(t, p.text("#no-sign"), "reports.unauthenticated_sign")
	require.False(t, eval[bool](p.browser, `!!document.querySelector("#sign, #withdraw")`))
	require.Contains(t, p.text("#not-verified"), "AI, not verified")
	p.until(`[...document.querySelectorAll(".draft-finding img")].every((i) => i.complete && i.naturalWidth)`)
	p.states(t, "draft")
	p.picture("draft-work", false)
	p.size(820, 1180)
	p.picture("draft-tablet", true)
	p.size(1280, 800)
	p.scheme("light")
	p.picture("draft-light", false)
	p.visit("/#/draft/2.25.404", "#no-draft")
	require.Contains(t, p.text("#no-draft"), "no model looks at this study")
	p.states(t, "none")
	p.down.Store(true)
	p.do(chromedp.Evaluate[chromedp.Void](`location.hash = "#/draft/2.25.1001"`))
	p.see("#reading")
	p.until(`!document.querySelector("#offline").hidden`)
	p.states(t, "no answer")
	p.down.Store(false)
	p.eager()
	p.see(".draft-finding")
}

// Who may read and not report sees the draft, and nothing to change it by; what a person signs who has signed in is verified, and no name is asked for.
func TestDraftPage_roles(t *testing.T) {
	house := newHouse(t)
	drafts := newReporting(t, newHospital(t))
	house.server.Drafts = drafts
	b := openAt(t, house.URL)
	enter := func(role access.Role) {
		b.visit("/signin", "[name=name]")
		b.write("[name=name]", string(role))
		b.write("[name=password]", goodPassword+"\r")
		b.see(".studies")
	}
	enter(access.Viewer)
	b.visit(draftPage, "[role=alert] .notice")
	require.Contains(t, b.text("[role=alert] .notice"), "does not have the right identify")
	eval[bool](b, `(fetch("/api/v1/break-glass", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ reason: "emergency, ward 3" }) }), true)`)
	b.see(".draft-finding")
	require.Contains(t, b.text("#read-only"), "needs the right to report")
	require.False(t, eval[bool](b, `!!document.querySelector("#sign, #withdraw, #undo, [id^=accept-], #add-finding, #choose, .draft-sections textarea:not([readonly])")`))
	b.click("#who button")
	b.see("[name=name]")

	enter(access.Clinician)
	b.visit(draftPage, "#sign")
	b.do(chromedp.Evaluate[chromedp.Void](`sessionStorage.setItem("endogate-draft/clinician/2.25.1001", JSON.stringify({ number: 1, version: 1, edits: [{ op: "section", section: "history", text: "not saved" }] }))`))
	b.click("#who button")
	b.see("#act-yes")
	require.Contains(t, b.text(".act"), "Discard what you have not saved?")
	b.click("#act-yes")
	b.see("[name=name]")
	require.Zero(t, eval[int](b, `Object.keys(sessionStorage).length`), "who comes next finds nothing")

	enter(access.Clinician)
	b.visit(draftPage, "#sign")
	require.Contains(t, b.text("#not-verified"), "AI, not verified")
	b.do(chromedp.KeyEvent("s", ofKeyboard))
	b.see("#act-yes")
	require.Contains(t, b.text(".act"), "You sign as clinician.")
	b.do(chromedp.KeyEvent("\r", ofKeyboard))
	b.see("#signature")
	require.Contains(t, b.text("#signature"), "Verified by the reporting system")
	require.False(t, eval[bool](b, `!!document.querySelector("#not-verified")`))
	require.Equal(t, draft.Author{Name: "clinician"}, drafts.newest().Signature.By)
}
