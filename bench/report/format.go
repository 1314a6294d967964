package report

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"

	"roost/bench"
)

// File is a recording and the name it is shown under.
type File struct {
	Name      string
	Recording *bench.Recording
}

// Names of formats.
const (
	FormatText    = "text"    // for a terminal, 80 columns
	FormatJSON    = "json"    // one object per file: its result
	FormatCSV     = "csv"     // one line per second of each file
	FormatHTML    = "html"    // one page with plots
	FormatHDRPlot = "hdrplot" // the text for HdrHistogram's plotter, files merged
)

// Formats lists the names.
func Formats() []string {
	return []string{FormatText, FormatJSON, FormatCSV, FormatHTML, FormatHDRPlot}
}

// ErrFormat is returned for a format there is not.
var ErrFormat = errors.New("unknown format")

// Write writes the files in a format.
func Write(w io.Writer, format string, files []File) error {
	switch format {
	case FormatText:
		return Recordings(w, files)
	case FormatJSON:
		for _, f := range files {
			if err := JSON(w, f.Recording.Result); err != nil {
				return err
			}
		}
		return nil
	case FormatCSV:
		return seconds(w, files)
	case FormatHTML:
		return html(w, files)
	case FormatHDRPlot:
		return hdrPlot(w, files)
	}
	return fmt.Errorf("%w %q", ErrFormat, format)
}

// Errors of hdrplot.
var (
	ErrNoLatency   = errors.New("no latency was recorded")
	ErrMixedMerged = errors.New("handshakes and messages make no common distribution: report them apart")
)

// hdrPlot writes the latency of all files together: histograms can be merged,
// percentiles cannot.
func hdrPlot(w io.Writer, files []File) error {
	merged, kind := bench.NewRecorder(), ""
	for _, f := range files {
		name, h := mainLatency(f.Recording.Result)
		if h == nil {
			return fmt.Errorf("%s: %w", f.Name, ErrNoLatency)
		}
		if kind != "" && kind != name {
			return ErrMixedMerged
		}
		kind = name
		merged.Merge(h)
	}
	return merged.WritePercentiles(w)
}

// mainLatency is that of messages, or of handshakes in a run that has none.
func mainLatency(r *bench.Result) (name string, h *bench.Recorder) {
	for _, name := range []string{bench.MessageLatency, bench.HandshakeLatency} {
		if h := r.Histograms[name]; h != nil {
			return name, h
		}
	}
	return "", nil
}

var secondsHead = []string{
	"file", "start_seconds", "length_seconds", "phase",
	"connections_open", "connections_opened", "connections_failed", "connections_closed",
	"messages_sent", "messages_received", "deliveries",
	"latency_p50_us", "latency_p99_us", "latency_max_us", "handshake_p50_us", "handshake_p99_us", "handshake_max_us",
	"server_rss_bytes", "server_cpu_cores", "server_threads", "server_descriptors", "server_context_switches_per_second",
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
				line = append(line, decimal(v.CPUCores))
				line = append(line, integers(int64(v.Threads), int64(v.Descriptors))...)
				line = append(line, decimal(v.ContextSwitches))
			} else {
				line = append(line, "", "", "", "", "")
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
