package reports

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"endogate/dicomnode/ledger"
)

func TestAssembler_destinations(t *testing.T) {
	a := &Assembler{Destinations: func(string) []string { return []string{"today"} }}
	assert.Equal(t, []string{"pacs"}, a.destinations(ledger.Exam{Destinations: []string{"pacs"}}))
	assert.Empty(t, a.destinations(ledger.Exam{Destinations: []string{}}), "known to be none")
	assert.Equal(t, []string{"today"}, a.destinations(ledger.Exam{}), "of an older release")
}
