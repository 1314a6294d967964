package report_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"roost/bench"
	"roost/bench/report"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("differs from %s; after a look, go test ./bench/report -update:\n%s", path, got)
	}
}

// written is what Write makes of the recordings, which are named a.json, b.json and so on.
func written(t *testing.T, format string, recordings ...*bench.Recording) string {
	t.Helper()
	var files []report.File
	for i, rec := range recordings {
		files = append(files, report.File{Name: string(rune('a'+i)) + ".json", Recording: rec})
	}
	var got strings.Builder
	if err := report.Write(&got, format, files); err != nil {
		t.Fatal(err)
	}
	return got.String()
}

func TestFormatsAgainstGolden(t *testing.T) {
	for _, format := range report.Formats() {
		t.Run(format, func(t *testing.T) {
			golden(t, format, []byte(written(t, format, recording(20, 1))))
		})
	}
	golden(t, "text-room", []byte(written(t, report.FormatText, room(), nothing())))
}

// fits wants no line longer than so many columns.
func fits(t *testing.T, text string, columns int) {
	t.Helper()
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > columns {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestTextFits80Columns(t *testing.T) {
	fits(t, written(t, report.FormatText, recording(20, 1), room(), nothing()), 80)
}

// TestHDRPlotMerges wants twice as many latencies from two files, and a refusal of a mixture.
func TestHDRPlotMerges(t *testing.T) {
	a, b := room(), room()
	var got strings.Builder
	if err := report.Write(&got, report.FormatHDRPlot, []report.File{{Name: "a", Recording: a}, {Name: "b", Recording: b}}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got.String(), "Total count    =        19200]") {
		t.Errorf("not 2 x 9600 latencies:\n%s", got.String())
	}
	delete(b.Result.Histograms, bench.MessageLatency)
	if err := report.Write(&got, report.FormatHDRPlot, []report.File{{Recording: a}, {Recording: b}}); !errors.Is(err, report.ErrMixedMerged) {
		t.Errorf("error %v, want ErrMixedMerged", err)
	}
	delete(b.Result.Histograms, bench.HandshakeLatency)
	if err := report.Write(&got, report.FormatHDRPlot, []report.File{{Recording: b}}); !errors.Is(err, report.ErrNoLatency) {
		t.Errorf("error %v, want ErrNoLatency", err)
	}
	if err := report.Write(&got, "pdf", nil); !errors.Is(err, report.ErrFormat) {
		t.Errorf("error %v, want ErrFormat", err)
	}
}
