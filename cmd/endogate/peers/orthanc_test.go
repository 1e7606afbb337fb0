package peers_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
)

// study1 is the Study Instance UID of the first of the two sample studies.
const study1 = "2.25.310294837465920187465.1"

func samples(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(peers.Root(t), "testdata", "instances", pattern))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

func TestOrthanc(t *testing.T) {
	o := peers.StartOrthanc(t)
	assert.Empty(t, o.Studies(t))
	assert.Empty(t, o.Series(t, study1))

	files := samples(t, "study1-0[12]*.dcm")
	o.Upload(t, files...)
	assert.Equal(t, []string{study1}, o.Studies(t))
	assert.Equal(t, len(files), o.Count(t))

	o.Stop()
	o.Start(t) // on what it has stored
	series := o.Series(t, study1)
	require.Len(t, series, 1)
	assert.Equal(t, "ES", series[0].Modality)
	require.Len(t, series[0].Instances, len(files))
	first := series[0].Instances[0]
	assert.Equal(t, "1.2.840.10008.5.1.4.1.1.77.1.1", first.SOPClassUID)
	tags := o.Tags(t, first.ID)
	assert.Equal(t, first.SOPInstanceUID, tags["SOPInstanceUID"])
	assert.Equal(t, "1", tags["InstanceNumber"])
	assert.Equal(t, "DICM", string(o.File(t, first.ID)[128:132]))
	assert.Greater(t, o.Rendered(t, first.ID).Bounds().Dx(), 100)
}

func TestOrthanc_store(t *testing.T) {
	o := peers.StartOrthanc(t)
	called := peers.Called{AETitle: o.AETitle, Addr: o.Addr, Env: []string{"TCP_NODELAY=1"}}
	status, out := peers.Echoscu(t, called)
	require.Zero(t, status, out)
	status, out = peers.Storescu(t, called, []string{"-xy"}, samples(t, "study1-01*.dcm")...)
	require.Zero(t, status, out)
	assert.Equal(t, 1, o.Count(t))
}
