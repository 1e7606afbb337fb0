package gateway_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode"
)

// TestGateway_auditOfTransfers looks for what came, what went and who was turned away in the audit trail, also of what came
// before a gateway was killed.
func TestGateway_auditOfTransfers(t *testing.T) {
	t.Parallel()
	installed.Require(t, "xmllint")
	_, address := newMoodyPACS(t)
	g := newGateway(t, strings.Replace(routeTo("PACS", address, ""), "models: [demo]", "models: [demo], forward_source: true", 1))
	g.replace(`peers: [{ae_title: "*"`, `peers: [{ae_title: SCOPE1`)
	g.apart = true
	g.start()
	study := polyps(t, 0, 1, 8)
	storeAll(t, g.scp, study...)
	g.waitFor("the images in the PACS", func() bool { return g.destination("pacs").Counts.Done >= len(study) })
	g.process.Kill()
	g.start()
	_, err := tryAssociate(t, "MALLORY", g.scp, study[0])
	var rejected *dicomnode.RejectError
	require.ErrorAs(t, err, &rejected)
	g.Stop()

	trail := strings.Split(strings.TrimSpace(g.command("audit", "export")), "\n")
	count := func(parts ...string) (n int) {
		for _, m := range trail {
			if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(m, p) }) {
				n++
			}
		}
		return n
	}
	came := []string{`csd-code="110104"`, `EventActionCode="C"`, `AlternativeUserID="AETITLES=SCOPE1"`, `AlternativeUserID="AETITLES=ENDOGATE"`, `NumberOfInstances="8"`, `NetworkAccessPointID="127.0.0.1"`, `csd-code="110180"`, `originalText="Patient Number"`}
	assert.Equal(t, 1, count(came...), "what came before the gateway was killed, in one message")
	begun := count(`csd-code="110102"`, `UserID="pacs"`)
	assert.Positive(t, begun, "what is to leave is told of before it does,")
	assert.LessOrEqual(t, begun, 2, "once of each run")
	assert.Equal(t, 1, count(`csd-code="110113"`, `csd-code="110126"`, "MALLORY"))
	assert.Contains(t, g.command("audit", "verify"), "follow from each other")

	args := []string{"--noout", "--relaxng", filepath.Join("..", "..", "..", "dicomnode", "audit", "testdata", "message.rng")}
	dir := t.TempDir()
	for i, m := range trail {
		path := filepath.Join(dir, strings.Repeat("m", i+1)+".xml")
		require.NoError(t, os.WriteFile(path, []byte(m), 0o600))
		args = append(args, path)
	}
	out, err := exec.Command("xmllint", args...).CombinedOutput()
	assert.NoError(t, err, "%s", out)
}
