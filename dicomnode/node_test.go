package dicomnode_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dimse"
)

func TestStore_bytesArriveAsTheyWere(t *testing.T) {
	h := new(storing)
	addr := serve(t, newServer(h))
	for _, ts := range []dicom.UID{
		dicom.ImplicitVRLittleEndian, dicom.ExplicitVRLittleEndian, dicom.ExplicitVRBigEndian,
		dicom.DeflatedExplicitVRLittleEndian, dicom.JPEGBaseline8Bit, dicom.RLELossless,
	} {
		ds, req := instance(dicomtest.Options{TransferSyntax: ts, Series: string(ts), Rows: 200, Columns: 250, Frames: 2})
		a := associate(t, addr, contextsFor(req))
		require.True(t, a.Accepted(req.SOPClassUID, ts))
		status, err := a.Store(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, dimse.Success, status)
		status, err = a.Echo(t.Context())
		require.NoError(t, err)
		require.Equal(t, dimse.Success, status)
		require.NoError(t, a.Release(t.Context()))
		require.True(t, bytes.Equal(ds, h.get(req.SOPInstanceUID)), ts)

		got := h.requests[len(h.requests)-1]
		require.Equal(t, dicom.AETitle("SCOPE1"), got.CallingAE)
		require.Equal(t, dicom.AETitle("ENDOGATE"), got.CalledAE)
		require.Equal(t, ts, got.TransferSyntax)
		require.Contains(t, got.RemoteAddr, "127.0.0.1:")
	}
}
