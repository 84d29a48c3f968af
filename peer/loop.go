package peer

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/claudemesh/claudemesh-go/config"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
)

// loopWithin is how long back messages between a pair are counted.
const loopWithin = 10 * time.Minute

// loopGuard stops agents that answer each other without a human. It knows what was
// shown to this session since the last human's turn, and what was sent since. Its
// lock is a leaf.
type loopGuard struct {
	mu sync.Mutex
	// human: there was a human's turn in this session.
	human bool
	// deepest is the depth of the deepest message shown since; -1: none was.
	deepest int
	// sent are the times of automatic messages, Unix ms, the oldest first.
	sent map[loopPair][]int64
	// told are those who know already that the guard stopped this session.
	told map[keys.Public]bool
	// said are the sentences that the user was told since.
	said []string
	// stopped: this guard, or that of a peer that says so, stopped a conversation since.
	stopped bool
}

// loopPair is whom this session writes to.
type loopPair struct {
	key     keys.Public
	session keys.SessionID // zero: any
}

// HumanTurn says that a human has just spoken to this session's agent: what is sent
// from now on is that human's doing, and the loop guard counts anew. For single
// messages that a human wrote there is [SendOptions.Human].
func (p *Peer) HumanTurn() {
	p.loop.mu.Lock()
	p.loop.human, p.loop.deepest = true, -1
	clear(p.loop.sent)
	p.loop.mu.Unlock()
	p.tellAnew()
}

// tellAnew has both sides told again if the guard stops this session again.
func (p *Peer) tellAnew() {
	p.loop.mu.Lock()
	said := p.loop.said
	p.loop.said, p.loop.stopped = nil, false
	clear(p.loop.told)
	p.loop.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, sentence := range said {
		delete(p.warned, sentence)
	}
}

// shown notes what an agent is shown. Notices count for nothing, but for one by
// which another's guard says that it stopped: it is not answered by another.
func (g *loopGuard) shown(m *Message, bound int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if m.Kind != Notice {
		g.deepest = max(g.deepest, m.Depth)
		return
	}
	if bound > 0 && m.Depth > bound {
		g.tellLocked(m.From.Key)
	}
}

// noticed notes, of a notice that waits, whether another's guard says by it that it
// stopped.
func (g *loopGuard) noticed(depth, bound int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopped = g.stopped || bound > 0 && depth > bound
}

// isStopped tells whether a conversation was stopped since the last human's turn.
func (g *loopGuard) isStopped() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.stopped
}

// turn begins anew with one message: for programs that deal with one at a time, and
// know nothing of those before.
func (p *Peer) turn(m *Message) {
	p.loop.mu.Lock()
	p.loop.deepest = m.Depth
	p.loop.mu.Unlock()
	if m.Depth == 0 && m.Kind != Notice {
		p.tellAnew() // a human's doing, or a program's that nobody answered
	}
}

// next is the depth of what is sent now.
func (g *loopGuard) next() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.deepest + 1
}

// after is the depth of a reply. A session that knows of no human goes by the
// message itself too, which another process may have shown.
func (g *loopGuard) after(m *Message) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.human {
		return g.deepest + 1
	}
	return max(g.deepest, m.Depth) + 1
}

// tellLocked notes that a peer knows, and reports whether that is news.
func (g *loopGuard) tellLocked(key keys.Public) bool {
	if g.told[key] {
		return false
	}
	if g.told == nil {
		g.told = make(map[keys.Public]bool)
	}
	g.told[key] = true
	return true
}

// count counts an automatic message to a pair, unless as many as bound were sent in
// the time that counts.
func (g *loopGuard) count(t int64, to loopPair, bound int) (full bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	times := g.sent[to]
	times = slices.DeleteFunc(times, func(at int64) bool { return at <= t-loopWithin.Milliseconds() })
	if full = bound > 0 && len(times) >= bound; !full {
		times = append(times, t)
	}
	if g.sent == nil {
		g.sent = make(map[loopPair][]int64)
	}
	g.sent[to] = times
	return full
}

// exempt tells whether a kind is beyond the guard's bounds: what needs no answer.
func exempt(k Kind) bool { return k == Notice || k == Decline }

// guard gives what is sent its depth, and refuses what is past a bound: LoopError.
// Both sides' users are told, once until a human has spoken.
// [CM-8.37, CM-8.38]
func (p *Peer) guard(t *target, o *SendOptions, settings *config.Config) error {
	if o.Human {
		o.Depth = 0
		return nil
	}
	o.Depth = max(o.Depth, p.loop.next())
	if o.Depth == 0 || exempt(o.Kind) {
		return nil
	}
	depth, pair := settings.LoopGuard.Bounds()
	stop := &LoopError{With: t.address, Depth: o.Depth - 1}
	over := depth > 0 && o.Depth > depth
	if !over && len(t.to) == 1 {
		stop.Depth, stop.Count = 0, pair
		over = p.loop.count(p.steady(), loopPair{t.to[0].Key, t.session}, pair)
	}
	if !over {
		return nil
	}
	p.stopped(t, o, stop)
	return stop
}

// stopped tells both sides that the guard stopped this session, and counts it.
func (p *Peer) stopped(t *target, o *SendOptions, stop *LoopError) {
	sentence := stop.Error()
	p.loop.mu.Lock()
	p.loop.stopped = true
	if !slices.Contains(p.loop.said, sentence) {
		p.loop.said = append(p.loop.said, sentence)
	}
	told := &target{address: t.address, session: t.session, label: t.label}
	if len(t.to) == 1 && p.loop.tellLocked(t.to[0].Key) {
		told.to = t.to
	}
	p.loop.mu.Unlock()
	p.warn(sentence)
	err := p.home.state.Update(p.ctx, p.mesh, func(tx *profile.Tx) error {
		stops, err := loopStops(tx)
		if err != nil {
			return err
		}
		stops.Count, stops.Last, stops.With = stops.Count+1, p.now(), t.address
		raw, err := json.Marshal(stops)
		if err != nil {
			return err
		}
		return tx.SetValue(loopValue, string(raw))
	})
	if err == nil && len(told.to) > 0 {
		_, err = p.sendTo(p.ctx, told, stop.notice(), SendOptions{Kind: Notice, ReplyTo: o.ReplyTo, Thread: o.Thread, Depth: o.Depth, NoWait: true}, nil)
	}
	if err != nil && p.ctx.Err() == nil {
		p.home.log.Warn("telling that the loop guard stopped this session", "mesh", p.alias, "err", err)
	}
}

// loopValue is where state.db keeps how often the guard stopped this peer.
const loopValue = "loop_stops"

// loopCount is that value.
type loopCount struct {
	Count int    `json:"count"`
	Last  int64  `json:"last"`
	With  string `json:"with"`
}

// loopStops reads it.
func loopStops(tx *profile.Tx) (c loopCount, err error) {
	raw, err := tx.Value(loopValue)
	if err != nil || raw == "" {
		return c, err
	}
	return c, json.Unmarshal([]byte(raw), &c)
}

// LoopFact is what the loop guard did in this profile.
type LoopFact struct {
	// Depth and Pair are the bounds: replies in a chain, and messages to one peer in
	// ten minutes, without a human. 0: off.
	Depth, Pair int
	// Stops is how often it stopped a session, Last when it last did, and With whom.
	Stops int
	Last  time.Time
	With  string
	// Automatic is how many messages without a human went out in the last ten
	// minutes, and Deepest the longest chain that one of them ended. Known where the
	// history is kept.
	Automatic, Deepest int
}

// loopFact reads it.
func (p *Peer) loopFact(tx *profile.Tx, settings *config.Config) (f LoopFact, err error) {
	f.Depth, f.Pair = settings.LoopGuard.Bounds()
	stops, err := loopStops(tx)
	if err != nil {
		return f, err
	}
	f.Stops, f.Last, f.With = stops.Count, timeOf(stops.Last), stops.With
	f.Automatic, f.Deepest, err = tx.CountAutomatic(p.now() - loopWithin.Milliseconds())
	return f, err
}

// LoopError: the loop guard refused a message: agents answer each other and no human
// has spoken. Nothing was sent.
type LoopError struct {
	With string // address
	// Depth is how many automatic replies led here, where that is the reason; else 0.
	Depth int
	// Count is how many messages went to With in ten minutes, where that is the
	// reason.
	Count int
}

// Error is the sentence.
func (e *LoopError) Error() string {
	if e.Count > 0 {
		return fmt.Sprintf("the loop guard stopped this: %d messages to %s in ten minutes without a human. Not sent; tell your user, whose next word lets it go on.", e.Count, e.With)
	}
	return fmt.Sprintf("the loop guard stopped this: %d automatic replies in a row without a human. Not sent to %s; tell your user, whose next word lets it go on.", e.Depth, e.With)
}

// notice is what the other side is told.
func (e *LoopError) notice() string {
	if e.Count > 0 {
		return fmt.Sprintf("The loop guard here stopped the agent: it sent you %d messages in ten minutes without a human. It goes on when its user says something.", e.Count)
	}
	return fmt.Sprintf("The loop guard here stopped the agent: %d automatic replies in a row without a human. It goes on when its user says something.", e.Depth)
}

// Class is ClassRefused.
func (e *LoopError) Class() Class { return ClassRefused }
