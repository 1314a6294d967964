package auth

import (
	"slices"
	"strings"
	"unique"
)

// Grant is what a client may do, and until when. It is read-only. A nil Grant allows
// everything for ever, as where nobody is asked.
type Grant struct {
	Subject string // who it is, "" if that was not said
	Expires int64  // in Unix seconds, leeway included; 0 means never

	rights unique.Handle[rights]
}

// rights are kept once for all clients that have the same. Their patterns are separated
// by spaces, which no topic has.
type rights struct{ topics, pub string }

// Nothing is the Grant of those of whom nothing is known where somebody is asked: it
// allows nothing.
var Nothing = newGrant("", 0, nil, nil)

// Bounds on a Grant: 256 bytes of subject, and 16 KiB of rights, which most share.
const (
	mostSubject  = 256
	mostPatterns = 64  // in each list
	mostPattern  = 128 // bytes, as of a topic
)

func newGrant(subject string, expires int64, topics, pub []string) *Grant {
	return &Grant{
		Subject: strings.Clone(subject), Expires: expires, // it may be a part of something large
		rights: unique.Make(rights{strings.Join(topics, " "), strings.Join(pub, " ")}),
	}
}

// MaySubscribe reports whether messages of the topic may go to the client.
func (g *Grant) MaySubscribe(topic string) bool {
	return g == nil || anyMatch(g.rights.Value().topics, topic)
}

// MayPublish reports whether the client may send messages to the topic.
func (g *Grant) MayPublish(topic string) bool {
	return g == nil || anyMatch(g.rights.Value().pub, topic)
}

// Expired reports whether the grant is over at that time, in Unix seconds.
func (g *Grant) Expired(now int64) bool { return g != nil && g.Expires != 0 && now >= g.Expires }

func anyMatch(patterns, topic string) bool {
	for pattern := range strings.SplitSeq(patterns, " ") {
		if match(pattern, topic) {
			return true
		}
	}
	return false
}

// match reports whether the whole of s is pattern, in which * is any run of bytes, also an
// empty one. (In path.Match it would end at a slash.) The empty pattern matches nothing.
func match(pattern, s string) bool {
	if pattern == "" {
		return false
	}
	first, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return s == pattern
	}
	s, ok := strings.CutPrefix(s, first)
	if !ok {
		return false
	}
	last := rest[strings.LastIndexByte(rest, '*')+1:]
	if s, ok = strings.CutSuffix(s, last); !ok {
		return false
	}
	// What is between two stars may as well stand as early as it can.
	for part := range strings.SplitSeq(rest[:len(rest)-len(last)], "*") {
		_, s, ok = strings.Cut(s, part)
		if !ok {
			return false
		}
	}
	return true
}

// checkPatterns reports whether these may stand in a Grant.
func checkPatterns(patterns []string) bool {
	return len(patterns) <= mostPatterns && !slices.ContainsFunc(patterns, func(p string) bool {
		return p == "" || len(p) > mostPattern || strings.IndexFunc(p, notTopic) >= 0
	})
}

// notTopic reports that r may stand neither in a topic nor in a pattern.
func notTopic(r rune) bool { return notToken(r) && !strings.ContainsRune("~:/@*", r) }
