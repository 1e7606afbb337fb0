package admin

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

// knownHost reports whether a Host header names this server. A web site that points its own name at this
// address (DNS rebinding) must not be served patient data, so names have to be listed; an address cannot be rebound.
func knownHost(header string, hosts []string) bool {
	host := header
	if h, _, err := net.SplitHostPort(header); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if _, err := netip.ParseAddr(host); err == nil || host == "localhost" {
		return true
	}
	return slices.ContainsFunc(hosts, func(known string) bool { return strings.EqualFold(known, host) })
}
