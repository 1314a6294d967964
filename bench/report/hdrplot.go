package report

import (
	"errors"
	"fmt"
	"io"

	"roost/bench"
)

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

// mainLatency is that of the messages of the first part that has any, or of
// handshakes in a run without messages.
func mainLatency(r *bench.Result) (kind string, h *bench.Recorder) {
	for _, kind := range []string{bench.MessageLatency, bench.HandshakeLatency} {
		if all := histograms(r, kind); len(all) > 0 {
			return kind, all[0].h
		}
	}
	return "", nil
}

// partHistogram is the histogram of a part; the part is nil for the opening.
type partHistogram struct {
	part *bench.Part
	h    *bench.Recorder
}

// histograms lists those of a kind by part.
func histograms(r *bench.Result, kind string) (list []partHistogram) {
	if h := r.Histograms[kind]; h != nil {
		list = append(list, partHistogram{nil, h})
		if len(r.Parts) > 0 && (kind != bench.HandshakeLatency || r.Parts[0].Hold == nil && r.Parts[0].Messages == nil) {
			list[0].part = &r.Parts[0]
		}
	}
	for i := 1; i < len(r.Parts); i++ {
		if h := r.Histograms[bench.HistogramName(i, r.Parts[i].Name, kind)]; h != nil {
			list = append(list, partHistogram{&r.Parts[i], h})
		}
	}
	return list
}
