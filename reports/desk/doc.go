// Package desk keeps the report drafts: it makes one of a study when all its exams are reported on, makes it anew when
// there is more to say, and lets persons edit, sign, amend and withdraw it. Each step is a version in the ledger, entered
// with what it sends; none is changed.
//
// What is signed stays as it is. What comes later, such as a late frame, begins the next draft, which says so.
package desk
