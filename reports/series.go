package reports

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"

	"endogate/explain"
)

// Series numbers: hints for the order of a study's series in a viewer. Each model has a thousand of its own, from 9000 on.
const (
	seriesFirst     = 9000
	seriesOfModel   = 1000
	seriesHeatmap   = 1 // grad-CAM at the last layer, which everybody expects
	seriesSheet     = 2 // clips of videos
	seriesKOS       = 30
	seriesRejection = 31
	seriesClip      = 32
	seriesMethods   = 100 // plus the number of the method, at the last layer

	seriesSigned = 9040 // of the study
	seriesPDF    = 9050
)

// series is the number of one of the algorithm's series.
func (a Algorithm) series(which int) int {
	return seriesFirst + seriesOfModel*(max(a.Number, 1)-1) + which
}

// rejects reports whether a Series Number is that of rejection notes, of whatever model.
func rejects(seriesNumber string) bool {
	n, err := strconv.Atoi(seriesNumber)
	return err == nil && n >= seriesFirst && (n-seriesFirst)%seriesOfModel == seriesRejection
}

// heatmapSeries is that of its heatmaps. Layers are too many to be counted: those but the last have numbers that follow from
// their names, in ten millions of the model's own.
func (a Algorithm) heatmapSeries() int {
	e := a.Explain
	if !atLast(e) {
		const room, most = 10_000_000, 200 // Series Number is IS (PS3.5 6.2): less than 2^31
		digest := sha256.Sum256([]byte(purposeOf(e)))
		return room*min(max(a.Number, 1), most) + int(binary.BigEndian.Uint32(digest[:])%room)
	}
	method := slices.IndexFunc(explain.Methods(), func(m explain.MethodInfo) bool { return m.Method == methodOf(e).Method })
	if method <= 0 {
		return a.series(seriesHeatmap)
	}
	return a.series(seriesMethods + method)
}

// maxDescription is how many characters Series Description has room for (LO, PS3.5 6.2).
const maxDescription = 64

// unique is a description in as much room as there is: of one that is too long, its beginning and a mark that no other has.
func unique(description string) string {
	runes := []rune(description)
	if len(runes) <= maxDescription {
		return description
	}
	digest := sha256.Sum256([]byte(description))
	mark := "… #" + hex.EncodeToString(digest[:4])
	return string(runes[:maxDescription-len([]rune(mark))]) + mark
}
