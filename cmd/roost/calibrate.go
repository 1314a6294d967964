//go:build linux

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"roost/conn/frame"
	"roost/conn/server"
)

// calibration is what broadcasts to real connections took on this machine.
type calibration struct {
	conns  int             // how many were open
	few    time.Duration   // of one delivery when a quarter was open, median
	rounds []time.Duration // of one delivery with all open, a figure for each broadcast, ascending
	cpu    time.Duration   // the server's processor time for one delivery, median
	cores  float64         // processors that server and clients had while broadcasting
}

// mostCalibrated bounds the connections of a calibration: one client address has
// ports for that many, and more would not tell more.
const mostCalibrated = 20_000

// calibrate opens up to conns connections to a server in this process, in at
// most half of budget, and broadcasts payloads of the given size for the rest of
// it. A delivery begins when the frame is given to the server and ends when the
// client has read it, so it contains the client's work as well: both share the
// processors. progress is told what is going on.
func calibrate(ctx context.Context, conns int, budget time.Duration, payload int, progress func(format string, args ...any)) (c calibration, err error) {
	start := time.Now()
	srv, err := server.New(server.Config{
		Listen: []string{"127.0.0.1:0"}, Handler: server.Push(), PingInterval: -1, Log: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		err = srv.Start()
	}
	if err != nil {
		return c, fmt.Errorf("calibration: %w", err)
	}
	defer func() { _ = srv.Close() }()

	// The processor time of this thread is the clients'; the rest is the server's.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	crowd, err := newCrowd(srv.Addrs()[0].(*net.TCPAddr).AddrPort(), srv.Settings().Path)
	if err != nil {
		return c, fmt.Errorf("calibration: %w", err)
	}
	defer crowd.close()
	f := frame.Prepare(frame.Binary, make([]byte, payload))
	round := func() (each, cpu time.Duration, err error) {
		before, began := serverCPU(), time.Now()
		if err := srv.Hub().BroadcastWait(ctx, f); err != nil {
			return 0, 0, fmt.Errorf("calibration: %w", err)
		}
		if err := crowd.receive(ctx, len(f.Bytes())); err != nil {
			return 0, 0, fmt.Errorf("calibration: %w", err)
		}
		n := time.Duration(len(crowd.fds))
		return time.Since(began) / n, (serverCPU() - before) / n, nil
	}

	var few []time.Duration
	for goal := range slices.Values([]int{max(1, conns/4), conns}) {
		progress("calibrating: opening %s connections on loopback", grouped(int64(goal)))
		for len(crowd.fds) < goal && (len(crowd.fds) == 0 || time.Since(start) < budget/2) {
			if err := crowd.open(ctx, min(64, goal-len(crowd.fds))); err != nil {
				return c, fmt.Errorf("calibration: connection %d: %w", len(crowd.fds)+1, err)
			}
		}
		for range 3 {
			each, _, err := round()
			if err != nil {
				return c, err
			}
			few = append(few, each)
		}
	}
	slices.Sort(few[:3])
	c.conns, c.few = len(crowd.fds), few[1]
	progress("calibrating: broadcasts to %s connections", grouped(int64(c.conns)))
	var cpus []time.Duration
	spent, began := processCPU(), time.Now()
	for len(c.rounds) < 3 || time.Since(start) < budget {
		each, cpu, err := round()
		if err != nil {
			return c, err
		}
		c.rounds, cpus = append(c.rounds, each), append(cpus, cpu)
	}
	c.cores = (processCPU() - spent).Seconds() / time.Since(began).Seconds()
	slices.Sort(c.rounds)
	slices.Sort(cpus)
	c.cpu = cpus[len(cpus)/2]
	return c, nil
}

// median, and what all but a tenth of the broadcasts stay between.
func (c calibration) spread() (low, median, high time.Duration) {
	n := len(c.rounds)
	return c.rounds[n/10], c.rounds[n/2], c.rounds[n-1-n/10]
}

// processCPU is the processor time of the process so far.
func processCPU() time.Duration { return cpuOf(unix.RUSAGE_SELF) }

// serverCPU is that without the calling thread's.
func serverCPU() time.Duration { return processCPU() - cpuOf(unix.RUSAGE_THREAD) }

func cpuOf(who int) time.Duration {
	var u unix.Rusage
	if unix.Getrusage(who, &u) != nil {
		return 0 // cannot be: getrusage(2) fails for bad arguments only
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
