package admin

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
)

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
	}
}
