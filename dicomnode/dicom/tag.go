package dicom

import "fmt"

// Tag is a data element tag, group<<16 | element (PS3.5 7.1): comparable, ordered, a map key.
type Tag uint32

// Group returns the group number of the tag.
func (t Tag) Group() uint16 { return uint16(t >> 16) }

// Element returns the element number of the tag.
func (t Tag) Element() uint16 { return uint16(t) }

// String returns the tag as (gggg,eeee).
func (t Tag) String() string { return fmt.Sprintf("(%04X,%04X)", t.Group(), t.Element()) }
