package gateway

// RunBy is Run by another clock than the machine's.
var RunBy = run
