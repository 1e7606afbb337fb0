package ledger

// maxAccession is how many characters of an accession number DICOM has (SH, PS3.5 6.2). HL7 has more, and modalities keep the
// first of a longer one.
const maxAccession = 16

// cutAccession is an accession number as modalities have it.
func cutAccession(accession string) string {
	if r := []rune(accession); len(r) > maxAccession {
		return string(r[:maxAccession])
	}
	return accession
}

// Names says whether accession, as an image has it, is that of o: as a whole, or cut to what DICOM has of it.
func (o Order) Names(accession string) bool {
	return accession == o.Accession || accession == cutAccession(o.Accession)
}

// beginsAs picks the rows of %[1]s whose accession number is %[2]s, which is cut, and more; otherwise names orders other
// than i, of a study s, that its accession number could be that of as well: those that stand, where any does.
const (
	beginsAs  = "length(%[2]s) = 16 AND %[1]s.accession > %[2]s AND %[1]s.accession < %[2]s || char(1114111)"
	otherwise = `length(s.accession_number) = 16 AND EXISTS (SELECT 1 FROM imaging_order x WHERE x.accession >= s.accession_number
		AND x.accession < s.accession_number || char(1114111) AND x.accession <> i.accession AND (x.state <> 'cancelled' OR i.state = 'cancelled'))`
)

// ambiguous reports whether an accession number of images could be that of several orders that stand.
func (t *tx) ambiguous(accession string) (several bool, err error) {
	if len([]rune(accession)) != maxAccession {
		return false, nil
	}
	return several, t.row(`SELECT count(DISTINCT accession) > 1 FROM imaging_order WHERE accession >= ?1 AND accession < ?1 || char(1114111)
		AND state <> 'cancelled'`, []any{accession}, &several)
}
