package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"roost/bench"
	"roost/bench/report"
)

func runReport(f *reportFlags, stdout, stderr io.Writer) int {
	demands, err := newDemands(f.Assert, f.Strict)
	if err != nil {
		return usage(stderr, err)
	}
	files, err := readFiles(f.Files)
	if err != nil {
		return usage(stderr, err)
	}
	var out bytes.Buffer // a report that fails half-way overwrites nothing
	if err := report.Write(&out, f.Format, files); err != nil {
		return usage(stderr, err)
	}
	if err := deliver(f.Output, stdout, out.Bytes()); err != nil {
		return failed(stderr, err)
	}
	// Assertions go where they spoil no output for programs.
	notes := stderr
	if f.Format == report.FormatText && f.Output == "" {
		notes = stdout
	}
	worst := exitPassed
	for _, file := range files {
		code, err := demands.judge(notes, file.Recording.Result)
		if err != nil {
			return failed(stderr, err)
		}
		if code == exitLost || worst == exitPassed {
			worst = code
		}
	}
	return worst
}

func runCompare(f *compareFlags, stdout, stderr io.Writer) int {
	var sides []report.Side
	for _, text := range f.Sides {
		side, err := readSide(text)
		if err != nil {
			return usage(stderr, err)
		}
		sides = append(sides, side)
	}
	var out bytes.Buffer
	compare := report.Compare
	if f.Format != report.FormatText {
		compare = func(w io.Writer, sides []report.Side) error { return report.Matrix(w, f.Format, sides) }
	}
	if err := compare(&out, sides); err != nil {
		return usage(stderr, err)
	}
	if err := deliver(f.Output, stdout, out.Bytes()); err != nil {
		return failed(stderr, err)
	}
	return exitPassed
}

func deliver(path string, stdout io.Writer, text []byte) error {
	if path == "" {
		_, err := stdout.Write(text)
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

// readSide reads NAME=PATH or PATH, where PATH is a file, a folder or a pattern.
func readSide(text string) (report.Side, error) {
	name, path := text, text
	if before, after, ok := strings.Cut(text, "="); ok && !strings.Contains(before, "/") {
		name, path = before, after
	}
	paths := []string{path}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "*.json")
	}
	if strings.ContainsAny(path, "*?[") {
		var err error
		if paths, err = filepath.Glob(path); err != nil {
			return report.Side{}, fmt.Errorf("%s: %w", path, err)
		}
	}
	files, err := readFiles(paths)
	return report.Side{Name: name, Files: files}, err
}

func readFiles(paths []string) ([]report.File, error) {
	var files []report.File
	for _, path := range paths {
		rec, err := readFile(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		files = append(files, report.File{Name: path, Recording: rec})
	}
	return files, nil
}

func readFile(path string) (*bench.Recording, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return bench.ReadRecording(file)
}
