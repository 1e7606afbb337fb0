package dicom

// Code is a coded concept (PS3.3 8.8).
type Code struct {
	Value   string `json:"value"`
	Scheme  string `json:"scheme"`
	Meaning string `json:"meaning"`
}
