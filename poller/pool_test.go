//go:build linux

package poller

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestConfigValidateReportsEveryFault(t *testing.T) {
	_, err := New(Config{Reactors: -1, Workers: -1, Buffer: -1})
	if err == nil {
		t.Fatal("New took a configuration with four faults")
	}
	if joined, ok := err.(interface{ Unwrap() []error }); !ok || len(joined.Unwrap()) != 4 {
		t.Errorf("faults reported: %q, want four", err)
	}
}

func TestWorkersHaveTheirOwnMemory(t *testing.T) {
	var made atomic.Int64
	p := start(t, Config{Reactors: 2, Workers: 3, Buffer: 77, NewScratch: func() any { return made.Add(1) }})
	if n := made.Load(); n != 5 {
		t.Errorf("%d scratches for 3 workers and 2 reactors", n)
	}
	if p.Reactors() != 2 || p.Workers() != 3 {
		t.Errorf("%d reactors and %d workers in force, want 2 and 3", p.Reactors(), p.Workers())
	}
	seen := make(chan *Worker, 1)
	connect(t, p, func(_ *link, w *Worker, _ Events) Next {
		seen <- w
		return Wait
	}).Call()
	w := await(t, seen, "the handler runs")
	if n, ok := w.Scratch.(int64); !ok || n < 1 || n > 5 || len(w.Buffer) != 77 {
		t.Errorf("worker with scratch %v and a buffer of %d bytes", w.Scratch, len(w.Buffer))
	}
}

// No registration owns a goroutine, idle or busy.
func TestGoroutinesAreBounded(t *testing.T) {
	many := 5000
	if testing.Short() {
		many = 500
	}
	p := start(t, Config{Reactors: 2, Workers: 3, Buffer: 16})
	before := runtime.NumGoroutine()
	var inside, most, runs atomic.Int64
	links := make([]*link, many)
	for i := range links {
		links[i] = connect(t, p, func(l *link, w *Worker, _ Events) Next {
			n := inside.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			if n, _ := drain(l.FD(), w.Buffer); n > 0 {
				runs.Add(1)
			}
			inside.Add(-1)
			return Wait
		})
	}
	for _, l := range links {
		send(t, l.peer, 'x')
	}
	eventually(t, "every registration runs", func() bool { return runs.Load() == int64(many) })
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines with %d registrations, %d without", after, many, before)
	}
	if n := most.Load(); n > 5 {
		t.Errorf("%d handlers ran at once on 3 workers and 2 reactors", n)
	}
}

// With the only worker stuck, the reactor takes what waits beyond Help, some after
// each event.
func TestReactorHelpsWhenPoolIsBehind(t *testing.T) {
	const help, links = 2, 8
	p := start(t, Config{Reactors: 1, Workers: 1, Help: help, Buffer: 16})
	entered, proceed := make(chan struct{}), make(chan struct{})
	connect(t, p, func(*link, *Worker, Events) Next {
		entered <- struct{}{}
		<-proceed
		return Wait
	}).Call()
	await(t, entered, "the worker is stuck")

	var byReactor, byWorker atomic.Int64
	count := func(l *link, w *Worker, _ Events) Next {
		drain(l.FD(), w.Buffer)
		if w == p.reactors[0].worker {
			byReactor.Add(1)
		} else {
			byWorker.Add(1)
		}
		return Wait
	}
	for range links {
		connect(t, p, count).Call()
	}
	for range links { // any event will do
		send(t, connect(t, p, ignore).peer, 'x')
	}
	eventually(t, "the reactor takes what is beyond Help", func() bool {
		return p.Stats().Queued <= help && byReactor.Load() >= links-help
	})
	if n := byWorker.Load(); n != 0 {
		t.Errorf("the stuck worker ran %d handlers", n)
	}
	proceed <- struct{}{}
	eventually(t, "the worker runs the rest", func() bool { return byReactor.Load()+byWorker.Load() == links })
}

// A batch that takes long is shared with the workers.
func TestLongBatchIsShared(t *testing.T) {
	p := start(t, Config{Reactors: 1, Workers: 1, Buffer: 16})
	p.reactors[0].between = 50 * time.Microsecond // the race detector is slow
	entered, proceed := make(chan struct{}), make(chan struct{})
	var runs, byWorker atomic.Int64
	held := connect(t, p, func(l *link, w *Worker, _ Events) Next {
		drain(l.FD(), w.Buffer)
		entered <- struct{}{}
		<-proceed
		return Wait
	})
	links := make([]*link, 5)
	for i := range links {
		links[i] = connect(t, p, func(l *link, w *Worker, _ Events) Next {
			drain(l.FD(), w.Buffer)
			for from := clock(); clock()-from <= lead; {
			}
			if w != p.reactors[0].worker {
				byWorker.Add(1)
			}
			runs.Add(1)
			return Wait
		})
	}
	// On a busy machine the reactor may be stopped between two events.
	for round := int64(1); byWorker.Load() == 0; round++ {
		send(t, held.peer, 'x')
		await(t, entered, "the reactor is held up")
		for _, l := range links {
			send(t, l.peer, 'x') // they become one batch
		}
		proceed <- struct{}{}
		eventually(t, "all run", func() bool { return runs.Load() == round*int64(len(links)) })
		if round == 1000 {
			t.Fatal("nothing is shared")
		}
	}
}

func TestBehind(t *testing.T) {
	re := reactor{between: pause}
	now := time.Hour
	for _, c := range []struct {
		idle, busy time.Duration // between two events, in the second
		want       bool          // at its start
	}{
		{time.Second, lead / 2, false},
		{pause / 2, lead / 2, false},
		{pause / 2, lead, true},
		{pause / 2, 0, true},
		{2 * pause, 2 * lead, false}, // one that takes long is not the others' fault
		{pause / 2, 0, true},
		{time.Second, 0, false},
	} {
		now += c.idle
		re.enter(now)
		if got := re.behind(now); got != c.want {
			t.Errorf("%v after %+v", got, c)
		}
		now += c.busy
		re.leave(now)
	}
	// What lies within a batch counts, what lies between two does not.
	if got, want := time.Duration(re.busy.Load()), 4*lead+4*(pause/2); got != want {
		t.Errorf("busy for %v, want %v", got, want)
	}
}

// One registration at a time is timed from its entry into the queue to its leaving.
func TestOnWait(t *testing.T) {
	var waits []time.Duration
	p := pool{batch: 1, onWait: func(d time.Duration) { waits = append(waits, d) }}
	p.wake = sync.NewCond(&p.mu)
	first, second := new(Registration), new(Registration)
	start := clock()
	p.push(first)
	p.push(second)
	for range 2 {
		p.pop()
	}
	p.push(second)
	p.pop()
	most := clock() - start
	if len(waits) != 2 || waits[0] <= 0 || waits[1] <= 0 || waits[0]+waits[1] > most {
		t.Errorf("waits of %v in %v, want two", waits, most)
	}
}

// Blocked handlers hold their workers and nothing else, and no reactor.
func TestBlockedHandlersLeaveOthersAlone(t *testing.T) {
	const workers = 4
	p := start(t, Config{Reactors: 1, Workers: workers, Blocking: true, Help: 1, Buffer: 16})
	entered, proceed := make(chan struct{}, workers), make(chan struct{})
	block := func() {
		connect(t, p, func(*link, *Worker, Events) Next {
			entered <- struct{}{}
			<-proceed
			return Wait
		}).Call()
		await(t, entered, "a free worker takes the handler")
	}
	for range workers - 1 {
		block()
	}
	var runs atomic.Int64
	links := make([]*link, 40)
	for i := range links {
		links[i] = connect(t, p, func(l *link, w *Worker, _ Events) Next {
			if w == p.reactors[0].worker {
				t.Error("a reactor ran a handler that may block")
			}
			if n, _ := drain(l.FD(), w.Buffer); n > 0 {
				runs.Add(1)
			}
			return Wait
		})
		send(t, links[i].peer, 'x')
	}
	eventually(t, "the last free worker runs all others", func() bool { return runs.Load() == int64(len(links)) })

	// With every worker taken, what is ready waits.
	block()
	for _, l := range links {
		send(t, l.peer, 'y')
	}
	eventually(t, "all ready registrations wait", func() bool { return p.Stats().Queued == int64(len(links)) })
	if n := p.Stats().Inline; n != 0 {
		t.Errorf("reactors ran %d", n)
	}
	close(proceed)
	eventually(t, "the queue is worked off", func() bool { return runs.Load() == 2*int64(len(links)) })
}

// Each round needs every worker at once: one wake-up lost, or two registrations
// taken by one worker, and it never ends.
func TestBlockingWakesEveryWorker(t *testing.T) {
	const workers = 4
	p := start(t, Config{Reactors: 1, Workers: workers, Blocking: true, Buffer: 16})
	arrive, leave := make(chan struct{}), make(chan struct{})
	links := make([]*link, workers)
	for i := range links {
		links[i] = connect(t, p, func(l *link, w *Worker, _ Events) Next {
			if l.stop.Load() {
				return Wait
			}
			drain(l.FD(), w.Buffer)
			arrive <- struct{}{}
			<-leave
			return Wait
		})
	}
	for round := range 500 {
		for i, l := range links {
			if (round+i)%2 == 0 {
				l.Call()
			} else {
				send(t, l.peer, 'x')
			}
		}
		for range workers {
			await(t, arrive, "all workers run at once")
		}
		for range workers {
			leave <- struct{}{}
		}
		// The edge of a byte may come after the run that has read it.
		eventually(t, "all come to rest", func() bool {
			rest := true
			for _, l := range links {
				rest = rest && !l.has(scheduled)
			}
			return rest
		})
	}
}

// Close runs what was queued, and what runs may go on meanwhile.
func TestCloseRunsWhatIsQueued(t *testing.T) {
	const queued = 50
	p, err := New(Config{Reactors: 2, Workers: 2, Help: -1, OnError: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	entered, proceed := make(chan struct{}), make(chan struct{})
	var runs atomic.Int64
	var links []*link
	add := func(ready func(*link, *Worker, Events) Next) {
		own, peer := pair(t)
		t.Cleanup(func() { unix.Close(peer) })
		l := &link{peer: peer, ready: ready, done: make(chan struct{})}
		if err := p.Register(&l.Registration, own, l); err != nil {
			t.Fatal(err)
		}
		l.Call()
		links = append(links, l)
	}
	for range 2 {
		add(func(l *link, _ *Worker, _ Events) Next {
			entered <- struct{}{}
			<-proceed
			return l.shut()
		})
		await(t, entered, "a worker is busy")
	}
	for range queued {
		again := 3
		add(func(l *link, _ *Worker, _ Events) Next {
			if again--; again > 0 {
				return Again
			}
			runs.Add(1)
			return l.shut()
		})
	}
	var closers sync.WaitGroup
	for range 2 { // a second Close waits for the first
		closers.Go(func() {
			if err := p.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if n := runs.Load(); n != queued {
				t.Errorf("Close returned after %d of %d queued registrations", n, queued)
			}
		})
	}
	eventually(t, "Close waits for the workers", func() bool {
		p.pool.mu.Lock()
		defer p.pool.mu.Unlock()
		return p.pool.closed
	})
	close(proceed)
	closers.Wait()
	for _, l := range links {
		await(t, l.done, "the registration has closed itself")
	}

	var late link
	own, peer := pair(t)
	defer unix.Close(own)
	defer unix.Close(peer)
	if err := p.Register(&late.Registration, own, &late); !errors.Is(err, ErrClosed) {
		t.Errorf("Register after Close: %v, want ErrClosed", err)
	}
	if _, err := p.Listen("127.0.0.1:0", ListenerConfig{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Listen after Close: %v, want ErrClosed", err)
	}
}

// Register may find the poller open and its epoll instance closed.
func TestRegisterDuringClose(t *testing.T) {
	p, err := New(Config{Reactors: 1, Workers: 1, OnError: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.reactors[0].epoll.Close(); err != nil { // Close has come this far
		t.Fatal(err)
	}
	own, peer := pair(t)
	defer unix.Close(own)
	defer unix.Close(peer)
	l := &link{ready: ignore}
	if err := p.Register(&l.Registration, own, l); !errors.Is(err, ErrClosed) {
		t.Errorf("Register during Close: %v, want ErrClosed", err)
	}
	p.pool.close()
}
