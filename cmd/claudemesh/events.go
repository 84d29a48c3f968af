package main

import (
	"time"

	"github.com/claudemesh/claudemesh-go/broker"
)

// follow prints what a broker tells of until its feed ends: who, to whom, how
// big, never what.
func (a *app) followEvents(feed *broker.Feed) {
	for e := range feed.C {
		if a.json {
			_ = a.ui.json(eventJSON(e))
		} else if text := eventText(e); text != "" {
			_ = a.ui.result("%s  %s", time.UnixMilli(e.Time).Format("15:04:05"), plainLine(text))
		}
		if n := feed.Missed(); n > 0 && !a.json {
			a.ui.hint("          %s not shown: there were too many at once", plural(n, "event"))
		}
	}
}

// eventText is one event on one line.
func eventText(e broker.Event) string {
	switch e.Kind {
	case broker.EventOnline:
		return e.Actor + "  online"
	case broker.EventOffline:
		return e.Actor + "  offline"
	case broker.EventMessage:
		return e.Actor + "  to  " + e.Target + "  " + plural(e.Bytes, "byte") + "  " + e.State
	case broker.EventCreated:
		return "mesh " + e.Name + "  created"
	case broker.EventEntry:
		return entryText(e)
	}
	return ""
}

// entryText says what an entry in the chain did.
func entryText(e broker.Event) string {
	switch e.Type {
	case "genesis": // told as the mesh's creation
		return ""
	case "invite":
		return e.Actor + "  made an invite"
	case "join":
		return e.Target + "  joined " + e.Name
	case "admit":
		return e.Actor + "  admitted  " + e.Target
	case "revoke":
		return e.Actor + "  revoked  " + e.Target
	case "broker":
		return e.Actor + "  changed where the broker is dialled"
	case "role":
		return e.Actor + "  changed the role of  " + e.Target
	}
	return e.Actor + "  " + e.Type + "  " + e.Target
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
