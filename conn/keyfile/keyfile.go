// Package keyfile reads files that hold keys, and notices when they have changed.
package keyfile

import (
	"fmt"
	"io"
	"os"
)

// File is a file that is read again now and then. It is used by one goroutine at a time.
type File struct {
	Path string
	was  os.FileInfo // as it was when it was read; nil when that failed
}

// Changed reports whether the file is another than the one that was read.
func (f *File) Changed() bool {
	now, err := os.Stat(f.Path)
	return err != nil || f.was == nil || !os.SameFile(now, f.was) || !now.ModTime().Equal(f.was.ModTime()) || now.Size() != f.was.Size()
}

// Read returns the content, of most bytes at the most.
func (f *File) Read(most int64) ([]byte, error) {
	f.was = nil
	info, err := os.Stat(f.Path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: is no regular file, which could be read again", f.Path)
	}
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // nothing was written
	text, err := ReadAtMost(file, most)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path, err)
	}
	f.was = info // from before: what came in between will be a change
	return text, nil
}

// ReadAtMost reads r to its end. More than most bytes are an error.
func ReadAtMost(r io.Reader, most int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("longer than %d bytes", most)
	}
	return text, err
}
