// Package admin is endogate's HTTP edge: a JSON API, Prometheus metrics, the probes of load balancers
// and an embedded web page on which clinicians and hospital IT follow a study from its first frame to
// the peer's answer.
//
// It sees the rest of the gateway through the small interfaces of view.go, which it declares itself, and
// changes nothing but parked work. It has no login: it serves the loopback address unless it is told
// otherwise, answers only to host names it knows, and takes a POST only from its own page
// or from a program that says so in a header. It logs routes, never query strings or bodies.
//
// It leaves out: log-in, TLS, DICOMweb and editing of reports.
package admin
