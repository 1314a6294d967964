package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const (
	// RecordingVersion is the version of the file format written. It grows when a
	// reader of an older one would misunderstand; a new field alone does not.
	RecordingVersion = 2
	// recordingFormat marks the files of this program.
	recordingFormat = "roost-bench recording"
)

// Recording is everything needed to judge one run later. Its JSON field names
// carry their units.
type Recording struct {
	Format  string            `json:"format"`
	Version int               `json:"version"`
	Tool    Tool              `json:"tool"`
	Machine Machine           `json:"machine"`
	Flags   map[string]string `json:"flags"` // what was asked for, by name without dashes
	Result  *Result           `json:"result"`
	// Seconds and Histograms are those of Result, which leaves them out.
	// Histograms count microseconds, in HdrHistogram's V2 encoding, base64.
	Seconds    []Second             `json:"seconds"`
	Histograms map[string]*Recorder `json:"histograms"`
}

// Errors of ReadRecording.
var (
	// ErrNotRecording is returned when the input is something else.
	ErrNotRecording = errors.New("not a recording of roost-bench")
	// ErrRecordingVersion is returned, with both versions, when the format is of
	// a version this program does not know.
	ErrRecordingVersion = errors.New("unknown version of the recording")
)

// NewRecording puts a result together with where and how it was made.
func NewRecording(r *Result, flags map[string]string) *Recording {
	return &Recording{
		Format: recordingFormat, Version: RecordingVersion, Tool: ReadTool(), Machine: ReadMachine(),
		Flags: flags, Result: r, Seconds: r.Seconds, Histograms: r.Histograms,
	}
}

// Write writes the recording as indented JSON.
func (rec *Recording) Write(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	return enc.Encode(rec)
}

// ReadRecording reads what Write wrote.
func ReadRecording(r io.Reader) (*Recording, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var head struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotRecording, err)
	}
	if head.Format != recordingFormat {
		return nil, fmt.Errorf("%w: its format is %q, want %q", ErrNotRecording, head.Format, recordingFormat)
	}
	if head.Version != RecordingVersion {
		return nil, fmt.Errorf("%w: %d, and this roost-bench reads version %d", ErrRecordingVersion, head.Version, RecordingVersion)
	}
	rec := new(Recording)
	if err := json.Unmarshal(text, rec); err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	if rec.Result == nil {
		return nil, fmt.Errorf("%w: it has no result", ErrNotRecording)
	}
	for name, h := range rec.Histograms {
		if h == nil {
			return nil, fmt.Errorf("%w: histogram %s is null", ErrNotRecording, name)
		}
	}
	rec.Result.Seconds, rec.Result.Histograms = rec.Seconds, rec.Histograms
	return rec, nil
}
