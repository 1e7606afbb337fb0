// Package reading takes from the text of an endoscopy report which findings it states, denies, doubts or only speaks of. It works by rules, after
// NegEx (Chapman et al., J Biomed Inform 2001;34:301) and ConText (Harkema et al., J Biomed Inform 2009;42:839): sections, sentences, terms of an
// ontology, and around each term the triggers that deny, doubt, date or give it to somebody else, with what ends their scope. Each
// decision names its rule and the span of the text it rests on, in bytes.
//
// It leaves out grammar: a term's scope is a stretch of words, not a parsed clause. It reads English and German; the words of both are in ontology/, and
// a department can put its own in their place.
package reading
