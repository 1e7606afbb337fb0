package peers_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
)

func TestStoreSCP(t *testing.T) {
	s := peers.StartStoreSCP(t)
	called := peers.Called{AETitle: s.AETitle, Addr: s.Addr}
	status, out := peers.Storescu(t, called, []string{"-xy"}, samples(t, "study1-01*.dcm")...)
	require.Zero(t, status, out)
	require.Len(t, s.Files(t), 1)

	s.Kill()
	status, _ = peers.Echoscu(t, called)
	assert.NotZero(t, status, "a killed peer answers")
	s.Start(t)
	status, out = peers.Storescu(t, called, []string{"-xy"}, samples(t, "study1-02*.dcm")...)
	require.Zero(t, status, out)
	files := s.Files(t)
	require.Len(t, files, 2)
	for uid, file := range files {
		assert.Contains(t, peers.Run(t, "dcmdump", "+P", "SOPInstanceUID", file), uid)
	}
}

func TestStoreSCP_accept(t *testing.T) {
	const secondaryCapture dicom.UID = "1.2.840.10008.5.1.4.1.1.7"
	s := peers.StartStoreSCP(t, peers.StoreSCPOptions{AETitle: "PICKY", Accept: []dicom.UID{secondaryCapture}})
	called := peers.Called{AETitle: s.AETitle, Addr: s.Addr}
	status, out := peers.Echoscu(t, called)
	require.Zero(t, status, out)
	status, _ = peers.Storescu(t, called, []string{"-xy"}, samples(t, "study1-01*.dcm")...)
	assert.NotZero(t, status, "a refused SOP class was stored")
	assert.Empty(t, s.Files(t))
}
