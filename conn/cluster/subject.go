package cluster

import "strings"

// subjects are the names that a fleet uses in NATS, see the package comment.
type subjects struct{ topic, node, presence, answer string }

func newSubjects(name string) subjects {
	prefix := "roost." + name + "."
	return subjects{topic: prefix + "t.", node: prefix + "node", presence: prefix + "presence", answer: prefix + "answer."}
}

// maxTopic is the length of the longest topic, in bytes.
const maxTopic = 128

// validTopic reports whether topic may be one: those of the hub are, those that come from NATS
// may be anything.
func validTopic(topic string) bool {
	for _, c := range []byte(topic) {
		if !alphanumeric(c) && strings.IndexByte("-._~:/@", c) < 0 {
			return false
		}
	}
	return topic != "" && len(topic) <= maxTopic
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// of is the subject of a valid topic. Of the characters of topics only '.' means something to
// NATS, and '!' is in no topic.
func (s *subjects) of(topic string) string {
	return s.topic + strings.ReplaceAll(topic, ".", "!")
}

// topicOf is the way back.
func (s *subjects) topicOf(subject string) string {
	return strings.ReplaceAll(strings.TrimPrefix(subject, s.topic), "!", ".")
}
