package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mayImport is the package table of the README: which of our packages each may import.
var mayImport = map[string][]string{
	"cmd/endogate":              {"*"},
	"cmd/endogate/access":       {"dicomnode/durable"},
	"cmd/endogate/admin":        {"cmd/endogate/access", "dicomnode/audit", "dicomnode/dicom", "dicomnode/dicomweb", "dicomnode/failure", "dicomnode/ledger", "inference/analysis", "inference/figures", "reports/draft"},
	"cmd/endogate/bill":         {},
	"cmd/endogate/gateway":      {"*"},
	"configs":                   {"configs/strict", "dicomnode/dicom", "dicomnode/pdu", "explain", "hl7", "hl7/oru"},
	"configs/strict":            {"dicomnode/dicom"},
	"dicomnode":                 {"dicomnode/accept", "dicomnode/dicom", "dicomnode/dimse", "dicomnode/failure", "dicomnode/pdu", "dicomnode/secure"},
	"dicomnode/accept":          {},
	"dicomnode/secure":          {},
	"dicomnode/audit":           {"dicomnode/durable"},
	"dicomnode/clock":           {},
	"dicomnode/dicom":           {},
	"dicomnode/pdu":             {},
	"dicomnode/dimse":           {"dicomnode/dicom"},
	"dicomnode/dicomweb":        {"dicomnode", "dicomnode/dicom", "dicomnode/dimse", "dicomnode/ledger", "dicomnode/pixeldata", "dicomnode/pixeldata/video", "dicomnode/spool"},
	"dicomnode/durable":         {},
	"dicomnode/failure":         {},
	"dicomnode/intake":          {"dicomnode", "dicomnode/dicom", "dicomnode/dimse", "dicomnode/failure", "dicomnode/ledger", "dicomnode/spool"},
	"dicomnode/pixeldata":       {"dicomnode/dicom"},
	"dicomnode/pixeldata/video": {"dicomnode/dicom", "dicomnode/failure", "dicomnode/pixeldata", "dicomnode/pixeldata/yuv"},
	"dicomnode/pixeldata/yuv":   {},
	"dicomnode/spool":           {"dicomnode/dicom", "dicomnode/durable"},
	"dicomnode/ledger":          {"dicomnode/clock", "dicomnode/dicom", "dicomnode/durable", "dicomnode/failure", "inference/analysis"},
	"hl7":                       {"dicomnode/dicom"},
	"hl7/orders":                {"dicomnode/dicom", "dicomnode/failure", "dicomnode/ledger", "dicomnode/spool", "hl7"},
	"hl7/mllp":                  {"dicomnode/accept", "dicomnode/failure", "hl7"},
	"hl7/oru":                   {"dicomnode/dicom", "hl7", "inference/analysis", "reports/draft"},
	"inference":                 {"configs/strict", "dicomnode/dicom", "dicomnode/failure", "dicomnode/pixeldata", "dicomnode/pixeldata/video", "explain", "inference/analysis", "inference/pixels"},
	"inference/analysis":        {"dicomnode/dicom"},
	"inference/ask":             {"inference", "inference/analysis", "inference/onnx", "explain", "explain/faithfulness", "explain/picture", "explain/sampling"},
	"inference/frames":          {"dicomnode/dicom", "dicomnode/pixeldata", "dicomnode/pixeldata/video"},
	"inference/figures":         {},
	"inference/pixels":          {},
	"inference/live":            {"dicomnode/pixeldata/video", "explain", "explain/picture", "inference", "inference/analysis"},
	"inference/trial":           {"dicomnode/pixeldata/video", "explain", "explain/faithfulness", "inference", "inference/analysis", "inference/ask", "inference/figures", "inference/frames"},
	"inference/jobs":            {"dicomnode/failure", "dicomnode/secure"},
	"inference/onnx":            {"explain", "explain/sampling"},
	"explain":                   {"explain/onnxpb"},
	"explain/onnxpb":            {},
	"explain/faithfulness":      {"explain"},
	"explain/picture":           {"explain"},
	"explain/sampling":          {"explain"},
	"reports":                   {"dicomnode/clock", "dicomnode/dicom", "dicomnode/failure", "dicomnode/ledger", "explain", "explain/picture", "inference", "inference/analysis", "reports/draft", "reports/readback"},
	"reports/draft":             {"configs/strict", "dicomnode/dicom", "inference/analysis"},
	"reports/desk":              {"dicomnode/clock", "dicomnode/dicom", "dicomnode/failure", "dicomnode/ledger", "inference/analysis", "reports", "reports/draft"},
	"reports/reading":           {"configs/strict", "dicomnode/dicom"},
	"reports/notice":            {"dicomnode/ledger", "hl7"},
	"reports/secondlook":        {"dicomnode/dicom", "dicomnode/ledger", "inference/analysis", "reports/reading"},
	"reports/pdf":               {"explain", "inference/analysis", "reports/draft"},
	"reports/fhir":              {"dicomnode/dicom", "inference/analysis", "reports/draft"},
	"reports/publish":           {"dicomnode/dicom", "dicomnode/ledger", "dicomnode/spool", "hl7/oru", "reports", "reports/draft", "reports/fhir", "reports/pdf"},
	"reports/readback":          {"dicomnode/dicom"},
	"reports/results":           {"dicomnode/dicom", "dicomnode/ledger", "dicomnode/pixeldata", "dicomnode/pixeldata/video", "dicomnode/spool", "explain", "explain/picture", "inference", "inference/analysis", "reports"},
	"reports/outbox":            {"dicomnode/clock", "hl7", "hl7/mllp", "dicomnode", "dicomnode/dicom", "dicomnode/dimse", "dicomnode/failure", "dicomnode/ledger", "dicomnode/secure", "dicomnode/spool"},
}

// testOnly packages are imported by tests alone, judge them, or make files that are committed.
var testOnly = []string{"cmd/verdict", "cmd/bill", "cmd/endogate/installed", "dicomnode/dicomtest", "dicomnode/ledger/ledgertest", "hl7/mllp/mllptest", "dicomnode/secure/securetest", "cmd/endogate/peers", "cmd/endogate/bench", "cmd/endogate/deployment"}

// oneImporter lists libraries with a view of the world: one package of ours imports each.
var oneImporter = map[string]string{
	"github.com/labstack/echo/v4":         "cmd/endogate/admin",
	"github.com/prometheus/client_golang": "cmd/endogate/admin",
	"github.com/alexedwards/scs/v2":       "cmd/endogate/admin",
	"github.com/coreos/go-oidc/v3":        "cmd/endogate/admin",
	"golang.org/x/oauth2":                 "cmd/endogate/admin",
	"github.com/CycloneDX/cyclonedx-go":   "cmd/bill",
	"github.com/google/licensecheck":      "cmd/bill",
	"github.com/alexedwards/argon2id":     "cmd/endogate/access",
	"github.com/nats-io/":                 "inference/jobs",
	"github.com/yalue/onnxruntime_go":     "inference/onnx",
	"github.com/mattn/go-sqlite3":         "dicomnode/ledger",
	"github.com/knadh/koanf":              "configs",
	"github.com/alecthomas/kong":          "cmd/endogate",
	"go.yaml.in/yaml":                     "configs/strict",
	"github.com/suyashkumar/dicom":        "reports",
	"github.com/grailbio/go-dicom":        "reports/readback",
	"codeberg.org/go-fonts/liberation":    "reports/pdf",
	"codeberg.org/go-pdf/fpdf":            "reports/pdf",
	"gonum.org/v1/gonum/mat":              "explain/sampling",
	"gonum.org/v1/plot":                   "explain/faithfulness",
}

type listedPackage struct {
	ImportPath string
	Imports    []string
}

func TestImports_arrowsGoOneWay(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "endogate/...").Output()
	require.NoError(t, err)
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p listedPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
		name := strings.TrimPrefix(p.ImportPath, "endogate/")
		if slices.Contains(testOnly, name) {
			continue
		}
		allowed, known := mayImport[name]
		assert.True(t, known, "%s is not in the table of packages", name)
		for _, imported := range p.Imports {
			ours, isOurs := strings.CutPrefix(imported, "endogate/")
			if isOurs && !slices.Contains(allowed, "*") {
				assert.Contains(t, allowed, ours, "%s imports %s", name, ours)
			}
			assert.False(t, isOurs && slices.Contains(testOnly, ours), "%s imports %s, which is for tests", name, ours)
			for library, importer := range oneImporter {
				assert.False(t, strings.HasPrefix(imported, library) && name != importer, "%s imports %s; only %s may", name, imported, importer)
			}
		}
	}
}
