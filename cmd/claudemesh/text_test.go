package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/wire"
)

// TestEachErrorIsOneSentence checks what a user sees of each kind of error, and
// the exit code.
func TestEachErrorIsOneSentence(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		want string // all that goes to standard error
	}{
		{nil, 0, ""},
		{errors.New("something"), 1, "something\n"},
		{usagef("no %q", "x"), 2, "no \"x\"\n"},
		{asUsage(errors.New("unknown flag: --x")), 2, "unknown flag: --x\nSee: claudemesh help\n"},
		{errSilent{peer.ClassRefused}, 3, ""},
		{&peer.UnknownNameError{Name: "bbo", Mesh: "acme", Candidates: []string{"alice", "bob"}, Suggestion: "bob"}, 3,
			"no \"bbo\" in acme. Did you mean bob? Here: alice, bob\n"},
		{fmt.Errorf("send: %w", &peer.NotReachableError{Host: "mesh.example.org", Reason: "connection refused", Kept: true}), 4,
			"send: not sent yet: mesh.example.org does not answer (connection refused). Kept; goes out when it is back.\nTry: claudemesh doctor\n"},
		{&peer.TimeoutError{For: "answer", After: 2 * time.Second}, 5, "no answer within 2s\n"},
		{peer.ErrNoMesh, 1, "no mesh here yet: start one with claudemesh up, or join one with claudemesh join\n"},
		{fmt.Errorf("write state.db: %w", syscall.ENOSPC), 1,
			"the disk is full: what was acknowledged is safe, nothing else was changed\nMake room and run it again.\n"},
		{fmt.Errorf("read: %w", context.Canceled), 1, "stopped\n"},
		{fmt.Errorf("print: %w", syscall.EPIPE), 1, ""},
		{&os.PathError{Op: "open", Path: "/etc/shadow", Err: syscall.EACCES}, 1,
			"may not open /etc/shadow: it belongs to somebody else, or its mode forbids it\n"},
		{fmt.Errorf("--config: %w", &os.PathError{Op: "open", Path: "/etc/nothing", Err: syscall.ENOENT}), 1, "--config: /etc/nothing is not there\n"},
		{fmt.Errorf("the backup's folder: %w", &os.PathError{Op: "mkdir", Path: "/backup", Err: syscall.EEXIST}), 1,
			"the backup's folder: /backup is there already\n"},
		{fmt.Errorf("state.db: %w", profile.ErrCorrupt), 1,
			"state.db: the database is damaged, or is no database\nPut a backup in its place, or move it away: what it held is lost then.\n"},
		{&peer.UnknownNameError{Name: "@backend", Mesh: "acme", Tag: true}, 3, "nobody else in acme carries the tag @backend.\n"},
	} {
		var out, hints bytes.Buffer
		a := &app{ui: &ui{out: &out, err: &hints}}
		if code := a.report(c.err); code != c.code || hints.String() != c.want || out.Len() > 0 {
			t.Errorf("%v: exit code %d, want %d; said\n%swant\n%s", c.err, code, c.code, hints.String(), c.want)
		}
	}
}

func TestSlugOr(t *testing.T) {
	for name, want := range map[string]string{
		"alice":                 "alice",
		"Alice":                 "alice",
		"jo smith":              "jo-smith",
		".hidden":               "hidden",
		"":                      "me",
		"___":                   "me",
		"key-abc":               "me",
		"Jörg":                  "j-rg",
		strings.Repeat("a", 40): strings.Repeat("a", 32),
	} {
		if got := slugOr(name, "me"); got != want {
			t.Errorf("slugOr(%q) is %q, want %q", name, got, want)
		}
		if !keys.IsSlug(slugOr(name, "me")) {
			t.Errorf("slugOr(%q) is no slug", name)
		}
	}
}

func TestSpan(t *testing.T) {
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "30m": 30 * time.Minute, "12h": 12 * time.Hour, "7d": 168 * time.Hour, "1h30m": 90 * time.Minute} {
		if got, err := span(text); err != nil || got != want {
			t.Errorf("span(%q) is %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0s", "-1h", "0d", "-7d", "7", "d", "7d1h", "99999d", "tomorrow"} {
		if got, err := span(text); err == nil {
			t.Errorf("span(%q) is %v, want an error", text, got)
		}
	}
}

func TestTimes(t *testing.T) {
	now := time.Date(2026, 11, 24, 14, 2, 11, 0, time.UTC)
	ms := func(ago time.Duration) int64 { return now.Add(-ago).UnixMilli() }
	for _, c := range []struct{ got, want string }{
		{clockTime(ms(time.Hour), now), "13:02"},
		{clockTime(ms(24*time.Hour), now), "Mon 14:02"},
		{clockTime(ms(240*time.Hour), now), "Sat 14 Nov 14:02"},
		{clockSecond(ms(time.Second), now), "14:02:10"},
		{clockSecond(ms(24*time.Hour), now), "Mon 23 Nov 14:02:11"},
		{until(ms(-24*time.Hour), now), "Wed 25 Nov 14:02"},
		{awayText(0, now), "away"},
		{awayText(ms(2*time.Hour), now), "away since 12:02"},
		{awayText(ms(20*time.Hour), now), "away 20 h"},
		{awayText(ms(72*time.Hour), now), "away 3 days"},
		{since(-time.Second), "0 s"},
		{since(40 * time.Second), "40 s"},
		{since(3 * time.Minute), "3 m"},
		{since(168 * time.Hour), "7 days"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

func TestOverallIsTheLeastState(t *testing.T) {
	to := func(states ...peer.State) (list []peer.Recipient) {
		for _, s := range states {
			list = append(list, peer.Recipient{State: s})
		}
		return list
	}
	for _, c := range []struct {
		to   []peer.Recipient
		want peer.State
	}{
		{to(peer.Seen), peer.Seen},
		{to(peer.Seen, peer.Delivered), peer.Delivered},
		{to(peer.Delivered, peer.Queued, peer.Seen), peer.Queued},
		{to(peer.Seen, peer.Refused), peer.Refused},
		{to(peer.Refused, peer.Pending), peer.Pending},
		{nil, peer.Pending},
	} {
		if got := overall(c.to); got != c.want {
			t.Errorf("%v: %s, want %s", c.to, got, c.want)
		}
	}
}

func TestSentLine(t *testing.T) {
	now := time.Date(2026, 11, 24, 14, 2, 0, 0, time.UTC)
	for _, c := range []struct {
		to   peer.Recipient
		o    peer.SendOptions
		want string
		id   bool
	}{
		{peer.Recipient{Address: "bob@desk/web-shop", State: peer.Seen}, peer.SendOptions{}, "seen by bob@desk/web-shop", false},
		{peer.Recipient{Address: "bob@desk", State: peer.Delivered}, peer.SendOptions{Priority: peer.Next}, "delivered to bob@desk, shown when its turn ends", true},
		{peer.Recipient{Address: "bob@desk", State: peer.Delivered}, peer.SendOptions{Priority: peer.Low}, "delivered to bob@desk, shown when it asks", true},
		{peer.Recipient{Address: "bob@desk", State: peer.Delivered}, peer.SendOptions{Priority: peer.Now}, "delivered to bob@desk, not seen yet", true},
		{peer.Recipient{Address: "carol", State: peer.Queued, Away: now.Add(-2 * time.Hour)}, peer.SendOptions{},
			"queued: carol is away since 12:02; kept 7 days, encrypted", true},
		{peer.Recipient{Address: "carol", State: peer.Queued}, peer.SendOptions{Expires: 12 * time.Hour}, "queued for carol; kept 12 h, encrypted", true},
		{peer.Recipient{Address: "carol", State: peer.Refused, Why: string(wire.WhyMuted)}, peer.SendOptions{},
			"refused for carol: the recipient has muted the sender", false},
		{peer.Recipient{Address: "carol", State: peer.Held}, peer.SendOptions{}, "held: carol looks at it later", true},
	} {
		if got, id := sentLine([]peer.Recipient{c.to}, c.o, now); got != c.want || id != c.id {
			t.Errorf("%q %v, want %q %v", got, id, c.want, c.id)
		}
	}
}

func TestLocalNetworkLinks(t *testing.T) {
	for link, want := range map[string]bool{
		"https://192.168.1.20:7900/i#A":  true,
		"https://[fd00::2]:7900/i#A":     true,
		"https://laptop.local:7900/i#A":  true,
		"https://mesh.example.org/i#A":   false,
		"https://mesh.example.org:1/i#A": false,
	} {
		if got := onLocalNetwork(link); got != want {
			t.Errorf("onLocalNetwork(%q) is %v", link, got)
		}
	}
}

// Who is read more slowly is told until when, by send and by message.
func TestPausedSenderIsTold(t *testing.T) {
	now := time.Date(2026, 11, 24, 14, 2, 11, 0, time.UTC)
	bob := peer.Recipient{Address: "bob@desk", State: peer.Pending, RetryAt: now.Add(4 * time.Second)}
	line, withID := sentLine([]peer.Recipient{bob}, peer.SendOptions{}, now)
	if want := "kept here for bob@desk: the broker takes no more from you until 14:02:15"; line != want || !withID {
		t.Errorf("send says %q, want %q", line, want)
	}
	bob.Steps = []peer.Step{{State: peer.Pending, Time: now, Word: peer.OwnWord}}
	if got, want := traceLine(bob, false, now), "written 14:02:11 · waits here to be sent: the broker takes no more from you until 14:02:15"; got != want {
		t.Errorf("message says %q, want %q", got, want)
	}
}
