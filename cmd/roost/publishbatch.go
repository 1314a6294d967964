//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// batch publishes every line of the input. Answers come while it is being sent.
func (p *publisher) batch(ctx context.Context) error {
	in, err := p.input(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // nothing was written
	req, err := p.request(ctx, "/publish/batch", "application/x-ndjson", in)
	if err != nil {
		return err
	}
	res, err := p.do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	published, refused, err := p.answers(res.Body)
	if !p.JSON {
		fmt.Fprintf(p.stdout, "published %s\n", counted(published, "message"))
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w: lines without an answer may be published or not", err)
	case refused > 0:
		return fmt.Errorf("%s refused", counted(refused, "line"))
	}
	return nil
}

// answers reads those of a batch, tells what was refused, and counts.
func (p *publisher) answers(body io.Reader) (published, refused int64, err error) {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, mostAnswer)
	for lines.Scan() {
		var a struct {
			Line  int64  `json:"line"`
			Error string `json:"error"`
		}
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil || a.Line == 0 {
			return published, refused, errors.New("the answer is not that of a roost")
		}
		if a.Error == "" {
			published++
		} else {
			refused++
		}
		switch {
		case p.JSON:
			if _, err := fmt.Fprintf(p.stdout, "%s\n", lines.Bytes()); err != nil {
				return published, refused, err
			}
		case a.Error != "":
			fmt.Fprintf(p.stderr, "roost: line %d: %s\n", a.Line, a.Error)
		}
	}
	return published, refused, lines.Err()
}
