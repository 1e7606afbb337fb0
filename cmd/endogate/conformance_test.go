package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
	"endogate/configs"
)

// The document is what the code negotiates: make it anew with bin/endogate conformance > docs/conformance.md.
func TestConformance_documentIsWhatTheCodeSays(t *testing.T) {
	var now strings.Builder
	require.NoError(t, writeConformance(&now, configs.Default()))
	document, err := os.ReadFile(filepath.Join(peers.Root(t), "docs/conformance.md"))
	require.NoError(t, err)
	assert.Equal(t, string(document), now.String())
}

// The document is what the code reads and sends: make it anew with bin/endogate hl7 tables > docs/hl7.md.
func TestHL7_documentIsWhatTheCodeSays(t *testing.T) {
	var now strings.Builder
	require.NoError(t, writeHL7(&now))
	document, err := os.ReadFile(filepath.Join(peers.Root(t), "docs/hl7.md"))
	require.NoError(t, err)
	assert.Equal(t, string(document), now.String())
}
