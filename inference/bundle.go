package inference

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"endogate/explain"
	"endogate/inference/analysis"
)

// Files of a model bundle.
const (
	ManifestFile = "model.yaml"
	NetworkFile  = "model.onnx"
)

// maxManifest bounds what is parsed; a manifest with a thousand classes has 250 KiB.
const maxManifest = 1 << 20

// maxNetwork is what protobuf can hold in one message.
const maxNetwork = 2 << 30

// Kind says what a model looks at.
type Kind string

// The kinds of model.
const (
	Still Kind = "still"
	Video Kind = "video"
)

// Activation turns logits into probabilities.
type Activation string

// The activations.
const (
	Softmax Activation = "softmax" // one class of many
	Sigmoid Activation = "sigmoid" // each class by itself
)

// Output describes the network's logits.
type Output struct {
	Name       string
	Activation Activation
}

// Bundle is a folder with a network and the manifest that says how to use it.
// It is read once and not changed.
type Bundle struct {
	Dir    string
	Digest string // SHA-256 of the network file, 64 hexadecimal digits

	Name         string
	Version      string
	Kind         Kind
	IntendedUse  string
	Manufacturer string
	Input        Input
	Preprocess   []Step // in this order, before the resize
	Output       Output
	Classes      []analysis.Class // in the order of the network's outputs
	Explain      analysis.Explanation
}

// LoadBundle reads and checks the bundle in dir. The error names every fault of the manifest with its line and key.
func LoadBundle(dir string) (*Bundle, error) {
	b, manifestErr := loadManifest(filepath.Join(dir, ManifestFile))
	digest, networkErr := digestFile(filepath.Join(dir, NetworkFile))
	if err := errors.Join(manifestErr, networkErr); err != nil {
		return nil, err
	}
	b.Dir, b.Digest = dir, digest
	return b, nil
}

// Made names the model in what it says.
func (b *Bundle) Made() analysis.Model {
	return analysis.Model{Manufacturer: b.Manufacturer, Name: b.Name, Version: b.Version, Digest: b.Digest}
}

// Network returns the bytes of the network file. They are what Digest was made of, or there is an error.
func (b *Bundle) Network() ([]byte, error) {
	path := filepath.Join(b.Dir, NetworkFile)
	network, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("inference: model %s: %w", b.Name, err)
	}
	sum := sha256.Sum256(network)
	if hex.EncodeToString(sum[:]) != b.Digest {
		return nil, fmt.Errorf("inference: model %s: %s has changed since the bundle was loaded; restart to load it anew", b.Name, path)
	}
	return network, nil
}

// ClassNames returns the names of the classes in the order of the network's outputs.
func (b *Bundle) ClassNames() []string {
	names := make([]string, len(b.Classes))
	for i, class := range b.Classes {
		names[i] = class.Name
	}
	return names
}

func loadManifest(path string) (*Bundle, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("inference: model bundle: %w", err)
	}
	defer file.Close()
	return readManifest(file, path)
}

func digestFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("inference: model bundle: %w", err)
	}
	defer file.Close()
	hash := sha256.New()
	n, err := io.Copy(hash, io.LimitReader(file, maxNetwork))
	switch {
	case err != nil:
		return "", fmt.Errorf("inference: model bundle: %w", err)
	case n == 0:
		return "", fmt.Errorf("inference: model bundle: %s is empty", path)
	case n == maxNetwork:
		return "", fmt.Errorf("inference: model bundle: %s is larger than an ONNX file can be (2 GiB)", path)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// Fits compares the manifest with the network.
func (b *Bundle) Fits(n *explain.Inspection) error {
	fault := func(format string, args ...any) error {
		return fmt.Errorf("inference: %s and the network of %s do not fit together: %s", ManifestFile, b.Name, fmt.Sprintf(format, args...))
	}
	names := func(ports []explain.Port) (names []string) {
		for _, p := range ports {
			names = append(names, p.Name)
		}
		return names
	}
	switch {
	case b.Kind != Still:
		return fault("kind %s: frames are taken one at a time, so that only %s is possible", b.Kind, Still)
	case len(n.Inputs) != 1 || n.Inputs[0].Name != b.Input.Name:
		return fault("input.name is %q, the network's inputs are %q; it must have one, of that name", b.Input.Name, names(n.Inputs))
	case !slices.Contains(names(n.Outputs), b.Output.Name):
		return fault("output.name is %q, the network's outputs are %q", b.Output.Name, names(n.Outputs))
	case n.Classes != len(b.Classes):
		return fault("it lists %d classes, output %q has %d", len(b.Classes), b.Output.Name, n.Classes)
	}
	want, got := b.Input.Shape(), n.Inputs[0].Shape
	for i, size := range got {
		if len(got) != len(want) || size > 0 && size != want[i] {
			return fault("by size and layout its input is %v, the network's is %v (-1 is open)", want, got)
		}
	}
	return nil
}
