package report

import (
	"fmt"
	"io"
	"strings"

	"roost/bench"
)

// Plan writes what a run is going to use, and what makes it so many.
func Plan(w io.Writer, scenario string, urls []string, plan bench.Plan) error {
	var p page
	p.row("plan", "%s, %s", plain(scenario), some(urls))
	p.row("connections", "%s", planInWords(plan))
	p.row("targets", "%s", some(plan.TargetAddresses))
	switch n := len(plan.SourceAddresses); n {
	case 0:
		p.row("sources", "chosen by the kernel")
	case 1:
		p.row("sources", "%s", plan.SourceAddresses[0])
	default:
		p.row("sources", "%d: %s to %s, about %s each", n,
			plan.SourceAddresses[0], plan.SourceAddresses[n-1], plural((plan.Conns+n-1)/n, "connection"))
	}
	p.row("descriptors", "%s needed%s, %s allowed", grouped(plan.DescriptorsNeeded),
		map[bool]string{true: " by the largest process"}[plan.Processes > 1], grouped(plan.DescriptorLimit))
	p.WriteString("\n")
	_, err := p.WriteTo(w)
	return err
}

// planInWords says in one sentence how the connections are shared out.
func planInWords(plan bench.Plan) string {
	each := "address"
	if len(plan.TargetAddresses) > 1 {
		each = "address and target"
	}
	sources := "addresses that the kernel chooses"
	if n := len(plan.SourceAddresses); n > 0 {
		sources = plural(n, "address")
	}
	verb := "take"
	if plan.Conns == 1 {
		verb = "takes"
	}
	return fmt.Sprintf("%s descriptors a process, %s ports per %s: %s %s %s and %s", grouped(plan.DescriptorLimit),
		grouped(plan.PortsPerSource), each, plural(plan.Conns, "connection"), verb, plural(plan.Processes, "process"), sources)
}

// some lists the first few of many.
func some(list []string) string {
	const most = 4
	var shown []string
	for _, s := range list[:min(most, len(list))] {
		shown = append(shown, plain(s))
	}
	text := strings.Join(shown, ", ")
	if more := len(list) - most; more > 0 {
		text += " and " + grouped(more) + " more"
	}
	return text
}
