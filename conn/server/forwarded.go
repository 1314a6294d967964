package server

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"

	"roost/conn/handshake"
)

// errTwoClients is returned when Forwarded and X-Forwarded-For do not agree. A proxy
// that sets one of them and passes the other on leaves it to the client what that says.
var errTwoClients = errors.New("two different clients in Forwarded and X-Forwarded-For")

// forwarded is the client that a request names which came from one of p: the last address
// in its headers that is not a proxy's, or the first if all are. It is the zero AddrPort
// when there is none, or when a proxy says that it does not know it or hides it
// (RFC 7239 section 6).
func forwarded(p *proxies, r *handshake.Request) (netip.AddrPort, error) {
	var standard, usual []byte
	for name, value := range r.Headers() {
		// Several lines of one header are one list (RFC 9110 section 5.3).
		switch {
		case len(name) == len("Forwarded") && bytes.EqualFold(name, []byte("Forwarded")):
			standard = append(append(standard, ','), value...)
		case len(name) == len("X-Forwarded-For") && bytes.EqualFold(name, []byte("X-Forwarded-For")):
			usual = append(append(usual, ','), value...)
		}
	}
	a := walk(p, string(standard), forValue)
	b := walk(p, string(usual), strings.TrimSpace)
	switch {
	case len(usual) == 0:
		return a, nil
	case len(standard) > 0 && a.Addr() != b.Addr():
		return netip.AddrPort{}, errTwoClients
	}
	return b, nil
}

// walk looks at a list from its end: there stand the words of the proxies next to us,
// and whatever a client has made up comes before. node finds the address in an element.
func walk(p *proxies, list string, node func(string) string) (client netip.AddrPort) {
	for list != "" {
		var element string
		list, element = cutLast(list, ',')
		if element = strings.TrimSpace(element); element == "" {
			continue
		}
		addr, ok := parseNode(node(element))
		if !ok {
			return netip.AddrPort{} // whoever was before is not known
		}
		client = addr
		if !p.trust(addr.Addr()) {
			break
		}
	}
	return client
}

// cutLast cuts s at the last sep that is not in a quoted string (RFC 9110 section
// 5.6.4). It begins at the end, where what a client leaves unquoted does no harm.
func cutLast(s string, sep byte) (before, last string) {
	quoted := false
	for i := len(s) - 1; i >= 0; i-- {
		switch s[i] {
		case '"':
			escapes := 0
			for j := i - 1; quoted && j >= 0 && s[j] == '\\'; j-- {
				escapes++
			}
			if escapes%2 == 0 {
				quoted = !quoted
			}
		case sep:
			if !quoted {
				return s[:i], s[i+1:]
			}
		}
	}
	return "", s
}

// forValue is the value of the parameter for= in an element of Forwarded, unquoted.
func forValue(element string) string {
	for element != "" {
		var pair string
		element, pair = cutLast(element, ';')
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if strings.EqualFold(name, "for") {
			return unquote(value)
		}
	}
	return ""
}

// unquote is the content of a quoted string, or a token as it is.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	var b strings.Builder
	for i := 1; i < len(s)-1; i++ {
		if s[i] == '\\' && i+1 < len(s)-1 {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// parseNode reads an address with or without a port; IPv6 may be without brackets if it
// has none. A port may be hidden (RFC 7239 section 6.2). ok is false for everything else.
func parseNode(s string) (client netip.AddrPort, ok bool) {
	if i := strings.LastIndex(s, ":_"); i >= 0 {
		s = s[:i]
	}
	client, err := netip.ParseAddrPort(s)
	if err != nil {
		if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
			s = s[1 : len(s)-1]
		}
		var addr netip.Addr
		addr, err = netip.ParseAddr(s)
		client = netip.AddrPortFrom(addr, 0)
	}
	if err != nil || client.Addr().Zone() != "" {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(client.Addr().Unmap(), client.Port()), true
}
