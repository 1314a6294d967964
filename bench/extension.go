package bench

import (
	"strconv"
	"strings"
)

// deflateOffer is what is offered with Config.Compress: no window is kept from one
// message to the next, so a connection costs nothing more. client_max_window_bits
// is left out, so the server must not choose one, RFC 7692 section 7.1.2.2.
const deflateOffer = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"

// checkDeflate checks the server's answer to deflateOffer, RFC 7692 section 7.1.
// The server may leave client_no_context_takeover out, and we keep no window all
// the same; and it may say to what window it keeps itself.
func checkDeflate(value string) error {
	name, parameters, _ := strings.Cut(value, ";")
	if strings.TrimSpace(name) != "permessage-deflate" {
		return ErrHandshakeExtension
	}
	if strings.Contains(parameters, ",") {
		return ErrHandshakeExtension // a second extension
	}
	seen := map[string]bool{}
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, hasValue := strings.Cut(parameter, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if name == "" && parameters == "" {
			break
		}
		good := false
		switch name {
		case "client_no_context_takeover", "server_no_context_takeover":
			good = !hasValue
		case "server_max_window_bits":
			good = isWindow(value)
		}
		if !good || seen[name] {
			return ErrHandshakeDeflate
		}
		seen[name] = true
	}
	if !seen["server_no_context_takeover"] {
		return ErrHandshakeDeflate // section 7.1.1.1: agreeing means repeating it
	}
	return nil
}

// isWindow tells whether s is 8 to 15, as a token or a quoted string, RFC 6455
// section 9.1, and RFC 7692 section 7.1.2.1, which forbids leading zeroes.
func isWindow(s string) bool {
	if len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	bits, err := strconv.Atoi(s)
	return err == nil && bits >= 8 && bits <= 15 && s == strconv.Itoa(bits)
}
