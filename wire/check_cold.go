package wire

import (
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

// checkCold is check for the frames that are not hot.
func checkCold(f Frame) error {
	switch f := f.(type) {
	case *Challenge:
		if f.Broker == (keys.Public{}) {
			return malformed(f, "no broker key")
		}
	case *Hello:
		return checkObject(f, "hello", f.Object(), MaxFrameBeforeHello)
	case *Welcome:
		return f.check()
	case *Sync:
		if f.ID == 0 || f.Limit < 0 {
			return malformed(f, "no id, or a negative limit")
		}
	case *Append:
		if f.ID == 0 || len(f.Entries) == 0 {
			return malformed(f, "no id or no entries")
		}
		return checkEntries(f, f.Entries)
	case *Entries:
		if err := checkObject(f, "head", f.Head, MaxEntry); err != nil {
			return err
		}
		return checkEntries(f, f.Entries)
	case *Grant:
		if f.From == (keys.Public{}) {
			return malformed(f, "no sender")
		}
		return checkIDs(f, f.IDs)
	case *Presence:
		return f.check()
	case *Subscribe:
		if f.ID == 0 {
			return malformed(f, "no id")
		}
	case *Trace:
		return f.check()
	case *Drain:
		if f.Within < 0 {
			return malformed(f, "a negative time")
		}
	case *Error:
		return f.check()
	}
	return nil
}

func checkEntries(f Frame, list []signed.Object) error {
	if len(list) > MaxEntries {
		return tooLarge(f, "entries", len(list), MaxEntries)
	}
	for i := range list {
		if err := checkObject(f, "entry", list[i], MaxEntry); err != nil {
			return err
		}
	}
	return nil
}

func (f *Welcome) check() error {
	if err := checkObject(f, "welcome", f.Object(), MaxEntry); err != nil {
		return err
	}
	l := f.Limits
	if f.Present < 0 || f.Queued < 0 || f.Heartbeat < 0 || f.Time < 0 ||
		l.InFlight < 0 || l.Body < 0 || l.Frame < 0 || l.Recipients < 0 || l.Waiting < 0 {
		return malformed(f, "a negative number")
	}
	return checkObject(f, "head", f.Head, MaxEntry)
}

func (f *Presence) check() error {
	if len(f.Cards) > 2 {
		return tooLarge(f, "own cards", len(f.Cards), 2)
	}
	for i := range f.Cards {
		if err := checkObject(f, "card", f.Cards[i], MaxCard); err != nil {
			return err
		}
	}
	for _, t := range []struct{ what, text string }{
		{"cwd", f.CWD}, {"host", f.Host}, {"client", f.Client},
	} {
		if err := checkText(f, t.what, t.text); err != nil {
			return err
		}
	}
	if f.PID < 0 {
		return malformed(f, "a negative pid")
	}
	if err := checkExtras(f, f.Extras); err != nil {
		return err
	}
	if len(f.Peers) > MaxPeersPage {
		return tooLarge(f, "peers", len(f.Peers), MaxPeersPage)
	}
	for i := range f.Peers {
		if err := checkPeer(f, &f.Peers[i]); err != nil {
			return err
		}
	}
	return nil
}

func checkPeer(f Frame, p *PeerPresence) error {
	if p.Key == (keys.Public{}) || p.Since < 0 {
		return malformed(f, "a peer without key, or a negative time")
	}
	if p.Card != nil {
		if err := checkObject(f, "card", *p.Card, MaxCard); err != nil {
			return err
		}
	}
	for i := range p.Sessions {
		s := &p.Sessions[i]
		if s.ID == (keys.SessionID{}) || s.Since < 0 {
			return malformed(f, "a session without id, or a negative time")
		}
		if s.Card != nil {
			if err := checkObject(f, "card", *s.Card, MaxCard); err != nil {
				return err
			}
		}
		if err := checkExtras(f, s.Extras); err != nil {
			return err
		}
	}
	return nil
}

func checkExtras(f Frame, e *Extras) error {
	if e == nil {
		return nil
	}
	if len(e.Sealed) > MaxExtras {
		return tooLarge(f, "bytes of extras", len(e.Sealed), MaxExtras)
	}
	if len(e.Box) > MaxBox {
		return tooLarge(f, "bytes of box", len(e.Box), MaxBox)
	}
	if len(e.Boxes) > MaxRecipients {
		return tooLarge(f, "boxes", len(e.Boxes), MaxRecipients)
	}
	return checkRecipients(f, e.Boxes)
}

func (f *Trace) check() error {
	if f.Message == (keys.MessageID{}) {
		return malformed(f, "no message")
	}
	if (f.ID == 0) == (f.Re == 0) {
		return malformed(f, "a question has an id, an answer has re")
	}
	if len(f.States) > MaxRecipients {
		return tooLarge(f, "states", len(f.States), MaxRecipients)
	}
	for i := range f.States {
		if f.States[i].To == (keys.Public{}) || f.States[i].Time < 0 {
			return malformed(f, "a state without recipient, or a negative time")
		}
		if err := checkWhy(f, f.States[i].Why); err != nil {
			return err
		}
	}
	return nil
}

func (f *Error) check() error {
	if !isCode(string(f.Code)) {
		return malformed(f, "no code")
	}
	if f.RetryAfter < 0 {
		return malformed(f, "a negative time")
	}
	if err := checkText(f, "message", f.Message); err != nil {
		return err
	}
	if len(f.IDs) == 0 {
		return nil
	}
	return checkIDs(f, f.IDs)
}
