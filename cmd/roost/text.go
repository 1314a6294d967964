//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"roost/conn/machine"
)

// grouped writes a count with a comma between thousands.
func grouped(n int64) string {
	if n == machine.Unlimited {
		return "unlimited"
	}
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// inBytes writes a size in the unit that leaves two or three digits.
func inBytes(n int64) string {
	switch {
	case n == machine.Unlimited:
		return "unlimited"
	case n >= 10_000_000_000:
		return fmt.Sprintf("%.0f GB", float64(n)/1e9)
	case n >= 1_000_000_000:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1_000_000:
		return fmt.Sprintf("%.0f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.0f kB", float64(n)/1e3)
}

// inTime writes a duration with two or three digits.
func inTime(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}

// writeJSON is the form for machines, with units in the field names.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
