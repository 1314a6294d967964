//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"

	"roost/conn/server"
)

// reloader holds the settings of a serving process, which SIGHUP makes it read again. It
// does so in a goroutine of its own: a file may take long to be read, and a signal to stop
// must not wait for that.
type reloader struct {
	line    *commandLine // in force; each reload that succeeds replaces it; owned by the goroutine
	log     *slog.Logger
	level   *slog.LevelVar
	srv     *server.Server
	desk    *desk
	systemd *systemd
	asked   chan struct{} // has room for one: many SIGHUPs are one
}

func newReloader(line *commandLine, log *slog.Logger, level *slog.LevelVar, srv *server.Server, desk *desk, systemd *systemd) *reloader {
	r := &reloader{line, log, level, srv, desk, systemd, make(chan struct{}, 1)}
	go r.run()
	return r
}

// ask has the file read again, after the reload that is under way if there is one.
func (r *reloader) ask() {
	select {
	case r.asked <- struct{}{}:
	default:
	}
}

// close does not wait for a reload that is under way. Nobody may ask any more.
func (r *reloader) close() { close(r.asked) }

func (r *reloader) run() {
	for range r.asked {
		if r.srv.Draining() {
			return
		}
		r.systemd.reloading()
		r.reload()
		if !r.srv.Draining() { // else systemd has been told that the server stops
			r.systemd.ready()
		}
	}
}

// reload takes over what has changed in the config file, all of it or, when there is
// a fault, nothing.
func (r *reloader) reload() {
	r.srv.ReloadKeys()
	if r.line.Serve.File == "" {
		if r.line.Serve.AuthKey != "" || len(r.line.Serve.TLSCert) > 0 {
			r.log.Info("SIGHUP: reading the keys of tokens and the certificates; nothing else to reload without --config")
		} else {
			r.log.Warn("SIGHUP: nothing to reload without --config")
		}
		return
	}
	next, err := parse(r.line.args, io.Discard)
	var changes []change
	if err == nil {
		changes, err = changesBetween(r.line.settings, next.settings)
	}
	if err == nil {
		err = r.apply(&next.Serve)
	}
	if err != nil {
		for fault := range strings.SplitSeq(err.Error(), "\n") {
			r.log.Error("SIGHUP: nothing is reloaded, the settings stay as they were", "err", fault)
		}
		return
	}
	r.line = next
	for _, c := range changes {
		r.log.Info("reloaded", "setting", c.name, "old", c.from, "new", c.to, "source", c.source)
	}
	r.log.Info("SIGHUP: reloaded", "config", next.Serve.File, "changes", len(changes))
}

// apply puts into force what may change at run time: the flags with the tag reload. When it
// fails, nothing has changed.
func (r *reloader) apply(f *flags) error {
	if err := applyLimits(r.srv, f); err != nil {
		return err
	}
	if err := r.desk.setTokens(&f.adminFlags); err != nil { // cannot be: it has been checked
		return err
	}
	r.level.Set(f.level())
	return nil
}

// change is a setting with another value than before, as text without secrets.
type change struct {
	name, from, to, source string
}

// changesBetween compares two readings of the same flags. An error names every
// setting that cannot change while the server runs.
func changesBetween(old, next []setting) (changes []change, err error) {
	var faults []error
	for i, s := range next {
		before := old[i]
		if reflect.DeepEqual(before.Target.Interface(), s.Target.Interface()) || s.IsSlice() && before.Target.Len()+s.Target.Len() == 0 {
			continue
		}
		c := change{s.Name, before.shown(), s.shown(), s.source}
		if !s.Tag.Has("reload") {
			faults = append(faults, fmt.Errorf("%s cannot change at run time: restart roost to have %s (%s), or set it back to %s",
				c.name, c.to, c.source, c.from))
		}
		changes = append(changes, c)
	}
	return changes, errors.Join(faults...)
}

// shown is the value for people.
func (s setting) shown() string {
	switch {
	case !s.given():
		return "not set"
	case s.secret():
		return "a secret"
	}
	return s.text()
}

// applyLimits hands the server the limits and lists it can change while it serves. When
// it fails, none has changed.
func applyLimits(srv *server.Server, f *flags) error {
	if err := srv.Reload(f.limits()); err != nil {
		return err
	}
	f.limitMemory()
	return nil
}
