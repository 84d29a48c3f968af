package agent

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/claudemesh/claudemesh-go/peer"
)

const (
	// maxRings is how often in a row a bell that is not answered rings again.
	maxRings = 3
	// maxCounted is how many messages of a mesh a bell counts.
	maxCounted = 99
	// silence is how long no hook ran and no tool was called before a working
	// session counts as idle.
	silence = 90 * time.Second
	// lookEvery is how often a working session is looked at for that, and for an
	// interruption, which runs no hook: Esc stands in the transcript alone.
	lookEvery = 2 * time.Second
	// onlineFor is how long the first hook of a session waits for what waits.
	onlineFor = 700 * time.Millisecond
)

// bells is when a session is rung for, and how often. server.mu guards it.
type bells struct {
	number  int // of bells so far; stands in the next one
	rung    int // in a row without an answer
	waiting int // when it rang last
	// waiter is answered when a bell is due; nil: nobody waits.
	waiter chan string
	// working and heard are what the hooks last said, and when.
	working bool
	heard   time.Time
	look    *time.Timer // after lookEvery, while working
	// hooked: a hook ran, so this client has them.
	hooked bool
	// transcript is where the client writes the session down.
	transcript string
}

// bellEnd ends every bell.
const bellEnd = "Call check_messages."

// bellText is all that a bell says: fixed words and numbers, never a byte that
// a peer wrote, since clients hand it on in the system's or the user's voice.
func bellText(messages, asks, number int) string {
	what := ""
	switch {
	case asks == messages:
		what = count(asks, "question waits", "questions wait")
	case asks == 0:
		what = count(messages, "message waits", "messages wait")
	default:
		what = count(messages, "message waits", "messages wait") + ", " + count(asks, "question", "questions") + " among them"
	}
	return fmt.Sprintf("claudemesh: %s (#%d). %s", what, number, bellEnd)
}

// ringLocked returns the bell for what may be shown to the session now, "" where
// nothing waits or it rang often enough. At a boundary of the session (a hook)
// it rings again for what was not answered; between two only for what is new.
// s.ringing is held: what was counted before must not be judged after what was
// counted later.
func (s *server) ringLocked(ctx context.Context, boundary bool) string {
	messages, asks := 0, 0
	for _, p := range s.online() {
		// Peek decides anew; the counts may still be those of the status before.
		inbox, err := p.Peek(ctx, peer.TakeOptions{Max: maxCounted})
		if err != nil {
			s.options.Logger.Warn("count what waits", "error", err)
			continue
		}
		for _, m := range inbox.Messages {
			switch m.Kind {
			case peer.Notice: // informs, rings nobody
				continue
			case peer.Ask:
				asks++
			}
			messages++
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	messages += len(s.notices)
	b := &s.bells
	fresh := messages > b.waiting
	if fresh {
		b.rung = 0
	}
	b.waiting = messages
	if messages == 0 || b.rung >= maxRings || !boundary && !fresh && b.rung > 0 {
		return ""
	}
	b.rung++
	b.number++
	return bellText(messages, asks, b.number)
}

// answered notes that the agent looked.
func (s *server) answered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bells.rung, s.bells.waiting = 0, 0
	s.hearLocked()
}

// hearLocked notes a sign of life of the session.
func (s *server) hearLocked() { s.bells.heard = time.Now() }

// control answers what the client's hooks, its waiter and its status line ask.
func (s *server) control(ctx context.Context, r request) answer {
	switch r.Op {
	case opHook:
		return answer{Bell: s.hook(ctx, r)}
	case opWait:
		return answer{Bell: s.wait(ctx)}
	case opLine:
		return answer{Line: s.line(ctx)}
	}
	return answer{}
}

// hook follows the session by the events of its client, and returns the bell
// that this boundary is to ring.
func (s *server) hook(ctx context.Context, r request) string {
	if _, err := s.peers(ctx); err != nil {
		s.options.Logger.Warn("not online", "error", err)
		return ""
	}
	s.mu.Lock()
	s.bells.hooked = true
	if r.Transcript != "" {
		s.bells.transcript = r.Transcript
	}
	s.hearLocked()
	s.mu.Unlock()
	switch r.Event {
	case "SessionStart":
		s.setWorking(ctx, false)
		if r.Attended {
			return "" // the waiter rings, also before the first prompt
		}
		s.drained(ctx, onlineFor)
	case "UserPromptSubmit":
		s.proof(ctx)
		if r.Human {
			s.humanTurn()
			s.mu.Lock()
			s.bells.rung = 0
			s.mu.Unlock()
		}
		s.ringing.Lock()
		defer s.ringing.Unlock()
		bell := ""
		if !r.Rung { // else it is what woke the session
			bell = s.ringLocked(ctx, true) // before the session counts as working
		}
		s.setWorking(ctx, true)
		return bell
	case "PostToolUse", "PostToolBatch":
		s.setWorking(ctx, true)
	case "Stop":
		s.proveSoon(ctx)
		s.ringing.Lock() // lest the waiter rings beside this
		defer s.ringing.Unlock()
		s.setWorking(ctx, false)
		bell := s.ringLocked(ctx, true)
		if bell != "" {
			s.setWorking(ctx, true) // the turn goes on
		}
		return bell
	case "StopFailure":
		s.setWorking(ctx, false)
		s.wake(ctx)
		return ""
	default:
		return ""
	}
	s.ringing.Lock()
	defer s.ringing.Unlock()
	return s.ringLocked(ctx, true)
}

// ours begin what UserPromptSubmit brings when no human typed it: wrappers of
// the client, and our own bell.
var ours = []string{"<task-notification", "<cross-session-message", "<system-reminder", "[SYSTEM NOTIFICATION", "claudemesh:"}

// fromClient tells whether a prompt is the client's own and no human's.
func fromClient(prompt string) bool {
	prompt = strings.TrimSpace(prompt)
	for _, o := range ours {
		if strings.HasPrefix(prompt, o) {
			return true
		}
	}
	return false
}

// setWorking tells the members what the session does, which also decides what
// may be shown unasked.
func (s *server) setWorking(ctx context.Context, working bool) {
	s.mu.Lock()
	b := &s.bells
	changed := b.working != working
	b.working = working
	if b.look == nil {
		b.look = time.AfterFunc(lookEvery, s.lookAtWork)
	}
	if working {
		b.look.Reset(lookEvery)
	} else {
		b.look.Stop()
	}
	s.mu.Unlock()
	if !changed {
		return
	}
	status := peer.Idle
	if working {
		status = peer.Working
	}
	for _, p := range s.online() {
		if err := p.SetStatus(ctx, status); err != nil {
			s.options.Logger.Warn("set the status", "error", err)
		}
	}
}

// lookAtWork takes a session that was silent for long, or was interrupted, as
// idle, and looks again later at any other.
func (s *server) lookAtWork() {
	s.mu.Lock()
	path, silent := s.bells.transcript, time.Since(s.bells.heard) >= silence
	ended := s.closed || !s.bells.working
	s.mu.Unlock()
	if ended {
		return
	}
	stopped := silent
	if !silent && path != "" {
		var err error
		if stopped, err = interrupted(path); err != nil {
			s.options.Logger.Debug("look for an interruption", "error", err)
		}
	}
	if stopped {
		s.setWorking(s.life, false)
		s.wake(s.life)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && s.bells.working {
		s.bells.look.Reset(lookEvery)
	}
}

// wait blocks until a bell is due for an idle session. A later waiter takes the
// place of an earlier one, which gets nothing.
func (s *server) wait(ctx context.Context) string {
	if _, err := s.peers(ctx); err != nil { // the next hook or tool call tries again
		s.options.Logger.Warn("not online", "error", err)
	}
	mine := make(chan string, 1)
	s.mu.Lock()
	if before := s.bells.waiter; before != nil {
		close(before)
	}
	s.bells.waiter = mine
	s.mu.Unlock()
	s.wake(ctx)
	select {
	case bell := <-mine:
		return bell
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bells.waiter == mine {
		s.bells.waiter = nil
	}
	return ""
}

// wake rings an idle session, if something is due: through the waiter, else
// through the inbox socket. A working one is rung for by the hook at the next
// boundary; a waiter would ring beside it.
func (s *server) wake(ctx context.Context) {
	s.ringing.Lock()
	defer s.ringing.Unlock()
	s.mu.Lock()
	waits, working := s.bells.waiter != nil, s.bells.working && s.bells.hooked
	s.mu.Unlock()
	switch {
	case working:
		return
	case !waits:
		s.wakeBySocket(ctx)
		return
	}
	bell := s.ringLocked(ctx, false)
	if bell == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.bells.waiter; w != nil {
		s.bells.waiter = nil
		w <- bell
	}
}

// follow wakes the session whenever something came for it, until events end.
func (s *server) follow(events <-chan peer.SetEvent) {
	for e := range events {
		if e.Kind == peer.EventMessage {
			s.wake(s.life)
		}
	}
}

// line is what the status line shows: the meshes, how many are online and how
// many messages wait or are held, and whether the loop guard stopped it. Fixed
// words, numbers, and names of this profile's own choosing.
func (s *server) line(ctx context.Context) string {
	var parts []string
	for _, p := range s.online() {
		c, err := p.Counts(ctx)
		if err != nil {
			continue
		}
		part := p.Self().MeshName
		if state := p.Condition().State; state != peer.Online {
			part += " " + string(state)
		} else {
			part += fmt.Sprintf(" %d online", c.Online)
		}
		if n := c.Waiting + c.Later; n > 0 {
			part += fmt.Sprintf(" · %d waiting", n)
		}
		if c.Held > 0 {
			part += fmt.Sprintf(" · %d held", c.Held)
		}
		if c.Stopped {
			part += " · stopped by the loop guard"
		}
		if c.Requests > 0 {
			part += fmt.Sprintf(" · %d to admit", c.Requests)
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return ""
	}
	return "⌁ " + strings.Join(parts, " | ")
}
