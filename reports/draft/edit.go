package draft

import (
	"fmt"

	"endogate/dicomnode/dicom"
)

// Op is what an edit does.
type Op string

// The ops of an edit, with the fields that they take.
const (
	OpAccept  Op = "accept"  // Finding
	OpReject  Op = "reject"  // Finding
	OpChange  Op = "change"  // Finding; Code, Site, SiteText, SizeMM, Paris, Text: those that are given
	OpAdd     Op = "add"     // Code; Site, SiteText, SizeMM, Paris, Text
	OpRemove  Op = "remove"  // Finding: one that a person added
	OpSection Op = "section" // Section, Text
	OpChoose  Op = "choose"  // Instance, Frame; Finding, Caption
	OpDrop    Op = "drop"    // Instance, Frame; Finding
	OpOrder   Op = "order"   // Images: all of the document's key images in another order
	OpUndo    Op = "undo"    // Version: the one to go back to; 0: the one before
)

// Edit is one thing that a person changes. A field that its op does not take must be left out.
type Edit struct {
	Op       Op          `json:"op"`
	Finding  string      `json:"finding,omitempty"` // its ID
	Code     *dicom.Code `json:"code,omitempty"`
	Site     *dicom.Code `json:"site,omitempty"` // zero: unknown again
	SiteText *string     `json:"site_text,omitempty"`
	SizeMM   *float64    `json:"size_mm,omitempty"` // 0: unknown again
	Paris    *string     `json:"paris,omitempty"`
	Text     *string     `json:"text,omitempty"`
	Section  string      `json:"section,omitempty"` // its name
	Instance dicom.UID   `json:"instance,omitempty"`
	Frame    int         `json:"frame,omitempty"` // from 1; 0 is 1
	Caption  *string     `json:"caption,omitempty"`
	Images   []ImageRef  `json:"images,omitempty"`
	Version  int         `json:"version,omitempty"`
	// Earlier is the version that an undo goes back to: who has the history fills it in (see Undoes).
	Earlier *Document `json:"-"`
}

// ImageRef names a key image.
type ImageRef struct {
	Finding  string    `json:"finding,omitempty"`
	Instance dicom.UID `json:"instance"`
	Frame    int       `json:"frame"`
}

// Undoes is the version of d's draft that e goes back to; false: e is no undo.
func (e Edit) Undoes(d Document) (version int, undo bool) {
	switch {
	case e.Op != OpUndo:
		return 0, false
	case e.Version == 0:
		return d.Version - 1, true
	}
	return e.Version, true
}

// EditError says which edit cannot be made, and why. It quotes nothing that a person wrote.
type EditError struct {
	Index int // of the edit, from 0
	Op    Op
	What  string
}

func (e *EditError) Error() string {
	if e.Op == "" { // of no edit alone
		return "draft: " + e.What
	}
	return fmt.Sprintf("draft: edit %d (%s): %s", e.Index+1, e.Op, e.What)
}

// StandingError says that a document does not stand where something may be done to it.
type StandingError struct {
	Do       string // what was to be done
	Standing Standing
	Next     string // what to do instead
}

func (e *StandingError) Error() string {
	return fmt.Sprintf("draft: %s: the report is %q; %s", e.Do, e.Standing, e.Next)
}

// InvalidError names everything that is wrong with a document, by place; it quotes no value.
type InvalidError struct{ Faults []string }

func (e *InvalidError) Error() string {
	text := "draft: the document is not valid:"
	for _, f := range e.Faults {
		text += " " + f + ";"
	}
	return text[:len(text)-1]
}
