package admin

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// CheckListen says whether the address may be served without a log-in. The loopback address always may. Any
// other needs allowRemote (http.allow_remote), and then the warning is to be logged at start.
func CheckListen(address string, allowRemote bool) (warning string, err error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("admin: http.listen %q: not host:port: write it as 127.0.0.1:8080", address)
	}
	switch {
	case loopback(host):
		return "", nil
	case allowRemote:
		return fmt.Sprintf("http.listen %s is reachable from other machines and has no log-in: whoever reaches it sees patient data; "+
			"put an authenticating proxy in front of it or bind 127.0.0.1", address), nil
	default:
		return "", fmt.Errorf("admin: http.listen %s: reachable from other machines, and there is no log-in: "+
			"bind 127.0.0.1, or set http.allow_remote when a proxy in front of it authenticates", address)
	}
}

// loopback reports whether host is the machine itself. A name other than localhost may be anything.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

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
