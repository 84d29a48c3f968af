package agent

import "time"

// humanPause is how long a session whose client has no hooks does nothing before the
// next call counts as a human's doing: nothing of ours can wake it.
const humanPause = 10 * time.Minute

// humanTurn tells the peers' loop guards that a human spoke to the agent.
func (s *server) humanTurn() {
	for _, p := range s.online() {
		p.HumanTurn()
	}
}

// called notes a tool call. Where hooks tell of the human, it says nothing of one.
func (s *server) called() {
	s.mu.Lock()
	before := s.lastCall
	s.lastCall = time.Now()
	human := !s.bells.hooked && !before.IsZero() && s.lastCall.Sub(before) > humanPause
	s.mu.Unlock()
	if human {
		s.humanTurn()
	}
}
