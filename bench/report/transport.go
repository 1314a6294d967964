package report

import (
	"cmp"
	"strings"

	"roost/bench"
)

// transport writes what was agreed on below the messages: TLS and compression.
func (p *page) transport(r *bench.Result) {
	label := "tls"
	for _, u := range r.TLS {
		p.row(label, "%s: %s, %s resumed", u.String(), plural(u.Handshakes, "handshake"), grouped(u.Resumed))
		label = ""
	}
	c := r.Compression
	if c == nil {
		return
	}
	p.row("compression", "agreed on in %s of %s", grouped(c.Agreed), plural(c.Agreed+c.Refused, "handshake"))
	p.deflated("received", &c.In)
	p.deflated("sent", &c.Out)
}

func (p *page) deflated(what string, u *bench.DeflatedUse) {
	if u.Messages == 0 {
		return
	}
	p.row("", "%s: %s of %s compressed, %s on the wire for %s of messages", what,
		grouped(u.Compressed), plural(u.Messages, "message"), size(float64(u.Wire)), size(float64(u.Payload)))
}

// tlsInWords is what a run's connections agreed on, without numbers.
func tlsInWords(rec *bench.Recording) string {
	var each []string
	for _, u := range rec.Result.TLS {
		text := u.String()
		if u.Resumed > 0 {
			text += ", resumed"
		}
		each = append(each, text)
	}
	return cmp.Or(strings.Join(each, " and "), "no TLS")
}

// compressionInWords is what became of the offer to compress.
func compressionInWords(rec *bench.Recording) string {
	switch c := rec.Result.Compression; {
	case c == nil:
		return "no compression"
	case c.Agreed == 0:
		return "compression refused by the server"
	case c.Refused > 0:
		return "permessage-deflate on some connections"
	}
	return "permessage-deflate"
}

// transports lists what runs agreed on, when it is not nothing for all.
func transports(all []*bench.Recording) (list []string) {
	if text := values(all, tlsInWords); text != "no TLS" {
		list = append(list, text)
	}
	if text := values(all, compressionInWords); text != "no compression" {
		list = append(list, text)
	}
	return list
}
