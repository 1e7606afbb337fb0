package installed

import (
	"encoding/json"
	"os"
	"testing"
)

// drill names the variable under which proofs run at full size, as make drill sets it.
const drill = "ENDOGATE_DRILL"

// Scaled returns the size of a proof: small in make test, large in make drill.
func Scaled[T any](small, large T) T {
	if os.Getenv(drill) != "" {
		return large
	}
	return small
}

// Drill is what a proof tried and saw. make drill makes a line of docs/drills.md of each.
type Drill struct {
	Tried string `json:"tried"` // what was done, in words, with how often
	Kept  int    `json:"kept"`  // what was acknowledged, or else to be kept: counted at the end
	Lost  int    `json:"lost"`  // of it
	Twice int    `json:"twice"` // what was done twice that is to be done once
	Memory
}

// AttrDrill is the key under which go test -json tells a Drill, as JSON.
const AttrDrill = "drill"

// Tried tells what was tried. Call it where the proof has been held: a test that fails earlier tells nothing.
func Tried(t testing.TB, d Drill) {
	t.Helper()
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	t.Attr(AttrDrill, string(b))
}
