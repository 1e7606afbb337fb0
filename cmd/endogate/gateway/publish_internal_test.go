package gateway

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/reports/draft"
)

// TestOrderIn: what is signed names the order that its document has, and none where that has none.
func TestOrderIn(t *testing.T) {
	assert.Nil(t, orderIn(draft.Document{}))
	service := dicom.Code{Value: "73761001", Scheme: "SCT", Meaning: "Colonoscopy"}
	got := orderIn(draft.Document{Order: &draft.Order{
		Accession: "A1", Placer: "P1", PlacerAuthority: "RIS", Filler: "F1", FillerAuthority: "ENDO", RequestedProcedureID: "RP1",
		Service: service, Reason: "why", Requester: "Weiß^Jürgen", Referrer: "Hansen^Åse", StepID: "SPS1",
		RequesterID: "12", RequesterAuthority: "HPR", ReferrerID: "77", ReferrerAuthority: "HPR", PatientClass: "I", VisitNumber: "V5", VisitAuthority: "NORTH",
	}})
	assert.Equal(t, &ledger.Order{
		Accession: "A1", Placer: ledger.Identifier{ID: "P1", Authority: "RIS"}, Filler: ledger.Identifier{ID: "F1", Authority: "ENDO"},
		RequestedProcedureID: "RP1", Service: service, Reason: "why", Requester: "Weiß^Jürgen", Referrer: "Hansen^Åse",
		RequesterID: ledger.Identifier{ID: "12", Authority: "HPR"}, ReferrerID: ledger.Identifier{ID: "77", Authority: "HPR"},
		PatientClass: "I", AdmissionID: "V5", AdmissionAuthority: "NORTH",
		Steps: []ledger.Step{{ID: "SPS1"}},
	}, got)
}
