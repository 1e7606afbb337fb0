package draft

// compose fills the sections that no person has written: from the order, and from what is found and decided.
func (t *Templates) compose(d *Document) {
}
