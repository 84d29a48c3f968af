package peer_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/history"
	"github.com/claudemesh/claudemesh-go/peer"
)

// oddities are what a schedule may have beside its traffic and faults.
type oddities struct {
	clocks   bool // are wrong, and set
	policies bool // hold and refuse, set and taken back
	words    bool // answers, questions, sessions by their labels, everybody
	revoke   bool // a device is put out
	tight    bool // disks are nearly full more often
	brief    bool // much runs out soon
	limit    int  // messages that a queue at the broker holds; 0: as many as ever

	out      *simMachine // that is put out
	answered atomic.Int64
}

// drawOdd draws what a schedule has.
func (s *simulation) drawOdd() {
	if s.odd == nil {
		return
	}
	one := func(in int) bool { return s.odd.IntN(in) == 0 }
	if s.has.words = one(2); s.has.words {
		s.fault("answers for which somebody waits overtake what waits") // so marks are in order
	}
	if !s.faults {
		return
	}
	s.has.clocks, s.has.policies, s.has.revoke, s.has.tight = one(3), one(3), one(6), one(4)
	if one(6) {
		s.has.limit = 1 + s.odd.IntN(12)
		s.fault("a queue holds %d messages", s.has.limit)
	}
	s.has.brief = s.brief.IntN(3) == 0
}

// oddStep does one of these, if any.
func (s *simulation) oddStep() {
	if s.odd == nil {
		return
	}
	switch roll := s.odd.IntN(100); {
	case roll < 10 && s.has.clocks:
		s.setClock()
	case roll < 15 && s.has.policies:
		s.setPolicy([]peer.Policy{peer.Hold, peer.Hold, peer.Refuse, peer.Accept, peer.Accept}[s.odd.IntN(5)])
	case roll < 25 && s.has.words:
		s.sendByLabel()
	case roll < 30 && s.has.words:
		s.ask()
	case roll < 32 && s.has.words:
		s.sendToAll()
	case roll < 34 && s.has.revoke && s.has.out == nil:
		s.putOut()
	}
}

// oddSession is any living session, nil where there is none.
func (s *simulation) oddSession() *simSession {
	if len(s.living) == 0 {
		return nil
	}
	return s.living[s.odd.IntN(len(s.living))]
}

// setPolicy has a user decide about another.
func (s *simulation) setPolicy(policy peer.Policy) {
	x, of := s.oddSession(), s.machines[s.odd.IntN(len(s.machines))]
	if x == nil || of.user == x.machine.user {
		return
	}
	s.fault("%s will %s what %s sends", x.machine.address, policy, of.user)
	for _, m := range s.machines {
		if m.user == of.user {
			s.log.MayKeep(x.machine.address, m.address)
		}
	}
	x.do(x.sending, func() {
		x.setPolicy(of.user, policy)
		if s.released.Load() { // it had to wait for what this session does one after the other
			x.setPolicy(of.user, peer.Accept)
		}
	})
}

func (x *simSession) setPolicy(who string, policy peer.Policy) {
	if err := x.p.SetPolicy(x.ctx, who, policy); err != nil && x.ctx.Err() == nil {
		x.s.note("%s cannot %s %s: %v", x.name, policy, who, err)
	}
}

// release takes all policies back.
func (s *simulation) release() {
	if !s.has.policies {
		return
	}
	s.released.Store(true)
	for _, m := range s.machines {
		for _, of := range s.machines {
			if m.user == of.user || m == s.has.out {
				continue
			}
			// What one session decides holds for all of its profile; another may not have
			// come back to the broker yet, and never have heard of m.
			var errs []error
			for _, x := range s.living {
				if x.machine == of {
					errs = append(errs, x.p.SetPolicy(x.ctx, m.user, peer.Accept))
				}
			}
			if len(errs) > 0 && !slices.Contains(errs, nil) {
				s.broken("%s cannot accept %s: %v", of.address, m.user, errors.Join(errs...))
			}
		}
	}
	s.log.Released()
}

// sendByLabel writes to a session by its label.
func (s *simulation) sendByLabel() {
	x, y := s.oddSession(), s.oddSession()
	if x == nil || x == y {
		return
	}
	s.number++
	body, o := fmt.Sprint("m", s.number), s.oddOptions()
	to := simAddress{text: y.machine.address + "/" + y.p.Self().Label, to: []string{y.machine.address}, unordered: true}
	x.do(x.sending, func() { x.send(to, body, o) })
}

// sendToAll writes to everybody.
func (s *simulation) sendToAll() {
	x := s.oddSession()
	if x == nil {
		return
	}
	to := simAddress{text: "*", unordered: true} // whom it knows
	for _, m := range s.machines {
		if m != x.machine {
			to.to = append(to.to, m.address)
		}
	}
	s.number++
	body, o := fmt.Sprint("m", s.number), s.oddOptions()
	x.do(x.sending, func() { x.send(to, body, o) })
}

func (s *simulation) oddOptions() peer.SendOptions {
	return peer.SendOptions{Human: true, NoWait: s.odd.IntN(2) == 0, SeenWait: -1,
		Priority: []peer.Priority{peer.Now, peer.Next, peer.Low}[s.odd.IntN(3)]}
}

// ask has a session ask a question and wait for the answer.
func (s *simulation) ask() {
	x, y := s.oddSession(), s.machines[s.odd.IntN(len(s.machines))]
	if x == nil || x.machine == y {
		return
	}
	s.number++
	body, wait := fmt.Sprint("m", s.number, "?"), time.Duration(1+s.odd.IntN(40))*time.Second
	x.do(x.sending, func() { x.ask(y.address, body, wait) })
}

func (x *simSession) ask(to, body string, wait time.Duration) {
	m := history.Message{ID: body, From: x.machine.address, To: []string{to}, Stream: x.stream(simAddress{text: to}, peer.Next)}
	if !x.begin(m) {
		return
	}
	began := time.Now()
	answer, err := x.p.Ask(x.ctx, to, body, peer.AskOptions{Timeout: wait})
	answer.Question.To = nil // another process may know more by now
	x.sent(body, answer.Question, began, err)
	if err != nil {
		return
	}
	if x.process.Alive(func() { x.shown(answer.Message, began) }) && x.p.Seen(x.ctx, answer.Message) == nil {
		x.process.Alive(func() { x.proved([]peer.Message{answer.Message}) })
	}
}

// answer has a session answer some of what it shows.
func (x *simSession) answer(m peer.Message) {
	s := x.s
	n := s.has.answered.Add(1)
	if !s.has.words || strings.Count(m.Body, "'") > 1 || n%3 == 0 {
		return
	}
	body := fmt.Sprint(m.Body, "'", n)
	x.do(x.sending, func() {
		if !x.begin(history.Message{ID: body, From: x.machine.address, To: []string{m.From.User + "@" + m.From.Device}}) {
			return
		}
		began := time.Now()
		var sent peer.Sent
		var err error
		if o := (peer.SendOptions{Human: true, NoWait: n%2 == 0, SeenWait: -1}); m.Kind == peer.Ask && n%5 == 0 {
			sent, err = x.p.Decline(x.ctx, m, body, o)
		} else {
			sent, err = x.p.Reply(x.ctx, m, body, o)
		}
		x.sent(body, sent, began, err)
	})
}

// putOut has alice, who may, revoke a device.
func (s *simulation) putOut() {
	i := slices.IndexFunc(s.living, func(x *simSession) bool { return x.machine == s.machines[0] })
	if i < 0 {
		return
	}
	x, out := s.living[i], s.machines[1+s.odd.IntN(len(s.machines)-1)]
	s.has.out = out
	s.fault("%s is put out", out.address)
	s.log.Gone(out.address)
	x.do(x.sending, func() {
		if _, err := x.p.Revoke(x.ctx, out.address); err != nil {
			s.note("%s cannot put out %s: %v", x.name, out.address, err)
		}
	})
}
