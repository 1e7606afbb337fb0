package draft

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Sign makes the signed version of d. Verified is of a person whom the reporting system knows (PS3.3 C.17.2, Verification
// Flag): else the report stays unverified.
func (t *Templates) Sign(d Document, author Author, at time.Time, verified bool) (Document, error) {
	if !d.Editable() {
		return Document{}, &StandingError{"sign", d.Standing, d.reopen()}
	}
	if err := person(author); err != nil {
		return Document{}, err
	}
	next := d.next(author, at)
	next.Standing = Signed
	if d.Standing == Amending || d.Predecessor != nil { // what was signed before has the same order numbers
		next.Standing = Amended
	}
	next.Signature = &Signature{By: author, At: next.At, Verified: verified, Reason: d.Reason, Open: next.open()}
	next.Reason = ""
	if n := next.Signature.Open; n > 0 {
		next.say(t.openNotice(next, n))
	}
	return next, next.Validate()
}

// openNotice says how many sections a person left open.
func (t *Templates) openNotice(d Document, sections int) string {
	return t.language(d.Language).say("open-sections", "number", strconv.Itoa(sections))
}

// reopen says how something can be done again to a report that is signed or withdrawn.
func (d Document) reopen() string {
	if d.Standing == Withdrawn {
		return "amend it with a reason: that begins a new draft"
	}
	return "amend it first"
}

// Amend begins the correction of a signed report: a version that names what was signed, to be edited and signed again. Of a
// withdrawn one, which stays withdrawn, it begins the next draft.
func (t *Templates) Amend(d Document, author Author, at time.Time, reason string) (Document, error) {
	if d.Standing == Withdrawn {
		return t.anew(d, author, at, reason)
	}
	if d.Standing != Signed && d.Standing != Amended {
		return Document{}, &StandingError{"amend", d.Standing, "only a signed one is amended; edit a draft as it is"}
	}
	next, err := d.after(Amending, author, at, reason)
	if err != nil {
		return Document{}, err
	}
	next.unsay(t.openNotice(d, d.Signature.Open))
	return next, next.Validate()
}

// anew is the first version of the draft after a withdrawn one, with all that persons have decided and written in it.
func (t *Templates) anew(d Document, author Author, at time.Time, reason string) (Document, error) {
	next, err := d.after(Drafted, author, at, reason)
	if err != nil {
		return Document{}, err
	}
	next.Number, next.Version, next.Reason = d.Number+1, 1, ""
	next.unsay(t.openNotice(d, d.Signature.Open))
	next.say(t.language(d.Language).say("withdrawn-before", "version", fmt.Sprintf("%d.%d", d.Number, d.Version),
		"date", d.At.In(d.Location()).Format(time.DateOnly), "number", "0"))
	return next, next.Validate()
}

// unsay takes a notice away.
func (d *Document) unsay(notice string) {
	is := func(n string) bool { return n == notice }
	d.Notices, d.Events = slices.DeleteFunc(d.Notices, is), slices.DeleteFunc(d.Events, is)
}

// Withdraw takes a report back: a version that says so, and names what it withdraws.
func (t *Templates) Withdraw(d Document, author Author, at time.Time, reason string) (Document, error) {
	if d.Standing == Withdrawn {
		return Document{}, &StandingError{"withdraw", d.Standing, "there is nothing left to do"}
	}
	next, err := d.after(Withdrawn, author, at, reason)
	if err != nil {
		return Document{}, err
	}
	next.Signature = &Signature{By: author, At: next.At, Reason: reason}
	if d.Signature != nil {
		next.unsay(t.openNotice(d, d.Signature.Open))
		next.Signature.Open = d.Signature.Open
	}
	if d.Standing == Amending { // what is withdrawn is what was signed, not its unfinished correction
		next.Predecessor = d.Predecessor
	}
	return next, next.Validate()
}

// TakeBack makes the version of a signed report that says which of its results a person has retracted since, as later says of
// the same study. It names what was signed, corrects it in that alone, and is made by no person: what it says of the
// signature is who signed, and not that it is verified as it stands now.
func (t *Templates) TakeBack(signed, later Document) (Document, error) {
	if signed.Standing != Signed && signed.Standing != Amended {
		return Document{}, &StandingError{"take results back in", signed.Standing, "only a signed one has been sent as such"}
	}
	before := signed.Reference()
	t.Renamed(&signed, later.Patient) // whoever the patient is called by now
	next := signed.next(gateway, later.At)
	next.Standing, next.Predecessor = Amended, &before
	for i, f := range next.Findings {
		if k := slices.IndexFunc(later.Findings, func(l Finding) bool { return l.ID == f.ID }); k >= 0 {
			next.Findings[i].Retracted = later.Findings[k].Retracted
		}
	}
	next.KeyImages = slices.DeleteFunc(next.KeyImages, func(k KeyImage) bool { // those that the gateway chose go with their finding
		return slices.ContainsFunc(next.Findings, func(f Finding) bool { return f.ID == k.Finding && f.Retracted != "" }) &&
			!slices.ContainsFunc(later.KeyImages, func(l KeyImage) bool { return l.ref() == k.ref() })
	})
	language := t.language(next.Language)
	next.Disclosure = later.Disclosure
	for _, m := range next.Disclosure.Models {
		if m.Retracted != "" {
			next.say(language.say("retracted", "model", m.called(), "reason", m.Retracted))
		}
	}
	t.compose(&next)
	return next, next.Validate()
}

// after is a version that stands elsewhere, with the reason of a person.
func (d Document) after(s Standing, author Author, at time.Time, reason string) (Document, error) {
	if err := person(author); err != nil {
		return Document{}, err
	}
	if reason == "" {
		return Document{}, &EditError{What: "a reason is needed: say in one line why (reason)"}
	}
	if err := clean(reason, maxLine); err != nil {
		return Document{}, &EditError{What: "reason: " + err.Error()}
	}
	next := d.next(author, at)
	before := d.Reference()
	next.Standing, next.Predecessor, next.Reason, next.Signature = s, &before, reason, nil
	return next, nil
}

// person says whether author is one with a name.
func person(author Author) error {
	if author.System || author.Name == "" || clean(author.Name, maxLine) != nil {
		return &EditError{What: "the name of a person is needed, one line without control characters"}
	}
	return nil
}
