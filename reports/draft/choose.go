package draft

// keyImages proposes the frames that stand for the findings of d.
func (t *Templates) keyImages(l *language, d *Document, in Input) {
}
