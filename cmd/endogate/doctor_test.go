package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/configs"
	"endogate/deploy/installed"
	"endogate/inference/onnx"
)

func TestDoctor_namesAllThatIsNotListed(t *testing.T) {
	_, err := describeConfig(configs.Default())
	require.ErrorContains(t, err, "dicom.peers is empty")
	require.ErrorContains(t, err, "routes is empty")
}

// A data folder that serve would make, however deep, is no fault.
func TestDoctor_dataFolder(t *testing.T) {
	cfg := configs.Default()
	cfg.Spool.Reserve = 0
	cfg.DataDir = filepath.Join(t.TempDir(), "var", "lib", "endogate")
	found, err := checkDisk(cfg)
	require.NoError(t, err)
	assert.Contains(t, found, "GiB free")
}

// What serve would refuse in a route, doctor refuses, because it takes the same step.
func TestDoctor_heatmapsOfRoutes(t *testing.T) {
	if _, err := onnx.FindLibrary(""); err != nil {
		installed.Lacking(t, "%v; make setup brings it", err)
	}
	cfg := configs.Default()
	cfg.Models = []configs.Model{{Dir: "../../testdata/models/demo"}}
	cfg.Destinations = []configs.Destination{{Name: "pacs", Kind: "dicom", AETitle: "PACS", Address: "127.0.0.1:4242"}}
	for name, h := range map[string]configs.Heatmap{
		"no such layer": {Method: "gradcam", Layer: "layer9"},
		"is unknown":    {Method: "gradcamm"},
	} {
		cfg.Routes = []configs.Route{{Name: "r", Models: []string{"demo-colon"}, Destinations: []string{"pacs"}, Heatmaps: []configs.Heatmap{h}}}
		require.NoError(t, cfg.Validate())
		_, err := tryModels(t.Context(), cfg)
		assert.ErrorContains(t, err, name)
	}
}
