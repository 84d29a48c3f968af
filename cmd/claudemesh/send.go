package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/wire"
)

// idColumn is where the short id of a message stands, to the right of what
// became of it.
const idColumn = 76

func (a *app) sendCommand() *cobra.Command {
	var o peer.SendOptions
	var priority, expires, wait string
	c := &cobra.Command{
		Use:   "send ADDRESS [TEXT]",
		Short: "Send a message",
		Long: `Seals TEXT, or what comes on standard input, to whom ADDRESS names, and says what
became of it:

  bob            any one of bob's devices          bob@desk           this one
  bob@desk/web   one session of it                 /web               a session of your own
  @backend       who carries that tag              '*'                everybody
  key-…          by key                            acme:bob           in another mesh

In shells # starts a comment and * names files: quote them.

It waits for the broker's acknowledgement and one second more for the receipt of
whoever reads it. Where the broker does not answer, the message is kept and goes
out later, with exit code 4.`,
		Example: `  claudemesh send bob "tests are green on main"
  claudemesh send bob@desk/web-shop --priority now "stop, main is broken"
  git diff | claudemesh send bob`,
		Args: sendArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.Priority, err = priorityOf(priority); err != nil {
				return err
			}
			if o.Expires, err = optionalSpan("--expires", expires); err != nil {
				return err
			}
			if o.SeenWait, err = optionalSpan("--wait", wait); err != nil {
				return err
			}
			body, err := a.bodyFrom(args)
			if err != nil {
				return err
			}
			address, err := a.aim(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.send(cmd.Context(), address, body, o)
		},
		ValidArgsFunction: a.completeAddress,
	}
	c.Flags().StringVarP(&priority, "priority", "p", "next", "`priority`: now interrupts, next waits until the session is idle, low until it is asked for")
	c.Flags().StringVar(&expires, "expires", "", "the `time` that it may wait, at most 30d; default: 7d")
	c.Flags().StringVar(&wait, "wait", "", "the `time` to wait until it is seen, as in 30s; default: one second")
	c.Flags().BoolVar(&o.AllDevices, "all-devices", false, "to every device of a user instead of any one of them")
	a.jsonFlag(c)
	_ = c.RegisterFlagCompletionFunc("priority", cobra.FixedCompletions([]string{"now", "next", "low"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// sendArgs wants an address and a text at most. What a shell made of an unquoted
// # or * is recognised.
func sendArgs(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return usagef("the address is missing: %s bob \"…\"; if it begins with #, quote it: '#deploys'", cmd.CommandPath())
	case len(args) > 2 && isFile(args[0]) && isFile(args[1]):
		return usagef("these are names of files: the shell made them of *. Everybody is '*', in quotes")
	case len(args) > 2:
		return usagef("%q is one word too many: put the text in quotes", args[2])
	}
	return nil
}

func isFile(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

func priorityOf(text string) (peer.Priority, error) {
	switch p := peer.Priority(text); p {
	case peer.Now, peer.Next, peer.Low:
		return p, nil
	}
	return "", usagef("--priority: %q is none, choose now, next or low", text)
}

// bodyFrom is the text in the arguments, else all of standard input without the
// line end at its end.
func (a *app) bodyFrom(args []string) (string, error) {
	if len(args) == 2 && args[1] != "-" {
		return args[1], nil
	}
	if a.ui.interactive() {
		a.ui.hint("Type the message; Ctrl-D on a line of its own sends it, Ctrl-C does not.")
	}
	data, err := a.ui.all(wire.MaxBody)
	switch {
	case err != nil:
		return "", err
	case len(data) > wire.MaxBody:
		return "", usagef("the text is longer than %d KiB, which is the most that one message carries", wire.MaxBody>>10)
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if text == "" {
		return "", usagef("there is nothing to send: give a text, or something on standard input")
	}
	return text, nil
}

func (a *app) send(ctx context.Context, to, body string, o peer.SendOptions) error {
	return a.with(ctx, peer.Replies, func(p *peer.Peer) error {
		a.human(p)
		sent, err := p.Send(ctx, to, body, o)
		var unknown *peer.UnknownNameError
		if errors.As(err, &unknown) {
			err = unknownHere(ctx, p, to, unknown)
		}
		if sent.ID.IsZero() {
			return err
		}
		return a.sent(sent, o, err)
	})
}

// unknownHere says what an unknown name may come from: a shell that made names of
// files of *, or a list of members that is old because the broker is away.
func unknownHere(ctx context.Context, p *peer.Peer, name string, unknown *peer.UnknownNameError) error {
	if isFile(name) {
		return &failure{class: peer.ClassRefused, sentence: unknown.Error(), err: unknown,
			hint: fmt.Sprintf("%s is a file here: if the shell made it of *, quote that: '*'", name)}
	}
	var away *peer.NotReachableError
	if errors.As(online(ctx, p), &away) {
		return &failure{class: peer.ClassUnreachable, err: away,
			sentence: fmt.Sprintf("%s. That is the list as it was last seen: %s", strings.TrimSuffix(unknown.Error(), "."), away),
			hint:     "Try: claudemesh doctor"}
	}
	return unknown
}

// progress orders the states in which a message can be, the least first.
var progress = []peer.State{peer.Pending, peer.Refused, peer.Expired, peer.Queued, peer.Delivered, peer.Held, peer.Seen}

// overall is the state of a message to several: the least of theirs.
func overall(to []peer.Recipient) peer.State {
	least := peer.Pending
	for i, r := range to {
		if i == 0 || slices.Index(progress, r.State) < slices.Index(progress, least) {
			least = r.State
		}
	}
	return least
}

// showSent says what became of a message: one line for each state that its
// recipients are in.
func (a *app) showSent(sent peer.Sent, o peer.SendOptions) error {
	groups := make(map[string][]peer.Recipient)
	var order []string
	for _, r := range sent.To {
		key := string(r.State) + " " + r.Why
		if r.State == peer.Queued && !r.Away.IsZero() {
			key += r.Address // each has been away since another time
		}
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], r)
	}
	for _, key := range order {
		line, withID := sentLine(groups[key], o, time.Now())
		if withID {
			line = fmt.Sprintf("%-*s %s", idColumn, line, sent.Short)
		}
		if err := a.ui.result("%s", line); err != nil {
			return err
		}
	}
	return nil
}

// sentLine is what became of a message for recipients that are all in one state.
// What is over needs no id.
func sentLine(to []peer.Recipient, o peer.SendOptions, now time.Time) (line string, withID bool) {
	var names []string
	for _, r := range to {
		names = append(names, r.Address)
	}
	who := joinSome(names, 12)
	switch to[0].State {
	case peer.Seen:
		return "seen by " + who, false
	case peer.Delivered:
		switch o.Priority {
		case peer.Now:
			return "delivered to " + who + ", not seen yet", true
		case peer.Low:
			return "delivered to " + who + ", shown when it asks", true
		}
		return "delivered to " + who + ", shown when its turn ends", true
	case peer.Queued:
		kept := o.Expires
		if kept == 0 {
			kept = 7 * 24 * time.Hour
		}
		if to[0].Away.IsZero() { // there, or nothing is known
			return fmt.Sprintf("queued for %s; kept %s, encrypted", who, since(kept)), true
		}
		return fmt.Sprintf("queued: %s is %s; kept %s, encrypted", who, awayText(unixMilli(to[0].Away), now), since(kept)), true
	case peer.Held:
		return "held: " + who + " looks at it later", true
	case peer.Refused:
		return "refused for " + who + ": " + peer.WhySentence(to[0].Why), false
	case peer.Expired:
		return "expired before " + who + " could take it", false
	}
	if !to[0].RetryAt.IsZero() {
		return fmt.Sprintf("kept here for %s: the broker takes no more from you until %s", who, clockSecond(unixMilli(to[0].RetryAt), now)), true
	}
	return "kept here for " + who + ", nobody else has it yet", true
}
