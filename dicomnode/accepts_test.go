package dicomnode_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
)

// heard gathers what a server tells of its associations.
type heard struct {
	mu  sync.Mutex
	all []dicomnode.AssociationEvent
}

func (h *heard) hear(e dicomnode.AssociationEvent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, e)
}

// await waits for an end, and returns all that was told.
func (h *heard) await(t *testing.T, ends int) []dicomnode.AssociationEvent {
	t.Helper()
	var all []dicomnode.AssociationEvent
	require.Eventually(t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		all = h.all
		n := 0
		for _, e := range all {
			if e.Ended != "" {
				n++
			}
		}
		return n == ends
	}, time.Minute, time.Millisecond)
	return all
}

// More pairs than an association has contexts are asked for over several, and each has its own answer.
func TestAccepts(t *testing.T) {
	s, h := newServer(new(storing)), new(heard)
	s.Contexts = dicomnode.StorageContexts(dicom.StorageGroup(dicom.GroupEndoscopic))
	s.Observe.Association = h.hear
	addr := serve(t, s)
	var pairs []dicomnode.InstanceSyntax
	for _, class := range dicom.StorageSOPClasses {
		for _, ts := range dicom.TransferSyntaxes[:8] {
			pairs = append(pairs, dicomnode.InstanceSyntax{SOPClassUID: class.UID, TransferSyntaxUID: ts.UID})
		}
	}
	pairs = append(pairs, dicomnode.InstanceSyntax{SOPClassUID: dicom.VLEndoscopicImageStorage, TransferSyntaxUID: "1.2.3"})
	client := &dicomnode.Client{AETitle: "SCOPE1"}
	answers, err := client.Accepts(t.Context(), addr, s.AETitle, pairs)
	require.NoError(t, err)
	require.Len(t, answers, len(pairs))
	for i, a := range answers {
		class, _ := dicom.LookupSOPClass(a.SOPClassUID)
		want := dicomnode.AbstractSyntaxNotSupported
		switch {
		case a.TransferSyntaxUID == "1.2.3":
			want = dicomnode.TransferSyntaxesNotSupported
		case class.Group == dicom.GroupEndoscopic:
			want = dicomnode.ContextAccepted
		}
		require.Equal(t, pairs[i], a.InstanceSyntax)
		require.Equal(t, want, a.Result, "%s in %s", a.SOPClassUID, a.TransferSyntaxUID)
	}
	all := h.await(t, (len(pairs)+127)/128)
	require.Len(t, all[0].Contexts, 128)
	require.Equal(t, dicomnode.EndReleased, all[1].Ended)

	_, err = client.Accepts(t.Context(), addr, "ELSEWHERE", pairs[:1])
	var rejected *dicomnode.RejectError
	require.ErrorAs(t, err, &rejected)
	last := h.await(t, (len(pairs)+127)/128+1)
	require.Equal(t, dicomnode.EndRejected, last[len(last)-1].Ended)
	require.Equal(t, dicom.AETitle("ELSEWHERE"), last[len(last)-1].CalledAE)
}

// What a server tells of an association: what was negotiated, each request with its answer, and how it ended.
func TestServer_tellsOfAssociations(t *testing.T) {
	handler, h := &storing{}, new(heard)
	s := newServer(handler)
	s.Observe.Association = h.hear
	addr := serve(t, s)
	a := associate(t, addr, append(dicomnode.VerificationContexts(), dicomnode.PresentationContext{AbstractSyntax: "1.2.3.4", TransferSyntaxes: []dicom.UID{dicom.ImplicitVRLittleEndian}}))
	_, err := a.Echo(t.Context())
	require.NoError(t, err)
	require.NoError(t, a.Release(t.Context()))
	b := associate(t, addr, dicomnode.VerificationContexts())
	require.NoError(t, b.Abort())
	c := associate(t, addr, []dicomnode.PresentationContext{{AbstractSyntax: "Doe^Jane", TransferSyntaxes: []dicom.UID{dicom.ImplicitVRLittleEndian}}})
	require.NoError(t, c.Release(t.Context()))
	all := h.await(t, 3)
	require.Equal(t, dicom.UID("not a UID"), all[len(all)-2].Contexts[0].AbstractSyntax)
	all = all[:5]
	require.Equal(t, []dicomnode.ContextResult{dicomnode.ContextAccepted, dicomnode.AbstractSyntaxNotSupported}, []dicomnode.ContextResult{all[0].Contexts[0].Result, all[0].Contexts[1].Result})
	echo := all[1].Answered
	require.Equal(t, "C-ECHO-RQ", echo.Command)
	require.Equal(t, dicom.Verification, echo.SOPClassUID)
	require.Equal(t, dimse.Success, echo.Status)
	require.Equal(t, dicomnode.EndReleased, all[2].Ended)
	require.Equal(t, dicomnode.CausePeer, all[4].Ended)
	for _, e := range all {
		require.NotZero(t, e.At)
		require.NotEmpty(t, e.Remote)
		require.Equal(t, s.AETitle, e.CalledAE)
	}
	require.Equal(t, []uint64{1, 1, 1, 2, 2}, []uint64{all[0].Association, all[1].Association, all[2].Association, all[3].Association, all[4].Association})
}
