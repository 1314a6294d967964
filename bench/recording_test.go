package bench

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestRecordingRoundTrip(t *testing.T) {
	r := NewRecorder()
	for i := range 1000 {
		r.Record(time.Duration(i) * time.Millisecond)
	}
	rec := NewRecording(&Result{
		Scenario: "echo", Started: time.Unix(1e9, 0).UTC(), Problems: []string{}, Warnings: []string{},
		Seconds: []Second{{
			Length: 1, Phase: "measure", Deliveries: 7, Latency: &Quantiles{Count: 7}, Server: &ServerSecond{Threads: 3},
			Metrics: map[string]float64{"up": 1},
		}},
		Histograms: map[string]*Recorder{MessageLatency: r},
	}, map[string]string{"conns": "5"})
	var file bytes.Buffer
	if err := rec.Write(&file); err != nil {
		t.Fatal(err)
	}
	got, err := ReadRecording(bytes.NewReader(file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	h := got.Result.Histograms[MessageLatency]
	if want := r.Quantiles(); !reflect.DeepEqual(h.Quantiles(), want) {
		t.Errorf("histogram read as %+v, written as %+v", h.Quantiles(), want)
	}
	if !reflect.DeepEqual(got.Result.Seconds, rec.Seconds) || !reflect.DeepEqual(got.Machine, rec.Machine) ||
		!reflect.DeepEqual(got.Tool, rec.Tool) || got.Flags["conns"] != "5" || got.Result.Started != rec.Result.Started {
		t.Errorf("read %+v, written %+v", got, rec)
	}
	var again bytes.Buffer
	if err := got.Write(&again); err != nil || !bytes.Equal(again.Bytes(), file.Bytes()) {
		t.Errorf("error %v; writing what was read gives another file", err)
	}
	if m := rec.Machine; m.Kernel == "" || m.Cores < 1 || m.MemoryBytes < 1 || m.LocalPorts < 1 || m.GoVersion == "" {
		t.Errorf("machine %+v has gaps", m)
	}
}

func TestReadRecordingRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want error
	}{
		"newer version":  {`{"format": "roost-bench recording", "version": 3, "result": 7}`, ErrRecordingVersion},
		"older version":  {`{"format": "roost-bench recording", "version": 1, "result": {}}`, ErrRecordingVersion},
		"no version":     {`{"format": "roost-bench recording"}`, ErrRecordingVersion},
		"another file":   {`{"version": 1}`, ErrNotRecording},
		"no JSON":        {"plan  idle", ErrNotRecording},
		"cut":            {`{"format": "roost-bench rec`, ErrNotRecording},
		"no result":      {`{"format": "roost-bench recording", "version": 2}`, ErrNotRecording},
		"null histogram": {`{"format": "roost-bench recording", "version": 2, "result": {}, "histograms": {"latency": null}}`, ErrNotRecording},
	} {
		if _, err := ReadRecording(strings.NewReader(test.text)); !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", name, err, test.want)
		}
	}
	if _, err := ReadRecording(strings.NewReader(`{"format": "roost-bench recording", "version": 2, "result": {}, "histograms": {"latency": "HIST"}}`)); err == nil {
		t.Error("no error for a broken histogram")
	}
}
