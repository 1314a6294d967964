package server

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// Lengths of a header of the PROXY protocol, in bytes, by its specification
// (https://www.haproxy.org/download/3.4/doc/proxy-protocol.txt). Version 2 could be
// longer, but not what a proxy has to say.
const (
	mostProxyLine = 107
	proxyPrefix   = 16
	mostProxyV2   = proxyPrefix + 4096
)

var (
	errProxyLine   = errors.New("the line of the PROXY protocol is longer than 107 bytes")
	errProxyLength = errors.New("the header of the PROXY protocol is longer than 4112 bytes")
)

// proxyHeader reads a header of the PROXY protocol at the front of b. n is its length, 0
// when there is none, and -1 when it is incomplete. client is the zero AddrPort when the
// proxy speaks for itself or does not know the client.
func proxyHeader(b []byte) (client netip.AddrPort, n int, err error) {
	if n, err = proxyHeaderLen(b); n <= 0 || err != nil {
		return netip.AddrPort{}, n, err
	}
	if b[0] == proxyproto.SIGV2[0] && b[12] == byte(proxyproto.PROXY) && b[13] == byte(proxyproto.UNSPEC) {
		// The parser refuses what a receiver is free to accept (section 2.2).
		return netip.AddrPort{}, n, nil
	}
	h, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(b[:n]), n))
	if err != nil {
		return netip.AddrPort{}, n, err
	}
	if tcp, ok := h.SourceAddr.(*net.TCPAddr); ok && h.Command.IsProxy() {
		client = tcp.AddrPort()
		client = netip.AddrPortFrom(client.Addr().Unmap(), client.Port())
	}
	return client, n, nil
}

// proxyHeaderLen is the length of the header at the front of b.
func proxyHeaderLen(b []byte) (int, error) {
	switch {
	case begins(b, []byte("PROXY ")):
		end := bytes.IndexByte(b[:min(len(b), mostProxyLine)], '\n')
		switch {
		case end >= 0:
			return end + 1, nil
		case len(b) >= mostProxyLine:
			return 0, errProxyLine
		}
		return -1, nil
	case begins(b, proxyproto.SIGV2):
		if len(b) < proxyPrefix {
			return -1, nil
		}
		n := proxyPrefix + int(binary.BigEndian.Uint16(b[proxyPrefix-2:]))
		switch {
		case n > mostProxyV2:
			return 0, errProxyLength
		case len(b) < n:
			return -1, nil
		}
		return n, nil
	}
	return 0, nil
}

// begins reports whether b starts with prefix, as far as it goes.
func begins(b, prefix []byte) bool {
	n := min(len(b), len(prefix))
	return bytes.Equal(b[:n], prefix[:n])
}
