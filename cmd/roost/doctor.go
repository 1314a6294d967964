//go:build linux

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"roost/conn/machine"
)

// doctorFlags are those of the doctor command.
type doctorFlags struct {
	fileFlag

	needFlags

	JSON bool `name:"json" xor:"form" help:"Print JSON."`

	Sysctl bool `xor:"form" help:"Print the kernel's settings as a file for /etc/sysctl.d: what is too small as it has to be, the others as they are."`
}

// Help is shown by 'roost doctor -h'.
func (doctorFlags) Help() string {
	return "Run it where the server will run: in the same container, from the same kind of shell. It changes nothing. " +
		"Exit codes: 0 nothing is too small, 1 something is, 2 wrong usage."
}

// runDoctor is the doctor command.
func runDoctor(f *doctorFlags, h host, stdout, stderr io.Writer) int {
	n := f.need(h)
	checks := examine(h.Machine, n)
	var err error
	switch {
	case f.JSON:
		err = writeJSON(stdout, struct {
			Conns  int64    `json:"connections"`
			TLS    tlsPlace `json:"tls"` // as of plan
			Checks []check  `json:"checks"`
		}{n.Conns, n.TLS, checks})
	case f.Sysctl:
		err = writeSysctls(stdout, h.Machine, n, checks)
	default:
		err = writeChecks(stdout, n, checks)
	}
	if err != nil {
		fmt.Fprintln(stderr, "roost:", err)
		return exitFailure
	}
	for _, c := range checks {
		if c.Verdict == tooSmall {
			return exitTooSmall
		}
	}
	return exitOK
}

// writeChecks prints the table, then what to do about each fault.
func writeChecks(w io.Writer, n need, checks []check) error {
	fmt.Fprintf(w, "%s on this machine\n\n", n.title())
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CHECK\tNOW\tNEEDED\tVERDICT\tABOUT")
	wrong, unread := 0, 0
	for _, c := range checks {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", c.Name, c.amount(c.Now), c.amount(c.Needed), c.Verdict, c.Why)
		switch c.Verdict {
		case tooSmall:
			wrong++
		case unknown:
			unread++
		}
	}
	err := table.Flush()
	if unread > 0 {
		fmt.Fprintf(w, "\n%d could not be read and may be too small.\n", unread)
	}
	if wrong == 0 {
		fmt.Fprintln(w, "\nNothing is too small.")
		return err
	}
	fmt.Fprintf(w, "\n%d too small. As root:\n", wrong)
	for _, c := range checks {
		if c.Verdict != tooSmall {
			continue
		}
		fmt.Fprintf(w, "\n%s\n", c.Name)
		for _, line := range c.Do {
			fmt.Fprintf(w, "    now      %s\n", line)
		}
		for _, line := range c.Keep {
			fmt.Fprintf(w, "    to stay  %s\n", line)
		}
	}
	return err
}

// writeSysctls prints sysctl.d(5). A value that is large enough is written as it is,
// so that the next start has it too, whoever has set it.
func writeSysctls(w io.Writer, m machine.Machine, n need, checks []check) error {
	_, err := fmt.Fprintf(w, "# For %s connections, by 'roost doctor'. The next start of the machine reads this in /etc/sysctl.d.\n", grouped(n.Conns))
	for _, c := range checks {
		current, unread := m.Text("proc/sys/" + strings.ReplaceAll(c.Name, ".", "/"))
		value := strings.Join(strings.Fields(current), " ")
		if len(c.Do) > 0 {
			value, _ = strings.CutPrefix(c.Do[0], "sysctl -w "+c.Name+"=")
		}
		switch {
		case unread != nil: // no such setting
		case c.Verdict == unknown:
			_, err = fmt.Fprintf(w, "\n# %s is unknown: %s\n", c.Name, c.Why)
		case c.Verdict == note && len(c.Do) == 0 && c.Name != "net.ipv4.tcp_migrate_req": // not for a server
		default:
			_, err = fmt.Fprintf(w, "\n# %s\n%s = %s\n", c.Why, c.Name, strings.Trim(value, `"`))
		}
	}
	return err
}

// amount is Now or Needed as text.
func (c *check) amount(v *int64) string {
	switch {
	case v == nil && c.Verdict == unknown:
		return "unknown"
	case v == nil:
		return ""
	case c.Unit == "bytes":
		return inBytes(*v)
	}
	return grouped(*v)
}
