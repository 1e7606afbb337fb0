package inference

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"endogate/explain"
)

const (
	// maxNetwork is what protobuf can hold in one message.
	maxNetwork = 2 << 30
	// maxWeights bounds the files of weights beside it: memory has to hold them.
	maxWeights = 64 << 30
)

// networkFiles names the files of the network in a bundle: model.onnx, and those that it keeps weights in, by their names.
func networkFiles(root *os.Root) ([]string, error) {
	graph, err := readWhole(root, NetworkFile, maxNetwork)
	if err != nil {
		return nil, err
	}
	external, err := explain.External(graph)
	if err != nil { // whoever loads it says more
		return []string{NetworkFile}, nil
	}
	slices.Sort(external)
	return append([]string{NetworkFile}, external...), nil
}

// digestOf is the hash of a bundle's network: of its file alone where that is all, else of the names and hashes of all files.
func digestOf(dir string, heads ...string) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", fmt.Errorf("inference: model bundle: %w", err)
	}
	defer func() { _ = root.Close() }()
	files, err := networkFiles(root)
	if err != nil {
		return "", fmt.Errorf("inference: model bundle: %w", err)
	}
	files = append(files, heads...)
	all := sha256.New()
	for _, name := range files {
		sum, err := digestFile(root, name)
		if err != nil {
			return "", fmt.Errorf("inference: model bundle: %w", err)
		}
		if len(files) == 1 {
			return sum, nil
		}
		_, _ = fmt.Fprintf(all, "%s  %s\n", sum, name) // a hash takes all
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

func digestFile(root *os.Root, name string) (string, error) {
	file, err := open(root, name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, io.LimitReader(file, maxWeights)); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// open opens a file of a bundle. A name that leads out of it, also through a link, is refused.
func open(root *os.Root, name string) (*os.File, error) {
	path := filepath.Join(root.Name(), name)
	switch {
	case name == NetworkFile: // may be a link to wherever models are kept
		return os.Open(path)
	case !filepath.IsLocal(name):
		return nil, fmt.Errorf("%s: file %q of the network is not within the bundle; put it beside %s and name it so", root.Name(), name, NetworkFile)
	}
	file, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing, in which the network keeps weights: %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("%s is no file", path), err, file.Close())
	}
	return file, nil
}

// readWhole reads a file of a bundle.
func readWhole(root *os.Root, name string, most int64) ([]byte, error) {
	file, err := open(root, name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var content bytes.Buffer
	if info, err := file.Stat(); err == nil && info.Size() < most { // all at once, where it is a file as usual
		content.Grow(int(info.Size()) + bytes.MinRead)
	}
	n, err := content.ReadFrom(io.LimitReader(file, most))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", filepath.Join(root.Name(), name), err)
	case n == 0:
		return nil, fmt.Errorf("%s is empty", filepath.Join(root.Name(), name))
	case n == most:
		return nil, fmt.Errorf("%s is too large: less than %d bytes are allowed", filepath.Join(root.Name(), name), most)
	}
	return content.Bytes(), nil
}

// heads are the files of a network in two parts that come behind the encoder.
func (b *Bundle) heads() []string {
	if b.Clip == nil || b.Clip.Head == "" {
		return nil
	}
	return []string{b.Clip.Head}
}

// Parts returns an encoder of frames and the head that looks across its embeddings; no head where the network is one. They are what Digest
// was made of, or there is an error.
func (b *Bundle) Parts() (encoder, head []byte, err error) {
	if encoder, head, err = b.parts(); err != nil {
		return nil, nil, fmt.Errorf("inference: model %s: %w", b.Name, err)
	}
	return encoder, head, nil
}

// Network returns the network with all its weights; one in two parts as one over clips. They are what Digest was made of, or there is an error.
func (b *Bundle) Network() ([]byte, error) {
	network, head, err := b.parts()
	switch {
	case err != nil:
	case head != nil:
		network, err = explain.Join(network, head, b.Clip.Frames)
	case b.Output.Parts():
		network, err = explain.Arrange(network, b.Output.arrangement(len(b.Classes)))
	}
	if err != nil {
		return nil, fmt.Errorf("inference: model %s: %w", b.Name, err)
	}
	return network, nil
}

// arrangement is how outputs are put together for [Reading].
func (o Output) arrangement(classes int) explain.Arrangement {
	a := explain.Arrangement{Output: o.Name, Boxes: o.Boxes.Corners, Labels: o.Boxes.Labels}
	if o.Kind == OfBoxes {
		a.Rows = append(o.Others(), o.Name)
	}
	if o.Mask.Labels {
		more, _ := o.Mask.Background.more()
		a.Values = int64(classes + more)
	}
	return a
}

func (b *Bundle) parts() (network, head []byte, err error) {
	root, err := os.OpenRoot(b.Dir)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = root.Close() }()
	if network, err = readWhole(root, NetworkFile, maxNetwork); err != nil {
		return nil, nil, err
	}
	for _, name := range b.heads() {
		if head, err = readWhole(root, name, maxNetwork); err != nil {
			return nil, nil, err
		}
	}
	sum := sha256.Sum256(network)
	if hex.EncodeToString(sum[:]) == b.Digest {
		return network, nil, nil
	}
	if digest, err := digestOf(b.Dir, b.heads()...); err != nil || digest != b.Digest {
		return nil, nil, errors.Join(fmt.Errorf("%s has changed since the bundle was loaded; restart to load it anew", filepath.Join(b.Dir, NetworkFile)), err)
	}
	network, err = explain.Inline(network, func(name string, offset, length int64) ([]byte, error) {
		file, err := open(root, name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		return section(file, name, offset, length)
	})
	return network, head, err
}

// section reads a part of a file; its length is not taken at its word.
func section(file *os.File, name string, offset, length int64) ([]byte, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if length < 0 {
		length = info.Size() - offset
	}
	if length < 0 || length > maxWeights || offset > info.Size()-length {
		return nil, fmt.Errorf("%s has %d bytes; %d from %d on are wanted", name, info.Size(), length, offset)
	}
	part := make([]byte, length)
	_, err = io.ReadFull(io.NewSectionReader(file, offset, length), part)
	return part, err
}
