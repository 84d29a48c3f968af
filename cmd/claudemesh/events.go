package main

import (
	"time"

	"github.com/claudemesh/claudemesh-go/broker"
)

// followEvents prints what a broker tells of until its feed ends: who, to whom, how
// big, never what.
func (a *app) followEvents(feed *broker.Feed) {
	for e := range feed.C {
		if a.json {
			_ = a.ui.json(eventJSON(e))
		} else if text := eventText(e); text != "" {
			_ = a.ui.result("%s  %s", time.UnixMilli(e.Time).Format("15:04:05"), text)
		}
		if n := feed.Missed(); n > 0 && !a.json {
			a.ui.hint("          %s not shown: there were too many at once", plural(n, "event"))
		}
	}
}

// eventText is one event on one line: who, what, whom. Names are the choice of
// whoever joined.
func eventText(e broker.Event) string {
	actor, target := plainLine(e.Actor), plainLine(e.Target)
	switch e.Kind {
	case broker.EventOnline, broker.EventOffline:
		return actor + "  " + string(e.Kind)
	case broker.EventMessage:
		return actor + "  to  " + target + "  " + plural(e.Bytes, "byte") + "  " + e.State
	case broker.EventCreated:
		return "mesh " + plainLine(e.Name) + "  created"
	case broker.EventEntry:
		return entryText(e, actor, target)
	}
	return ""
}

// entryText says what an entry in the chain did.
func entryText(e broker.Event, actor, target string) string {
	switch {
	case e.Type == "genesis": // told as the mesh's creation
		return ""
	case e.Type == "invite":
		return actor + "  made an invite"
	case e.Type == "join" && e.State == broker.StateWaits:
		return target + "  asks to join " + plainLine(e.Name)
	case e.Type == "join":
		return target + "  joined " + plainLine(e.Name)
	case e.Type == "admit" && e.State == broker.StateWaits:
		return actor + "  said yes to  " + target
	case e.Type == "admit":
		return actor + "  admitted  " + target
	case e.Type == "revoke" && actor == target:
		return actor + "  left " + plainLine(e.Name)
	case e.Type == "revoke":
		return actor + "  revoked  " + target
	case e.Type == "broker":
		return actor + "  changed where the broker is dialled"
	case e.Type == "role":
		return actor + "  changed the role of  " + target
	}
	return actor + "  " + e.Type + "  " + target
}

// loggedEvent is an event in JSON.
type loggedEvent struct {
	Time   time.Time `json:"time"`
	Mesh   string    `json:"mesh"`
	Event  string    `json:"event"`
	Actor  string    `json:"actor,omitempty"`
	Target string    `json:"target,omitempty"`
	Type   string    `json:"type,omitempty"`
	State  string    `json:"state,omitempty"`
	Bytes  int       `json:"bytes,omitempty"`
}

func eventJSON(e broker.Event) loggedEvent {
	return loggedEvent{Time: time.UnixMilli(e.Time).UTC(), Mesh: e.Name, Event: string(e.Kind),
		Actor: e.Actor, Target: e.Target, Type: e.Type, State: e.State, Bytes: e.Bytes}
}
