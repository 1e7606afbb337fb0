package jobs

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
)

// Model is a network as a job asks for it: another version or other weights are another model.
type Model struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Digest  string `json:"digest"` // of the network's file
}

// Key names the model's queue: the token of its subjects, and the name of its consumer, of routine jobs; the other lanes
// have it with their name behind. It begins with the name and the
// version as far as they can be read there, and ends with a hash of all three.
func (m Model) Key() string {
	sum := sha256.Sum256([]byte(m.Name + "\x00" + m.Version + "\x00" + m.Digest))
	return readable(m.Name, 24) + "-" + readable(m.Version, 12) + "-" + hex.EncodeToString(sum[:6])
}

var unreadable = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

func readable(text string, most int) string {
	text = unreadable.ReplaceAllString(text, "_")
	return text[:min(len(text), most)]
}

func (m Model) String() string { return m.Name + " version " + m.Version }
