package pdf

import "endogate/reports/draft"

// words are what a page says of its own, in a language.
type words struct {
	patient, born, sex, id, noName                                         string
	order, accession, placer, service, reason, requester                   string
	referrer, noOrder                                                      string
	examination, date, station, performer, images                          string
	draftState, signedState, amendedState, amendingState                   string
	withdrawnState, unverified, verified, by, named                        string
	watermark, withdrawnMark                                               string
	amends                                                                 string // of a predecessor
	report, findings, keyImages, noFindings, noFrames, rejected, retracted string
	decision                                                               map[draft.Decision]string
	model, added, highest, threshold, flagged, size, site                  string
	proposal                                                               string
	frame, image, instance, heatmap, low, much, high, noPicture            string
	noHeatmap, more                                                        string
	disclosure, version, route, use, frames, thresholds                    string
	extent, masked, skipped, failed, contradicting                         string
	page, signature, notSigned, notices, links                             string
}

var languages = map[string]words{
	"en": {
		patient: "Patient", born: "Born", sex: "Sex", id: "ID", noName: "(no name)",
		order: "Order", accession: "Accession", placer: "Placer no.", service: "Service", reason: "Reason",
		requester: "Requested by", referrer: "Referred by", noOrder: "No order is known.",
		examination: "Examination", date: "Date", station: "Station", performer: "Performed by", images: "Images",
		draftState: "Draft made by AI. Nobody has verified it.", signedState: "Signed", amendedState: "Amended and signed",
		amendingState: "Being amended. This version is not signed.", withdrawnState: "WITHDRAWN. Do not use this report.",
		unverified: "The signature is not verified by the reporting system.", verified: "Verified by the reporting system.",
		by: "by %s, %s", named: "%s (named by the client, not signed in)",
		watermark: "AI DRAFT – NOT VERIFIED", withdrawnMark: "WITHDRAWN",
		amends:   "Replaces version %d.%d of this report.",
		findings: "Findings", report: "Endoscopy report", noFrames: "No frame was analysed: AI says nothing about this examination.", keyImages: "Key images", noFindings: "The models flagged nothing in the frames analysed. That says nothing about what is there.",
		rejected: "Proposed by AI and rejected by a person", retracted: "Retracted", contradicting: "Contradicting landmarks left out",
		decision: map[draft.Decision]string{draft.Proposed: "not yet decided", draft.Accepted: "accepted", draft.Rejected: "rejected", draft.Changed: "changed"},
		model:    "AI", added: "Added by %s", highest: "highest probability", threshold: "threshold", flagged: "flagged in %d of %d frames",
		size: "Size", site: "Site", proposal: "The model said: %s",
		frame: "frame %d", image: "Image", instance: "Image %d", heatmap: "Heatmap", low: "little", much: "much", high: "much influence on the class",
		noPicture: "The picture is not here any more.", noHeatmap: "No heatmap", more: "%d more key images are in the archive.",
		disclosure: "What the machine did", version: "Version", route: "Route", use: "Intended use", frames: "Frames", thresholds: "Thresholds",
		extent: "%d images received; %d analysed (%d frames), %d skipped, %d failed.", masked: "Left out of the analysis", skipped: "Skipped", failed: "Failed",
		page: "Page %d of %d", signature: "Signature", notSigned: "Not signed.", notices: "Note", links: "Images and data",
	},
	"de": {
		patient: "Patient", born: "Geboren", sex: "Geschlecht", id: "ID", noName: "(ohne Namen)",
		order: "Auftrag", accession: "Accession", placer: "Auftragsnr.", service: "Leistung", reason: "Anlass",
		requester: "Anforderer", referrer: "Überweiser", noOrder: "Kein Auftrag bekannt.",
		examination: "Untersuchung", date: "Datum", station: "Gerät", performer: "Untersucher", images: "Bilder",
		draftState: "Entwurf einer KI. Niemand hat ihn geprüft.", signedState: "Unterschrieben", amendedState: "Geändert und unterschrieben",
		amendingState: "Wird geändert. Diese Fassung ist nicht unterschrieben.", withdrawnState: "ZURÜCKGEZOGEN. Diesen Befund nicht verwenden.",
		unverified: "Die Unterschrift ist vom Befundsystem nicht bestätigt.", verified: "Vom Befundsystem bestätigt.",
		by: "von %s, %s", named: "%s (vom Client genannt, nicht angemeldet)",
		watermark: "KI-ENTWURF – NICHT GEPRÜFT", withdrawnMark: "ZURÜCKGEZOGEN",
		amends:   "Ersetzt Fassung %d.%d dieses Befundes.",
		findings: "Befunde", report: "Endoskopischer Befund", noFrames: "Kein Bild wurde ausgewertet: Die KI sagt nichts über diese Untersuchung.", keyImages: "Ausgewählte Bilder", noFindings: "Die Modelle haben in den ausgewerteten Bildern nichts markiert. Das sagt nichts darüber, was da ist.",
		rejected: "Von der KI vorgeschlagen und von einem Menschen verworfen", retracted: "Zurückgenommen", contradicting: "Widersprüchliche Landmarken weggelassen",
		decision: map[draft.Decision]string{draft.Proposed: "noch nicht entschieden", draft.Accepted: "bestätigt", draft.Rejected: "verworfen", draft.Changed: "geändert"},
		model:    "KI", added: "Ergänzt von %s", highest: "höchste Wahrscheinlichkeit", threshold: "Schwelle", flagged: "markiert in %d von %d Bildern",
		size: "Größe", site: "Ort", proposal: "Das Modell sagte: %s",
		frame: "Einzelbild %d", image: "Bild", instance: "Bild %d", heatmap: "Heatmap", low: "wenig", much: "viel", high: "viel Einfluss auf die Klasse",
		noPicture: "Das Bild liegt nicht mehr vor.", noHeatmap: "Keine Heatmap", more: "%d weitere ausgewählte Bilder liegen im Archiv.",
		disclosure: "Was die Maschine getan hat", version: "Version", route: "Weg", use: "Zweckbestimmung", frames: "Bilder", thresholds: "Schwellen",
		extent: "%d Bilder empfangen; %d ausgewertet (%d Einzelbilder), %d übergangen, %d fehlgeschlagen.", masked: "Nicht ausgewertet", skipped: "Übergangen", failed: "Fehlgeschlagen",
		page: "Seite %d von %d", signature: "Unterschrift", notSigned: "Nicht unterschrieben.", notices: "Hinweis", links: "Bilder und Daten",
	},
	"nb": {
		patient: "Pasient", born: "Født", sex: "Kjønn", id: "ID", noName: "(uten navn)",
		order: "Rekvisisjon", accession: "Accession", placer: "Rekvisisjonsnr.", service: "Undersøkelse", reason: "Årsak",
		requester: "Rekvirent", referrer: "Henvist av", noOrder: "Ingen rekvisisjon er kjent.",
		examination: "Undersøkelse", date: "Dato", station: "Utstyr", performer: "Utført av", images: "Bilder",
		draftState: "Utkast laget av KI. Ingen har kontrollert det.", signedState: "Signert", amendedState: "Endret og signert",
		amendingState: "Endres. Denne versjonen er ikke signert.", withdrawnState: "TRUKKET TILBAKE. Ikke bruk dette svaret.",
		unverified: "Signaturen er ikke bekreftet av svarsystemet.", verified: "Bekreftet av svarsystemet.",
		by: "av %s, %s", named: "%s (oppgitt av klienten, ikke innlogget)",
		watermark: "KI-UTKAST – IKKE KONTROLLERT", withdrawnMark: "TRUKKET TILBAKE",
		amends:   "Erstatter versjon %d.%d av dette svaret.",
		findings: "Funn", report: "Endoskopisvar", noFrames: "Ingen bilder ble analysert: KI sier ingenting om denne undersøkelsen.", keyImages: "Utvalgte bilder", noFindings: "Modellene markerte ingenting i bildene som ble analysert. Det sier ingenting om hva som finnes.",
		rejected: "Foreslått av KI og forkastet av et menneske", retracted: "Trukket tilbake", contradicting: "Motstridende landemerker utelatt",
		decision: map[draft.Decision]string{draft.Proposed: "ikke avgjort", draft.Accepted: "godtatt", draft.Rejected: "forkastet", draft.Changed: "endret"},
		model:    "KI", added: "Lagt til av %s", highest: "høyeste sannsynlighet", threshold: "terskel", flagged: "markert i %d av %d bilder",
		size: "Størrelse", site: "Sted", proposal: "Modellen sa: %s",
		frame: "enkeltbilde %d", image: "Bilde", instance: "Bilde %d", heatmap: "Varmekart", low: "lite", much: "mye", high: "mye innflytelse på klassen",
		noPicture: "Bildet finnes ikke her lenger.", noHeatmap: "Ikke varmekart", more: "%d flere utvalgte bilder ligger i arkivet.",
		disclosure: "Hva maskinen gjorde", version: "Versjon", route: "Vei", use: "Formål", frames: "Bilder", thresholds: "Terskler",
		extent: "%d bilder mottatt; %d analysert (%d enkeltbilder), %d hoppet over, %d mislyktes.", masked: "Utelatt fra analysen", skipped: "Hoppet over", failed: "Mislyktes",
		page: "Side %d av %d", signature: "Signatur", notSigned: "Ikke signert.", notices: "Merk", links: "Bilder og data",
	},
}

// wordsOf is the language of a document, English where nobody translated.
func wordsOf(language string) words {
	if w, ok := languages[language]; ok {
		return w
	}
	return languages["en"]
}
