package report

import (
	"encoding/csv"
	"io"
	"strconv"

	"roost/bench"
)

var secondsHead = []string{
	"file", "start_seconds", "length_seconds", "phase",
	"connections_open", "connections_opened", "connections_failed", "connections_closed",
	"messages_sent", "messages_received", "deliveries",
	"latency_p50_us", "latency_p99_us", "latency_max_us", "handshake_p50_us", "handshake_p99_us", "handshake_max_us",
	"server_rss_bytes", "server_cpu_cores", "server_cpu_user_cores", "server_cpu_system_cores", "server_threads", "server_descriptors", "server_context_switches_per_second",
	"client_cpu_cores", "client_loop_busy_share",
}

// seconds writes the series; a cell without data is empty.
func seconds(w io.Writer, files []File) error {
	out := csv.NewWriter(w)
	if err := out.Write(secondsHead); err != nil {
		return err
	}
	for _, f := range files {
		for _, s := range f.Recording.Seconds {
			line := []string{f.Name, decimal(s.Start), decimal(s.Length), s.Phase}
			line = append(line, integers(int64(s.Open), s.Opened, s.Failed, s.Closed, s.Sent, s.Received, s.Deliveries)...)
			line = append(line, percentiles(s.Latency)...)
			line = append(line, percentiles(s.Handshake)...)
			if v := s.Server; v != nil {
				line = append(line, integers(v.RSSBytes)...)
				line = append(line, decimal(v.CPUCores), decimal(v.UserCores), decimal(v.SystemCores))
				line = append(line, integers(int64(v.Threads), int64(v.Descriptors))...)
				line = append(line, decimal(v.ContextSwitches))
			} else {
				line = append(line, "", "", "", "", "", "", "")
			}
			line = append(line, decimal(s.ClientCores), decimal(s.ClientLoopBusy))
			if err := out.Write(line); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

func percentiles(q *bench.Quantiles) []string {
	if q == nil {
		return []string{"", "", ""}
	}
	return integers(q.P50, q.P99, q.Max)
}

func integers(values ...int64) []string {
	var texts []string
	for _, v := range values {
		texts = append(texts, strconv.FormatInt(v, 10))
	}
	return texts
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', 3, 64) }
