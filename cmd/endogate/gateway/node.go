package gateway

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"endogate/dicomnode/durable"
)

const nodeFile = "node-id"

var nodePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,48}$`)

// nodeID reads the name that tells this data folder from the others on a shared nats-server, or makes it. It is on disk
// when nodeID returns. A copy of a data folder that is to run beside the original needs a name of its own: remove the file.
func nodeID(dataDir string) (string, error) {
	path := filepath.Join(dataDir, nodeFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newNodeID(path)
	}
	if err != nil {
		return "", fmt.Errorf("node: %w", err)
	}
	id := strings.TrimSpace(string(text))
	if !nodePattern.MatchString(id) {
		return "", fmt.Errorf("node: %s does not hold a name of 1 to 48 letters, digits, - or _; remove it to have one made", path)
	}
	return id, nil
}

func newNodeID(path string) (string, error) {
	id := strings.ToLower(rand.Text())
	if err := durable.WriteFile(path, []byte(id+"\n")); err != nil {
		return "", fmt.Errorf("node: %w", err)
	}
	return id, nil
}
