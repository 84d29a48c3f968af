package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/peer"
)

func (a *app) joinCommand() *cobra.Command {
	var o peer.JoinOptions
	var limit string
	var noWait bool
	c := &cobra.Command{
		Use:   "join [LINK]",
		Short: "Join a mesh by an invite link",
		Long: `Makes a keypair on this machine and joins by the link. Without LINK it asks for
it, hidden, since whoever reads the link can join; with standard input from a
file or pipe it takes the first line.

Under a name that is in the mesh already you wait for a yes on one of that user's
devices: that is how your own second machine comes in, and how nobody else does.`,
		Example: `  claudemesh join
  claudemesh join --name bob --device phone
  claudemesh join <invite.txt`,
		Args: upTo(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Kind != "agent" && o.Kind != "gateway" {
				return usagef("--kind: %q is none, choose agent or gateway", o.Kind)
			}
			wait, err := optionalSpan("--timeout", limit)
			if err != nil {
				return err
			}
			link, err := a.linkFrom(args)
			if err != nil {
				return err
			}
			o.Dir, o.Client = a.dir, clientName()
			o.Checked = func(i peer.LinkInfo) error {
				a.ui.hint("mesh %s, owned by %s, at %s: signatures check out", plainLine(i.Name), plainLine(i.Owner), i.Host)
				return nil
			}
			joined, err := peer.Join(cmd.Context(), link, o)
			if peer.ClassOf(err) == peer.ClassUnreachable {
				return &failure{class: peer.ClassUnreachable, sentence: err.Error(), err: err,
					hint: "Does the broker run, and is it reached from this machine? A link of claudemesh up without --lan or --url works on that machine only"}
			}
			if err != nil {
				return err
			}
			return a.joined(cmd.Context(), joined, wait, noWait)
		},
	}
	c.Flags().StringVar(&o.User, "name", "", "your `name` in the mesh; default: your login name")
	c.Flags().StringVar(&o.Device, "device", "", "this machine's `name`; default: its host name")
	c.Flags().StringVar(&o.Kind, "kind", "agent", "its `kind` in the list of members: agent, or gateway where encryption ends here")
	_ = c.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions([]string{"agent", "gateway"}, cobra.ShellCompDirectiveNoFileComp))
	c.Flags().StringVar(&o.Alias, "alias", "", "the mesh's `name` here; default: its own")
	c.Flags().StringVar(&limit, "timeout", "", "the `time` to wait for a yes; default: for ever")
	c.Flags().BoolVar(&noWait, "no-wait", false, "do not wait for a yes")
	a.jsonFlag(c)
	return c
}

// linkFrom takes the link from the arguments, else asks for it.
func (a *app) linkFrom(args []string) (string, error) {
	if len(args) == 1 && args[0] != "-" {
		return args[0], nil
	}
	link, err := a.ui.secret("Invite link (hidden)")
	if err != nil {
		return "", err
	}
	if link == "" {
		return "", usagef("no link was given: claudemesh join asks for it, or takes the first line of standard input")
	}
	return link, nil
}

// joined says what came of a join, and waits for the yes where one is wanted.
func (a *app) joined(ctx context.Context, j *peer.Joined, wait time.Duration, noWait bool) error {
	a.mesh = j.Mesh.ID.String()
	return a.with(ctx, peer.Nothing, func(p *peer.Peer) error {
		if j.Already && j.Mesh.Pending { // asked before; the yes may have come meanwhile
			if err := online(ctx, p); err != nil {
				return err
			}
			self := p.Self()
			j.Pending, j.Already = p.Condition().State == peer.Waiting, false
			j.Number, j.Admit = keys.AdmitNumber(self.Mesh, self.Key), p.Admitters()
		}
		result := joinResult{Mesh: j.Mesh.Alias, Address: j.Mesh.Address}
		switch {
		case j.Already:
			if err := a.say(result, "joined", "already, as %s in %s; where to dial was learned from the link", j.Mesh.Address, j.Mesh.Alias); err != nil {
				return err
			}
			return a.sayWhoIsHere(ctx, p)
		case j.Pending && noWait:
			a.sayPending(j)
			a.ui.hint("The request stands for 7 days. To wait for the yes, run the same again without --no-wait.")
			if a.json {
				result.Pending, result.Number = true, j.Number
				return a.ui.json(result)
			}
			return nil
		case j.Pending:
			a.sayPending(j)
			if err := a.waitAdmitted(ctx, p, j, wait); err != nil {
				return err
			}
		}
		if err := a.say(result, "joined", "as %s", j.Mesh.Address); err != nil {
			return err
		}
		return a.sayWhoIsHere(ctx, p)
	})
}

// joinResult is what join writes with --json.
type joinResult struct {
	Mesh    string `json:"mesh"`
	Address string `json:"address"`
	Pending bool   `json:"pending"`
	Number  string `json:"number,omitempty"` // to compare, while pending
}

// say writes a result: as JSON with --json, else as a labelled line.
func (a *app) say(v any, label, format string, args ...any) error {
	if a.json {
		return a.ui.json(v)
	}
	return a.ui.labelled(label, format, args...)
}

// sayPending says whose yes is waited for, and the number to compare.
func (a *app) sayPending(j *peer.Joined) {
	who := ""
	switch {
	case sameUser(j.Admit, j.Mesh.User):
		who = " on one of " + j.Mesh.User + "'s devices"
	case len(j.Admit) > 0:
		who = " by " + joinSome(j.Admit, 5)
	}
	a.ui.hint("waiting for a yes%s: claudemesh admit %s   (compare: %s)", who, j.Mesh.Address, j.Number)
}

// sameUser tells whether all addresses are devices of one user.
func sameUser(addresses []string, user string) bool {
	for _, address := range addresses {
		if name, _, _ := strings.Cut(address, "@"); name != user {
			return false
		}
	}
	return len(addresses) > 0
}

// waitAdmitted waits for the yes, at most for limit where that is not zero.
func (a *app) waitAdmitted(ctx context.Context, p *peer.Peer, j *peer.Joined, limit time.Duration) error {
	waiting := ctx
	if limit > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	err := p.WaitAdmitted(waiting)
	var still *peer.WaitingError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &still) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded):
		return err
	case ctx.Err() != nil:
		return &failure{class: peer.ClassFailed, err: err,
			sentence: "stopped waiting; the request stands for 7 days, and this machine is in as soon as somebody says yes",
			hint:     "See: claudemesh whoami"}
	}
	return &failure{class: peer.ClassTimeout, err: err,
		sentence: "nobody said yes within " + since(limit) + "; the request stands for 7 days",
		hint:     "Ask them to run: claudemesh admit " + j.Mesh.Address}
}

// sayWhoIsHere writes who else is in the mesh, and what to do next.
func (a *app) sayWhoIsHere(ctx context.Context, p *peer.Peer) error {
	if a.json {
		return nil
	}
	people, err := p.Peers(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	var here []string
	first := ""
	for _, m := range people.Members {
		if m.You {
			continue
		}
		if m.Online {
			here = append(here, m.Address+" online")
		} else {
			here = append(here, m.Address+" "+awayText(unixMilli(m.Since), now))
		}
		if first == "" && !m.Yours {
			first = m.User
		}
	}
	if len(here) == 0 {
		return a.ui.labelled("here", "nobody else yet")
	}
	if err := a.ui.labelled("here", "%s", joinSome(here, 12)); err != nil {
		return err
	}
	if first != "" {
		a.ui.hint("Next:    %s     and once, on the phone with %s: claudemesh verify %s", agentSetup, first, first)
	}
	return nil
}

// joinSome lists words, the first few of them where there are many.
func joinSome(words []string, most int) string {
	if len(words) <= most {
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), len(words)-most)
}

// unixMilli is a time in Unix milliseconds, 0 for the zero time.
func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// optionalSpan is span for a flag that may be empty.
func optionalSpan(flag, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := span(text)
	if err != nil {
		return 0, usagef("%s: %v", flag, err)
	}
	return d, nil
}
