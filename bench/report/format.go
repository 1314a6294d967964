package report

import (
	"errors"
	"fmt"
	"io"

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
