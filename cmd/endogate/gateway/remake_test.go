package gateway_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
	"endogate/hl7/mllp/mllptest"
)

// TestGateway_derivedMadeAgain: the spool is lost while heatmaps, report, key images, and a signed report wait for
// an archive that is away. The modality sends the images again, and all of it is made again and delivered: the same
// objects where nothing has changed, others in their place where the gateway writes them otherwise by now. Without the images it says
// what it waits for. What somebody signed is only what that was: its page and message are not made again, and it says what to do.
func TestGateway_derivedMadeAgain(t *testing.T) {
	for _, institution := range []string{"", "General Hospital"} {
		t.Run(institution, func(t *testing.T) {
			t.Parallel()
			pacs := peers.StartStoreSCP(t)
			pacs.Kill()
			var open atomic.Bool
			ris := mllptest.Start(t, func(c *mllptest.Conversation) {
				if !open.Load() {
					c.Close()
					return
				}
				mllptest.AA(c)
			})
			g := newGateway(t, fmt.Sprintf(`routes: [{name: endoscopy, match: {modality: [ES]}, models: [demo], destinations: [pacs, ris]}]
destinations:
  - {name: pacs, kind: dicom, ae_title: STORESCP, address: %q, pdf: true}
  - {name: ris, kind: hl7, address: %q}
exam: {quiet: 1s}
reports: {unauthenticated_sign: true, institution_name: ""}
`, pacs.Addr, ris.Addr))
			g.start()
			files := sample(t, "study1-0*")
			g.send(files...)
			require.NotEmpty(t, g.waitDraft(sampleStudy, `"1.1"`).Shown())
			require.Equal(t, http.StatusOK, g.desk(http.MethodPost, sampleStudy, "/sign", `"1.1"`, author{"Dr. Weiß"}).status)
			g.waitDraft(sampleStudy, `"1.2"`)
			was := map[dicom.UID]string{}
			for _, o := range g.study(sampleStudy).Objects {
				was[o.SOPInstanceUID] = o.Purpose
			}
			g.Stop()
			require.NoError(t, os.RemoveAll(filepath.Join(g.dir, "data", "spool")))
			g.replace(`institution_name: ""`, fmt.Sprintf("institution_name: %q", institution))

			g.start()
			g.waitFor("all to say what it waits for", func() bool {
				parked := g.parked()
				for _, p := range parked {
					if p.Kind == "delivery" && p.Purpose != "source" && p.Purpose != "oru" && p.Reason != "bytes lost: send the instance again that it was made from" {
						return false
					}
				}
				return len(parked) >= 7
			})
			pacs.Start(t)
			open.Store(true)
			unanswered := len(ris.Got())
			g.send(files...)
			g.waitFor("the archive to have what is made again, and no more to wait than what was signed", func() bool {
				parked := g.parked()
				for _, p := range parked {
					if !strings.Contains(p.Reason, "amend the report") {
						return false
					}
				}
				return len(parked) == 2 && len(pacs.Files(t)) >= 7
			})
			study := g.study(sampleStudy)
			got := pacs.Files(t)
			names := map[string]int{}
			for _, o := range study.Objects {
				_, there := got[string(o.SOPInstanceUID)]
				if o.Purpose == "pdf" && o.Revision == 2 {
					assert.False(t, there, "nothing that nobody signed in place of what somebody did")
				} else if there {
					names[o.Purpose]++
					_, before := was[o.SOPInstanceUID]
					assert.Equal(t, institution == "", before, "%s %s", o.Purpose, o.SOPInstanceUID)
				}
			}
			for _, purpose := range []string{"heatmap", "sr", "kos", "pdf"} {
				assert.Positive(t, names[purpose], purpose)
			}
			amending := g.desk(http.MethodPost, sampleStudy, "/amend", `"1.2"`, reasoned{author{"Dr. Weiß"}, "its page was lost"})
			require.Equal(t, http.StatusOK, amending.status, string(amending.body))
			require.Equal(t, http.StatusOK, g.desk(http.MethodPost, sampleStudy, "/sign", amending.etag, author{"Dr. Weiß"}).status)
			g.waitFor("archive and RIS to have the amended report", func() bool { return len(pacs.Files(t)) >= 8 && len(ris.Got()) > unanswered })
			for _, i := range study.Instances {
				for _, frame := range i.Analyses[0].Frames {
					for _, f := range frame.Findings {
						if f.Heatmap != "" {
							assert.Contains(t, got, string(f.Heatmap), "findings name what is there")
						}
					}
				}
			}
		})
	}
}
