package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

const (
	// maxSeries is how many series of a server are kept, the first by name.
	maxSeries = 200
	// maxScrapeBytes bounds one answer.
	maxScrapeBytes = 16 << 20
	scrapeTimeout  = 900 * time.Millisecond // within the second it is for
)

// Scrape reads the metrics of a server in the Prometheus text format. Counters
// and gauges keep their name and labels; of a histogram or summary _count and
// _sum are kept. It may be used from several goroutines.
type Scrape struct {
	url   string
	match *regexp.Regexp // nil: every series
	http  http.Client
}

// NewScrape reads from an http URL the series whose name and labels match.
func NewScrape(from, match string) (*Scrape, error) {
	u, err := url.Parse(from)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("metrics: %q, want http://host:port/metrics", from)
	}
	s := &Scrape{url: from, http: http.Client{Timeout: scrapeTimeout}}
	if match != "" {
		if s.match, err = regexp.Compile(match); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return s, nil
}

// Read reads the series once.
func (s *Scrape) Read(ctx context.Context) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	answer, err := s.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("metrics: %s: %s", s.url, answer.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(answer.Body, maxScrapeBytes))
	if err != nil {
		return nil, fmt.Errorf("metrics: %s: %w", s.url, err)
	}
	values := map[string]float64{}
	for _, name := range slices.Sorted(maps.Keys(families)) {
		for _, m := range families[name].Metric {
			s.add(values, name, m)
		}
	}
	if len(values) == 0 {
		return nil, errors.New("metrics: " + s.url + ": no series matches")
	}
	return values, nil
}

func (s *Scrape) add(values map[string]float64, name string, m *dto.Metric) {
	var labels []string
	for _, l := range m.Label {
		labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
	}
	suffix := ""
	if len(labels) > 0 {
		suffix = "{" + strings.Join(labels, ",") + "}"
	}
	keep := func(series string, value float64) {
		if len(values) < maxSeries && (s.match == nil || s.match.MatchString(series)) {
			values[series] = value
		}
	}
	switch {
	case m.Counter != nil:
		keep(name+suffix, m.Counter.GetValue())
	case m.Gauge != nil:
		keep(name+suffix, m.Gauge.GetValue())
	case m.Untyped != nil:
		keep(name+suffix, m.Untyped.GetValue())
	case m.Histogram != nil:
		keep(name+"_count"+suffix, float64(m.Histogram.GetSampleCount()))
		keep(name+"_sum"+suffix, m.Histogram.GetSampleSum())
	case m.Summary != nil:
		keep(name+"_count"+suffix, float64(m.Summary.GetSampleCount()))
		keep(name+"_sum"+suffix, m.Summary.GetSampleSum())
	}
}
