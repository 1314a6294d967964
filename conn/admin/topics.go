//go:build linux

package admin

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"text/tabwriter"

	"roost/conn/cluster"
	"roost/conn/hub"
)

// topics answers with the topics that have most members on all nodes, or with those that are named.
func (l *Listener) topics(w http.ResponseWriter, r *http.Request) {
	q := cluster.Query{Topics: r.URL.Query()["topic"], Prefix: r.FormValue("prefix")}
	var err, err2 error
	if q.Limit, err = strconv.Atoi(cmp.Or(r.FormValue("limit"), "20")); err != nil || q.Limit < 1 || q.Limit > cluster.MaxTopics {
		err = fmt.Errorf("limit: %q, want 1 to %d", r.FormValue("limit"), cluster.MaxTopics)
	}
	if len(q.Topics) > 0 && q.Prefix != "" {
		err2 = fmt.Errorf("topic and prefix: want one or the other")
	}
	l.presence(w, r, q, err, err2)
}

// topic answers for one topic.
func (l *Listener) topic(w http.ResponseWriter, r *http.Request) {
	l.presence(w, r, cluster.Query{Topics: []string{r.PathValue("topic")}})
}

// presence asks all nodes.
func (l *Listener) presence(w http.ResponseWriter, r *http.Request, q cluster.Query, errs ...error) {
	asJSON, err := wantsJSON(r)
	errs = append(errs, err)
	if len(q.Topics) > cluster.MaxTopics {
		errs = append(errs, fmt.Errorf("topic: %d names, want up to %d", len(q.Topics), cluster.MaxTopics))
	}
	for _, topic := range q.Topics {
		if err := hub.CheckTopic(topic); err != nil {
			errs = append(errs, fmt.Errorf("topic %q: %w", topic, err))
		}
	}
	if q.Prefix != "" {
		if err := hub.CheckTopic(q.Prefix); err != nil {
			errs = append(errs, fmt.Errorf("prefix %q: %w", q.Prefix, err))
		}
	}
	if !right(w, errs...) {
		return
	}
	p, err := l.config.Server.Presence(r.Context(), q)
	if err != nil {
		text(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	if asJSON {
		writeJSON(w, http.StatusOK, p)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TOPIC\tMEMBERS")
	for _, t := range p.Topics {
		fmt.Fprintf(table, "%s\t%d\n", t.Topic, t.Members)
	}
	_ = table.Flush() // fails when the client has left
	fmt.Fprintf(w, "\n%d of %d nodes have answered\n", p.Answered, p.Nodes)
}
