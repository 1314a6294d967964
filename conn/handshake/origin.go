package handshake

import (
	"bytes"
	"net/netip"
	"path"
	"strings"
)

// allowed reports whether a page of the given Origin may connect to host.
func (p *Policy) allowed(origin, host []byte) bool {
	if sameHost(origin, host) {
		return true
	}
	scheme, oHost, oPort, ok := splitOrigin(origin)
	for _, pattern := range p.Origins {
		switch {
		case pattern == "*",
			pattern == "null" && string(origin) == "null",
			ok && matchOrigin(pattern, scheme, oHost, oPort):
			return true
		}
	}
	return false
}

// sameHost reports whether a web page of the given origin was served by host,
// as far as host and port tell.
func sameHost(origin, host []byte) bool {
	scheme, oHost, oPort, ok := splitOrigin(origin)
	if !ok {
		return false
	}
	usual := defaultPort(scheme)
	if usual == "" {
		return false // an app or an extension, which no host serves
	}
	hHost, hPort, ok := splitHost(host)
	return ok && bytes.EqualFold(oHost, hHost) && portOr(oPort, usual) == portOr(hPort, usual)
}

// matchOrigin reports whether pattern, an entry of Policy.Origins, covers the
// origin of the given parts.
func matchOrigin(pattern string, scheme, host, port []byte) bool {
	pScheme, pHost, pPort := splitPattern(pattern)
	if pScheme != "" && !foldEqual(scheme, pScheme) {
		return false
	}
	usual := defaultPort(scheme)
	if pPort == "" {
		pPort = usual
	}
	if ok, _ := path.Match(pPort, portOr(port, usual)); !ok {
		return false
	}
	// An IPv6 literal looks like a character class to path.Match.
	if foldEqual(host, pHost) {
		return true
	}
	var buf [128]byte // keeps the copy below off the heap for any usual name
	name := append(buf[:0], host...)
	for i, c := range name {
		name[i] = lower(c)
	}
	ok, _ := path.Match(strings.ToLower(pHost), string(name))
	return ok
}

// validPattern reports whether s may stand in Policy.Origins.
func validPattern(s string) bool {
	scheme, host, port := splitPattern(s)
	_, hostErr := path.Match(host, "")
	_, portErr := path.Match(port, "")
	if scheme == "" && strings.Contains(s, "://") || host == "" || portErr != nil ||
		!all(s, targetByte) || strings.ContainsAny(host+port, "/?@,") && !literal(host) {
		return false
	}
	return hostErr == nil || literal(host)
}

// splitPattern cuts [scheme://]host[:port]; parts left out are empty.
func splitPattern(s string) (scheme, host, port string) {
	if before, after, ok := strings.Cut(s, "://"); ok {
		scheme, s = before, after
	}
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !literal(s) {
		return scheme, s[:i], s[i+1:]
	}
	return scheme, s, ""
}

// splitOrigin cuts a serialized origin, RFC 6454 section 6.2. ok is false for
// "null" and for anything malformed.
func splitOrigin(b []byte) (scheme, host, port []byte, ok bool) {
	scheme, rest, ok := bytes.Cut(b, []byte("://"))
	if !ok || len(scheme) == 0 || !all(scheme, tokenByte) {
		return nil, nil, nil, false
	}
	host, port, ok = splitHost(rest)
	return scheme, host, port, ok
}

// splitHost cuts uri-host [":" port], RFC 9110 section 7.2. An IPv6 literal
// keeps its brackets. ok is false when b is malformed: an empty host, percent
// encoding, a user name, a zone, or a port that is no number.
func splitHost(b []byte) (host, port []byte, ok bool) {
	host = b
	if i := bytes.LastIndexByte(b, ':'); i > bytes.LastIndexByte(b, ']') {
		host, port = b[:i], b[i+1:]
	}
	if len(host) == 0 || !all(port, digitByte) {
		return nil, nil, false
	}
	if host[0] == '[' {
		return host, port, literal(host)
	}
	return host, port, all(host, hostByte)
}

// literal reports whether host is an IPv6 address in brackets.
func literal[T []byte | string](host T) bool {
	if len(host) < 2 || host[0] != '[' || host[len(host)-1] != ']' {
		return false
	}
	addr, err := netip.ParseAddr(string(host[1 : len(host)-1]))
	return err == nil && addr.Is6() && addr.Zone() == ""
}

// defaultPort is the port an origin of the given scheme leaves out, or "".
func defaultPort(scheme []byte) string {
	switch {
	case foldEqual(scheme, "http"):
		return "80"
	case foldEqual(scheme, "https"):
		return "443"
	}
	return ""
}

func portOr(port []byte, usual string) string {
	if len(port) == 0 {
		return usual
	}
	return string(port)
}
