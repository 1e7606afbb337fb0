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
