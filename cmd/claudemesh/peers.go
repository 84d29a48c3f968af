package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/peer"
)

func (a *app) peersCommand() *cobra.Command {
	var verbose bool
	c := &cobra.Command{
		Use:   "peers",
		Short: "List who belongs, and who is there",
		Long: `Lists the members of the mesh as its signed chain says, with the sessions that
are connected. Status and summary are signed by the peer; whether it is connected
is the broker's word.`,
		Args: upTo(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), peer.Nothing, func(p *peer.Peer) error {
				unreachable := online(cmd.Context(), p)
				people, err := p.Peers(cmd.Context())
				switch {
				case err == nil:
				case peer.ClassOf(err) == peer.ClassUnreachable:
					unreachable = err
				default:
					return err
				}
				if peer.ClassOf(unreachable) == peer.ClassRefused {
					return unreachable
				}
				if a.json {
					if err := a.ui.json(peopleJSON(people)); err != nil {
						return err
					}
					return unreachable
				}
				if err := a.showPeople(people, verbose); err != nil {
					return err
				}
				return unreachable
			})
		},
	}
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "show keys and ranks, and who last confirmed this list")
	a.jsonFlag(c)
	return c
}

// peerJSON is a member in JSON.
type peerJSON struct {
	Address  string        `json:"address"`
	Key      string        `json:"key"`
	Status   string        `json:"status"` // idle, working, dnd, online or away
	Summary  string        `json:"summary"`
	Online   bool          `json:"online"`
	Sessions []sessionJSON `json:"sessions"`
}

// sessionJSON is a live session in JSON.
type sessionJSON struct {
	Address string `json:"address"`
	Label   string `json:"label"`
	Status  string `json:"status"`
	Summary string `json:"summary"`
}

func peopleJSON(people peer.People) []peerJSON {
	list := make([]peerJSON, 0, len(people.Members))
	for _, m := range people.Members {
		j := peerJSON{Address: m.Address, Key: m.Key.String(), Status: "away", Summary: m.Summary, Online: m.Online, Sessions: []sessionJSON{}}
		if m.Online {
			j.Status = "online"
		}
		for i, s := range m.Sessions {
			j.Sessions = append(j.Sessions, sessionJSON{s.Address, s.Label, string(s.Status), s.Summary})
			// The peer works while one of its sessions does.
			if s.Status != "" && (i == 0 || s.Status == peer.Working) {
				j.Status = string(s.Status)
			}
		}
		list = append(list, j)
	}
	return list
}

func (a *app) showPeople(people peer.People, verbose bool) error {
	if err := a.ui.result("%s on %s", people.MeshName, people.Host); err != nil {
		return err
	}
	now := time.Now()
	var t table
	last := ""
	for _, m := range people.Members {
		user := m.User
		if user == last {
			user = "" // the name stands at its first device only
		}
		last = m.User
		notes := memberNotes(m, verbose)
		if len(m.Sessions) == 0 {
			t.row(user, m.Device, "-", presenceText(m, people.Fresh, now), m.Summary, notes)
			continue
		}
		device := m.Device
		for _, s := range m.Sessions {
			summary := s.Summary
			if summary == "" {
				summary = m.Summary
			}
			label := s.Label
			if label == "" {
				label = "-"
			}
			sessionNotes := notes
			if s.You {
				sessionNotes = strings.TrimSpace("this session " + sessionNotes)
			}
			t.row(user, device, label, sessionText(s, now), summary, sessionNotes)
			user, device, notes = "", "", ""
		}
	}
	if err := t.write(a.ui); err != nil {
		return err
	}
	switch {
	case people.Unconfirmed:
		a.ui.hint("warning: nobody confirmed this list for 24 hours, though others are connected: someone may be withholding a revocation. Ask them")
	case verbose && people.Confirmed != "":
		a.ui.hint("This list was last confirmed by %s, %s", people.Confirmed, clockTime(unixMilli(people.ConfirmedAt), now))
	case verbose:
		a.ui.hint("Nobody confirmed this list yet: others do with each message and card")
	}
	return nil
}

// presenceText is what is known of a member with no session that receives.
func presenceText(m peer.Member, fresh bool, now time.Time) string {
	switch {
	case !fresh:
		return "not known"
	case m.Online:
		return "online"
	case m.You:
		return "no session" // the command that asks is none
	}
	return awayText(unixMilli(m.Since), now)
}

// sessionText is what a session says it is doing; of an idle one since when.
func sessionText(s peer.Session, now time.Time) string {
	text := statusWord(s.Status)
	if s.Status == peer.Idle && !s.Changed.IsZero() {
		if idle := now.Sub(s.Changed); idle >= time.Minute {
			text += " " + since(idle)
		}
	}
	return text
}

// statusWord is a status as it is shown.
func statusWord(s peer.Status) string {
	switch s {
	case "":
		return "online"
	case peer.DoNotDisturb:
		return "do not disturb"
	}
	return string(s)
}

func memberNotes(m peer.Member, verbose bool) string {
	var notes []string
	if m.You {
		notes = append(notes, "you")
	}
	if m.Verified {
		notes = append(notes, "verified")
	}
	if m.Kind != "" && m.Kind != "agent" {
		notes = append(notes, m.Kind)
	}
	if verbose {
		switch m.Rank {
		case 2:
			notes = append(notes, "admin")
		case 3:
			notes = append(notes, "owner")
		}
		notes = append(notes, m.Key.String())
	}
	return strings.Join(notes, " ")
}
