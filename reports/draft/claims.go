package draft

import (
	"regexp"
	"strings"
)

// claiming are the words of a language that claim that something is absent or normal. What a network did not flag may be
// there all the same, so no word of the gateway's may read as if it were not.
var claiming = map[string]*regexp.Regexp{
	"en": words(`no|none|nil|normal|normally|unremarkable|negative|absent|absence|without|free of|clear of|healthy|intact|inconspicuous|` +
		`not (?:seen|present|found|detected|visible|identified|observed)|nothing (?:abnormal|pathological|found|seen)|ruled out|excluded?|excludes|wnl|nad`),
	"de": words(`kein\p{L}*|ohne|normal\p{L}*|unauffällig\p{L}*|regelrecht\p{L}*|reizlos\p{L}*|o\. ?b\.|negativ\p{L}*|gesund\p{L}*|intakt\p{L}*|` +
		`unverdächtig\p{L}*|nicht (?:nachweisbar|nachgewiesen|gesehen|vorhanden|gefunden|erkannt|sichtbar)|ausgeschlossen|frei von|fehl(?:t|en|end\p{L}*)`),
	"nb": words(`ingen\p{L}*|intet|uten|normal\p{L}*|upåfallende|negativ\p{L}*|frisk\p{L}*|intakt\p{L}*|u\. ?a\.|i\. ?a\.|` +
		`ikke (?:sett|påvist|funnet|synlig|til stede|oppdaget)|fri for|utelukke\p{L}*|fravær\p{L}*|mangler`),
}

func words(alternatives string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)(?:^|[^\p{L}\p{N}])(` + alternatives + `)(?:$|[^\p{L}\p{N}])`)
}

// quoted is the name of a class as a model's author wrote it, which claims nothing of this study.
var quoted = regexp.MustCompile(`„[^“]*“|“[^”]*”|«[^»]*»`)

// claims lists what text says to be absent or normal; of a language that nobody knows, as English.
func claims(language, text string) []string {
	pattern, ok := claiming[language]
	if !ok {
		pattern = claiming["en"]
	}
	text = strings.Join(strings.Fields(quoted.ReplaceAllString(text, "“”")), " ")
	var found []string
	for _, m := range pattern.FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	return found
}
