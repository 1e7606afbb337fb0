// Package admin is endogate's HTTP edge: a JSON API, Prometheus metrics, the probes of load balancers, and an embedded web page on which
// clinicians, reporters and hospital IT look into studies and networks, edit and sign drafts, and run the gateway.
//
// It sees the rest of the gateway through the small interfaces of view.go, which it declares itself. Who asks signs in here, at an OpenID
// Connect provider or at a proxy, or sends a token (signin.go); what it may is a table (rights.go), and what it saw or changed is in the
// audit trail (trail.go). It answers only to host names it knows, takes what changes something only from its own page or from a program
// that says so in a header, and lets pages of other origins use DICOMweb alone, where these are listed (origins.go). It logs routes, never
// query strings or bodies.
//
// The page draws what the API answers (static), so that each of its buttons is a call that programs have too; a framework such as htmx, which
// puts in markup that the server has made, would need a second set of answers.
//
// It leaves out: DICOMweb itself (package dicomweb), of which it decides who may ask; TLS, which is the listener's; and who users are
// (package access).
package admin
