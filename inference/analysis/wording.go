package analysis

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"endogate/dicomnode/dicom"
)

// Worded is what a class is called where a clinician reads it. A landmark is named by its site as an image that was
// recorded, and what a network takes for normal in quotation marks: neither says anything about the organ.
func (c Class) Worded() string { return worded(c.Role, c.Name, c.Site) }

// Worded is [Class.Worded] of the class that was found.
func (f Finding) Worded() string { return worded(f.Role, f.Class, f.Site) }

func worded(role Role, class string, site dicom.Code) string {
	name := strings.NewReplacer("-", " ", "_", " ").Replace(class)
	switch role {
	case RoleLandmark:
		if site.Meaning != "" {
			name = lowered(site.Meaning)
		}
		return name + ": landmark image"
	case RoleNormal:
		return `image class "` + name + `"`
	case RoleQuality:
		return name + ": quality note"
	}
	return name
}

// Worded is what an outline is called.
func (o Outline) Worded() string {
	switch o {
	case NetworkBox:
		return "box by the network"
	case NetworkMask:
		return "mask by the network"
	}
	return "hot region"
}

// Meaning says in a sentence what an outline is, and what it is not.
func (o Outline) Meaning() string {
	switch o {
	case NetworkBox:
		return "An Image Region that is called box by the network is the rectangle that the network gives with the class. It is not the border of a lesion."
	case NetworkMask:
		return "An Image Region that is called mask by the network encloses the pixels that the network takes for the class. It is not the border of a lesion that somebody has seen."
	}
	return "An Image Region is the hot region of an explanation: where what speaks for the class has at least half of the weight that it has at most. It is not the border of a lesion."
}

// Outlines are all kinds of outline, in the order in which they are spoken of.
func Outlines() []Outline { return []Outline{HotRegion, NetworkBox, NetworkMask} }

// lowered begins a text with a small letter, but for an abbreviation.
func lowered(text string) string {
	first, n := utf8.DecodeRuneInString(text)
	if second, _ := utf8.DecodeRuneInString(text[n:]); !unicode.IsLower(second) {
		return text
	}
	return string(unicode.ToLower(first)) + text[n:]
}

// Coded is the code of a class in an object, and where it is. What marks a place or is taken for normal has a code of its
// own: a manifest's "Normal" would say more about the organ than was seen.
func (f Finding) Coded() (finding, site dicom.Code) {
	switch f.Role {
	case RoleLandmark:
		return dicom.Code{Value: "LANDMARK", Scheme: LocalScheme, Meaning: "Landmark image recorded"}, f.Site
	case RoleNormal:
		return dicom.Code{Value: "IMAGECLASS", Scheme: LocalScheme, Meaning: "Image class of a network"}, f.Site
	}
	return f.Finding, f.Site
}

// LocalScheme is the coding scheme of concepts that no standard terminology has.
const LocalScheme = "99ENDOGATE"
