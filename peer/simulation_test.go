package peer_test

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/broker"
	"github.com/claudemesh/claudemesh-go/internal/history"
	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/store"
)

var (
	schedules = flag.Int("schedules", simSchedules, "how many schedules TestSimulation plays")
	firstSeed = flag.Uint64("seed", 1, "the first seed of TestSimulation")
	story     = flag.Bool("story", false, "print what happened in the schedule of -seed")
)

// failedOnce are the seeds of schedules that found something, with what it was. Those
// that are not newer draw what there was when they did.
var failedOnce = []struct {
	seed  uint64
	newer bool
	what  string
}{
	{1, false, "a direct message behind one for several, on one connection, was refused as malformed"},
	{5, false, "a process that did not know a sender yet put away for ever what another of its profile had taken"},
	{23, false, "a message for any one device that had expired was shown to its sender as pending"},
	{730229, true, "that a message was delivered got lost, and its sender took it for queued for ever"},
	{3080, true, "a recipient that was revoked had no device any more, as if any one could take the message"},
	{50000648, true, "the simulation itself: it took the policies back, and a session decided what had waited"},
}

// TestSimulation runs the real peers and the real broker through schedules of traffic
// and faults, each drawn from its seed: processes that are killed at any moment or at a
// commit of theirs, a broker that is, connections that break in the middle of a frame,
// full disks and queues, clocks that are wrong and are set meanwhile, policies, a device
// that is put out; several devices of a user, several processes of a profile; questions
// and answers. A [history.Log] checks what happens.
//
// A seed draws what is done and when. It cannot draw in which order goroutines run
// that could run at the same time, nor the pauses between two dials, nor keys and ids:
// a schedule that failed once fails often, not always, when it is played again.
//
//	go test ./peer -run TestSimulation -schedules 1000 -seed 1
//	go test ./peer -run TestSimulation -seed 17 -story
func TestSimulation(t *testing.T) {
	from := simFolder(t)
	simCreate(t, from)
	if *story {
		simPlay(t, from, *firstSeed, true)
		return
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	var next, sent, shown, marked atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for {
				n := next.Add(1) - 1
				if n >= int64(*schedules) || t.Failed() {
					return
				}
				a, b, c := simPlay(t, from, *firstSeed+uint64(n), true)
				sent.Add(int64(a))
				shown.Add(int64(b))
				marked.Add(int64(c))
			}
		})
	}
	workers.Wait()
	t.Logf("%d schedules from seed %d: %d messages, shown %d times, %d of them with a mark", *schedules, *firstSeed, sent.Load(), shown.Load(), marked.Load())
}

// TestSimulationsThatFailed plays the schedules that once found something.
func TestSimulationsThatFailed(t *testing.T) {
	from := simFolder(t)
	simCreate(t, from)
	for _, f := range failedOnce {
		if simPlay(t, from, f.seed, f.newer); t.Failed() {
			t.Fatalf("seed %d once found: %s", f.seed, f.what)
		}
	}
}

// simFolder is a new folder, in memory where the system has such: what is written there
// is as safe as the simulation wants it.
func simFolder(t *testing.T) string {
	t.Helper()
	const memory = "/dev/shm"
	in := ""
	if info, err := os.Stat(memory); err == nil && info.IsDir() {
		in = memory
	}
	dir, err := os.MkdirTemp(in, "sim")
	if err != nil {
		dir, err = os.MkdirTemp("", "sim")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// simCopy copies a folder of files that only their user may read.
func simCopy(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), data, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// simQuiet is for brokers of which nobody reads the log.
func simQuiet(o *broker.Options) { o.Logger = slog.New(slog.DiscardHandler) }

// simDevices are the devices of a simulated mesh. Alice has two.
var simDevices = [][2]string{{"alice", "laptop"}, {"alice", "desk"}, {"bob", "desk"}, {"carol", "mac"}}

// simCreate makes the mesh that all schedules begin with.
func simCreate(t *testing.T, dir string) {
	t.Helper()
	t.Run("create", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := meshtest.New(t, meshtest.Options{Dir: dir, Broker: simQuiet})
			defer m.Stop()
			alice := m.Create("alice", "laptop").Live("a")
			defer m.Close(alice)
			for _, d := range simDevices[1:] {
				m.Join(d[0], d[1])
			}
			meshtest.Pass(time.Second)
			asked, err := alice.Requests(t.Context())
			if err != nil || len(asked) != 1 {
				t.Fatalf("requests %v: %v", asked, err)
			}
			if in, err := alice.Admit(t.Context(), asked[0]); err != nil || !in {
				t.Fatalf("admitted %v: %v", in, err)
			}
			// They know all devices of alice. Her second one knows nobody yet.
			for _, d := range simDevices[2:] {
				m.Close(m.Machine(d[0], d[1]).Live("first"))
			}
		})
	})
}

// simulation is one schedule.
type simulation struct {
	seed     uint64
	t        *testing.T
	rng      *rand.Rand
	odd      *rand.Rand // draws what is newer than the first seeds; nil: nothing of it
	brief    *rand.Rand // draws what runs out soon, where much does
	mesh     *meshtest.Mesh
	log      history.Log
	faults   bool // go on
	machines []*simMachine
	living   []*simSession
	gone     sync.WaitGroup // sessions that are to end
	clocks   simClocks
	has      oddities
	released atomic.Bool // all policies are taken back
	number   int         // of the last message
	sessions int
}

// simMachine is a device.
type simMachine struct {
	*meshtest.Machine
	user, address string
	clock         simClock
}

// simPlay plays the schedule of a seed, on a copy of the mesh; newer: with what the first
// seeds did not draw.
func simPlay(t *testing.T, from string, seed uint64, newer bool) (sent, shown, marked int) {
	t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
		dir := simFolder(t)
		simCopy(t, from, dir)
		synctest.Test(t, func(t *testing.T) {
			s := &simulation{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0))}
			if newer {
				s.odd, s.brief = rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
			}
			s.faults = s.rng.IntN(6) > 0
			s.drawOdd()
			meshtest.Pass(time.Hour) // the mesh is made
			s.mesh = meshtest.New(t, meshtest.Options{Dir: dir, Broker: s.broker})
			for _, d := range simDevices {
				s.machines = append(s.machines, &simMachine{Machine: s.mesh.Machine(d[0], d[1]), user: d[0], address: d[0] + "@" + d[1]})
			}
			s.play()
			s.finish()
			sent, shown, marked = s.log.Counts()
			for _, b := range s.log.Broken() {
				s.broken("%s", b)
			}
			if *story || t.Failed() {
				t.Logf("the story of seed %d:\n%s", seed, s.log.Story())
			}
		})
	})
	return sent, shown, marked
}

// broker sets the broker's options.
func (s *simulation) broker(o *broker.Options) {
	simQuiet(o)
	o.Clock, o.Limits.Waiting = s.clocks.broker.now, s.has.limit
}

// simNow is the time, Unix ms.
func simNow() int64 { return time.Now().UnixMilli() }

func (s *simulation) chance(percent int) bool { return s.rng.IntN(100) < percent }

// note puts a line into the story.
func (s *simulation) note(format string, args ...any) {
	s.log.Note("%10d %s", simNow()%10_000_000_000, fmt.Sprintf(format, args...))
}

// fault puts something that goes wrong into the story.
func (s *simulation) fault(format string, args ...any) {
	s.log.Fault("%10d FAULT %s", simNow()%10_000_000_000, fmt.Sprintf(format, args...))
}

// play does what the seed draws.
func (s *simulation) play() {
	for range s.machines {
		s.open(s.anyMachine(), peer.Live)
	}
	for range 30 + s.rng.IntN(80) {
		s.reap()
		s.step()
		s.oddStep()
	}
}

// step does one thing.
func (s *simulation) step() {
	switch roll := s.rng.IntN(100); {
	case roll < 40:
		for range 1 + s.rng.IntN(3) {
			s.send()
		}
	case roll < 55:
		s.turn()
	case roll < 58:
		synctest.Wait()
	case roll < 70:
		s.pass(time.Duration(s.rng.IntN(50)) * time.Millisecond)
	case roll < 76:
		s.pass(time.Duration(s.rng.IntN(5000)) * time.Millisecond)
	case roll < 78:
		s.pass(time.Duration(30+s.rng.IntN(100)) * time.Second)
	case roll < 79:
		d := time.Duration(10+s.rng.IntN(60)) * time.Minute
		if s.odd != nil && s.odd.IntN(8) > 0 {
			d /= 20 // an hour of nothing costs more than all the rest, and finds less
		}
		s.pass(d)
	case roll < 86:
		s.open(s.anyMachine(), []peer.Receives{peer.Live, peer.Live, peer.Replies, peer.Drain}[s.rng.IntN(4)])
	case roll < 89:
		if x := s.any(); x != nil && !s.faults {
			s.quit(x)
		}
	default:
		if s.faults {
			s.harm()
		}
	}
}

// pass lets time pass.
func (s *simulation) pass(d time.Duration) {
	s.note("time passes: %v", d)
	<-time.After(d)
}

// harm does one bad thing.
func (s *simulation) harm() {
	switch roll := s.rng.IntN(20); {
	case roll < 5:
		if x := s.any(); x != nil {
			s.fault("%s is killed", x.name)
			x.process.Kill()
		}
	case roll < 9:
		if x := s.any(); x != nil {
			n, after := 1+s.rng.IntN(8), s.chance(50)
			s.fault("%s will be killed at commit %d, after it: %v", x.name, n, after)
			x.process.KillAt(n, after)
		}
	case roll < 12:
		nth, bytes, up := s.rng.IntN(16), s.rng.IntN(3000), s.chance(50)
		if s.mesh.Net.BreakAfter(nth, bytes, up) {
			s.fault("connection %d breaks after %d bytes, up: %v", nth, bytes, up)
		}
	case roll < 13:
		s.fault("all connections break")
		s.mesh.Net.Break()
	default:
		s.harmBroker()
	}
}

// harmBroker does something bad to the broker, or ends that it is away.
func (s *simulation) harmBroker() {
	if s.mesh.Broker() == nil {
		s.startBroker()
		return
	}
	switch roll := s.rng.IntN(8); {
	case roll < 2 && !s.mesh.Process().Narrowed():
		s.fault("the broker is stopped")
		s.mesh.Stop()
	case roll < 5:
		s.fault("the broker is killed")
		s.mesh.Kill()
	default:
		n, after := 1+s.rng.IntN(6), s.chance(50)
		s.fault("the broker will be killed at commit %d, after it: %v", n, after)
		s.mesh.Process().KillAt(n, after)
	}
	if s.chance(50) {
		s.startBroker()
	}
}

// startBroker starts the broker, unless it runs.
func (s *simulation) startBroker() {
	s.reap()
	if s.mesh.Broker() != nil {
		return
	}
	process := s.mesh.Net.Process()
	s.note("the broker starts")
	s.log.Restarted()
	if s.faults && s.chance(10) {
		pages := 1 + s.rng.IntN(30)
		s.fault("its disk has room for %d pages", pages)
		process.Narrow(pages)
	}
	if err := s.mesh.StartIn(process); errors.Is(err, store.ErrFull) {
		s.note("the broker does not start: %v", err)
	} else if err != nil {
		s.t.Fatalf("start the broker: %v", err)
	}
}

// reap lets go of what was killed by a commit of its own.
func (s *simulation) reap() {
	if s.mesh.Broker() != nil && s.mesh.Process().Killed() {
		s.mesh.Kill()
	}
	for _, x := range slices.Clone(s.living) {
		if x.process.Killed() {
			s.note("%s is dead", x.name)
			s.leave(x)
		}
	}
}

func (s *simulation) anyMachine() *simMachine { return s.machines[s.rng.IntN(len(s.machines))] }

// any is any living session, nil where there is none.
func (s *simulation) any() *simSession {
	if len(s.living) == 0 {
		return nil
	}
	return s.living[s.rng.IntN(len(s.living))]
}

// finish ends all faults, waits until all came to rest, and checks that nothing was
// lost.
func (s *simulation) finish() {
	s.note("the faults end")
	s.mesh.Process().KillAt(0, false)
	for _, x := range s.living {
		x.process.KillAt(0, false)
	}
	s.reap()
	s.faults = false
	s.rightClocks()
	if s.mesh.Broker() != nil && s.mesh.Process().Narrowed() {
		s.mesh.Kill()
	}
	s.startBroker()
	meshtest.Pass(time.Duration(s.rng.IntN(40)) * time.Second) // those that are left go on for a while
	stay := s.odd != nil && s.odd.IntN(2) == 0
	for _, x := range slices.Clone(s.living) {
		if !stay || x.receives != peer.Live || x.process.Narrowed() || x.machine == s.has.out {
			s.quit(x)
		}
	}
	s.gone.Wait()
	s.rest()
	if ahead := s.clocks.high; ahead > 0 { // what was dated ahead waits for its time
		s.quitAll()
		s.mesh.Stop()
		s.pass(ahead)
		s.startBroker()
		s.rest()
	}
	meshtest.Pass(10 * time.Second) // receipts
	s.know()
	s.empty()
	if len(s.log.Waiting(simNow()))+len(s.log.Untold(simNow())) > 0 {
		s.dump()
	}
	s.settle()
	s.quitAll()
	s.mesh.Stop()
	for _, untold := range s.log.Untold(simNow()) {
		s.broken("%s, and was seen", untold)
	}
}

// settle waits until the broker has given up what nobody took, and checks that senders
// know and that it keeps nothing. Where clocks differ, senders and broker do not agree on
// when that is; what waits for a device that was put out, or found no room, is told of
// otherwise.
func (s *simulation) settle() {
	if s.has.clocks || s.has.out != nil || s.has.limit > 0 {
		return
	}
	meshtest.Pass(12 * time.Minute) // ten for what is out, and a sweep
	for _, m := range s.machines {  // what they were told or found out: nobody is asked any more
		p := m.Open(peer.WithClock(peer.Options{Offline: true, Logger: s.logger(m.address)}, m.clock.now))
		s.knownTo(p)
		s.mesh.Close(p)
	}
	for _, unsettled := range s.log.Unsettled(simNow()) {
		s.broken("%s", unsettled)
	}
	if left := s.mesh.Metric("claudemesh_queue_messages"); left != "0" {
		s.broken("%s messages and receipts wait at the broker in the end", left)
	}
}

// quitAll has all sessions quit.
func (s *simulation) quitAll() {
	for _, x := range slices.Clone(s.living) {
		s.quit(x)
	}
	s.gone.Wait()
}

// rest opens a session on each machine, and waits until everything was shown that has
// to be.
func (s *simulation) rest() {
	for _, m := range s.machines {
		if m != s.has.out {
			s.openAs(m, peer.Live, false)
		}
	}
	for round := range 40 {
		pause := 5 * time.Second // most is shown at once; what waits for others waits a minute
		if round > 2 {
			pause = 30 * time.Second
		}
		meshtest.Pass(pause)
		if round == 0 {
			s.release()
		}
		for _, x := range s.living {
			if x.receives != peer.Replies && !x.handles {
				x.take(peer.TakeOptions{Asked: true, Elsewhere: round > 2}, simSee) // handlers are given nothing of low priority
			}
		}
		meshtest.Pass(pause)
		if len(s.log.Waiting(simNow())) > 0 {
			s.know() // why some are not shown
		}
		if len(s.log.Waiting(simNow())) == 0 {
			return
		}
	}
	for _, lost := range s.log.Waiting(simNow()) {
		s.broken("%s is lost", lost)
	}
}

// broken fails the schedule.
func (s *simulation) broken(format string, args ...any) {
	s.t.Errorf("seed %d: %s", s.seed, fmt.Sprintf(format, args...))
}

// dump puts what stands in the inboxes into the story.
func (s *simulation) dump() {
	for _, x := range s.living {
		rows, err := x.p.Rows(s.t.Context())
		s.note("%s, %s: %v", x.name, x.p.Self().Session, err)
		for _, row := range rows {
			s.note("%s", row)
		}
	}
}

// know compares what every sender knows in the end.
func (s *simulation) know() {
	for _, m := range s.machines {
		if m == s.has.out {
			continue
		}
		i := slices.IndexFunc(s.living, func(x *simSession) bool { return x.machine == m })
		s.knownTo(s.living[i].p)
	}
}

// knownTo tells the log what is known of all messages that a profile sent.
func (s *simulation) knownTo(p *peer.Peer) {
	turns, err := p.History(s.t.Context(), peer.HistoryQuery{Max: 10_000})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, turn := range turns {
		if !turn.Outgoing {
			continue
		}
		trace, err := p.Message(s.t.Context(), turn.ID.String())
		if err != nil {
			s.t.Fatal(err)
		}
		s.knows(turn.Body, trace.To)
	}
}

// empty checks that nothing is left to be sent.
func (s *simulation) empty() {
	for _, x := range s.living {
		unsent, err := x.p.Unsent(s.t.Context())
		if err != nil || len(unsent) > 0 {
			s.broken("%s has not sent %d messages in the end: %v", x.name, len(unsent), err)
		}
	}
}

// knows tells the log what a sender knows of a message.
func (s *simulation) knows(body string, to []peer.Recipient) {
	for _, r := range to {
		var steps []history.State
		for _, step := range r.Steps {
			steps = append(steps, history.State(step.State))
		}
		if r.Device == "" { // any one of several may still take it
			for _, m := range s.machines {
				if m.user == r.User {
					s.log.Known(simNow(), body, m.address, r.Why, steps...)
				}
			}
			continue
		}
		s.log.Known(simNow(), body, r.User+"@"+r.Device, r.Why, steps...)
	}
}

// logger is a session's log: nothing, but for a story.
func (s *simulation) logger(who string) *slog.Logger {
	if !*story {
		return slog.New(slog.DiscardHandler)
	}
	return s.mesh.Logger(who)
}
