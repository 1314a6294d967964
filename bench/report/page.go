package report

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// page collects rows of a label and a value.
type page struct{ bytes.Buffer }

const (
	columns = 80
	indent  = 14
	// joint is a space at which no line is broken, between a number and its unit.
	joint = "\u00a0"
)

// row breaks the value into lines of at most columns, unless a word is longer.
func (p *page) row(label, format string, args ...any) {
	rest := fmt.Sprintf(format, args...)
	for first := true; first || rest != ""; first = false {
		line := rest
		if runes := []rune(rest); len(runes) > columns-indent {
			cut := strings.LastIndex(string(runes[:columns-indent+1]), " ")
			if cut <= 0 {
				cut = strings.Index(rest, " ")
			}
			if cut > 0 {
				line = rest[:cut]
			}
		}
		rest = strings.TrimLeft(rest[len(line):], " ")
		line = strings.ReplaceAll(strings.TrimRight(line, " "), joint, " ")
		p.WriteString(strings.TrimRight(fmt.Sprintf("%-*s%s", indent, label, line), " ") + "\n")
		label = ""
	}
}

// grouped writes a whole number with commas: 1,234,567.
func grouped[T ~int | ~int64](n T) string {
	digits, sign := strconv.FormatInt(int64(n), 10), ""
	if n < 0 {
		digits, sign = digits[1:], "-"
	}
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return sign + digits
}

// perSecond writes a rate without its unit: a small one with a decimal place.
func perSecond(rate float64) string {
	if rate < 10 && rate != math.Trunc(rate) {
		return fmt.Sprintf("%.1f", rate)
	}
	return grouped(int64(math.Round(rate)))
}

// plural writes a count with its noun.
func plural[T ~int | ~int64](n T, noun string) string {
	switch {
	case n == 1:
		return "1" + joint + noun
	case strings.HasSuffix(noun, "s"):
		return grouped(n) + joint + noun + "es"
	}
	return grouped(n) + joint + noun + "s"
}

// micros writes a number of microseconds with a unit that fits it.
func micros(us int64) string {
	switch d := time.Duration(us) * time.Microsecond; {
	case d < time.Millisecond:
		return fmt.Sprintf("%d"+joint+"us", us)
	case d < time.Second:
		return threeDigits(float64(us)/1e3) + joint + "ms"
	default:
		return threeDigits(d.Seconds()) + joint + "s"
	}
}

// threeDigits writes as many decimal places as leave about three digits.
func threeDigits(v float64) string {
	places := 0
	switch {
	case v < 10:
		places = 2
	case v < 100:
		places = 1
	}
	return strconv.FormatFloat(v, 'f', places, 64)
}

// size writes a number of bytes with a unit that fits it.
func size(bytes float64) string {
	switch b := math.Abs(bytes); {
	case b < 1e4:
		return fmt.Sprintf("%.0f"+joint+"B", bytes)
	case b < 1e6:
		return fmt.Sprintf("%.1f"+joint+"kB", bytes/1e3)
	case b < 1e9:
		return fmt.Sprintf("%.1f"+joint+"MB", bytes/1e6)
	}
	return fmt.Sprintf("%.2f"+joint+"GB", bytes/1e9)
}

// percent writes a share of 0 to 1. What is not all is never written as 100 %.
func percent(share float64) string {
	text := fmt.Sprintf("%.2f", 100*share)
	switch {
	case share < 1 && text == "100.00":
		return "more than 99.99" + joint + "%"
	case share == math.Trunc(share):
		text = fmt.Sprintf("%.0f", 100*share)
	}
	return text + joint + "%"
}

// plain keeps a name from driving the terminal.
func plain(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}
