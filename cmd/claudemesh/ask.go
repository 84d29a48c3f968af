package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/quote"
)

func (a *app) askCommand() *cobra.Command {
	var timeout, priority string
	var o peer.AskOptions
	c := &cobra.Command{
		Use:   "ask ADDRESS [QUESTION]",
		Short: "Ask somebody, and wait for the answer",
		Long: `Sends QUESTION, or what comes on standard input, to one peer, and waits for the
answer of that very peer. With none in time it prints the question's id and ends
with exit code 5: a later answer comes as a message (claudemesh inbox). A peer that
declines makes exit code 3.`,
		Example: `  claudemesh ask bob "which branch has the webhook fix?"
  claudemesh ask bob@desk --timeout 10m "is the migration through?"`,
		Args: sendArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.Timeout, err = optionalSpan("--timeout", timeout); err != nil {
				return err
			}
			if o.Priority, err = priorityOf(priority); err != nil {
				return err
			}
			question, err := a.bodyFrom(args)
			if err != nil {
				return err
			}
			address, err := a.aim(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.ask(cmd.Context(), address, question, o)
		},
		ValidArgsFunction: a.completeAddress,
	}
	c.Flags().StringVarP(&timeout, "timeout", "t", "2m", "the `time` to wait for the answer")
	c.Flags().StringVarP(&priority, "priority", "p", "next", "`priority`: now interrupts, next waits until the session is idle, low until it asks")
	_ = c.RegisterFlagCompletionFunc("priority", cobra.FixedCompletions([]string{"now", "next", "low"}, cobra.ShellCompDirectiveNoFileComp))
	a.jsonFlag(c)
	return c
}

// askJSON is a question and what came of it, in JSON.
type askJSON struct {
	ID     string        `json:"id"`
	State  string        `json:"state"`
	Answer *inboxMessage `json:"answer"` // null: none in time
}

func (a *app) ask(ctx context.Context, to, question string, o peer.AskOptions) error {
	return a.with(ctx, peer.Replies, func(p *peer.Peer) error {
		a.human(p)
		began := time.Now()
		told := false
		o.Told = func(sent peer.Sent) {
			if line, _ := sentLine(sent.To, peer.SendOptions{Priority: o.Priority}, time.Now()); !told && !a.json {
				a.ui.hint("%s; waiting", line)
			}
			told = true
		}
		answered, err := p.Ask(ctx, to, question, o)
		var unknown *peer.UnknownNameError
		if errors.As(err, &unknown) {
			err = unknownHere(ctx, p, to, unknown)
		}
		if answered.Question.ID.IsZero() {
			return err
		}
		if err := a.showAnswered(answered, time.Since(began)); err != nil {
			return err // what of it was read nobody knows: it comes again, marked
		}
		if err != nil {
			return err
		}
		// Written to standard output is seen.
		if err := p.Seen(context.WithoutCancel(ctx), answered.Message); err != nil {
			return err
		}
		if answered.Declined() {
			return errSilent{peer.ClassRefused}
		}
		return nil
	})
}

// showAnswered prints the answer, or the id under which it will come.
func (a *app) showAnswered(answered peer.Answered, took time.Duration) error {
	m, question := answered.Message, answered.Question
	if a.json {
		j := askJSON{ID: question.ID.String(), State: string(overall(question.To))}
		if !m.ID.IsZero() {
			answer := inJSON(m)
			j.Answer = &answer
		}
		return a.ui.json(j)
	}
	if m.ID.IsZero() {
		return a.ui.result("%-*s %s", idColumn, "not answered yet; a later answer comes as a message", question.Short)
	}
	verb := "answered"
	if answered.Declined() {
		verb = "declined"
	}
	from := m.From.Address
	if m.From.Verified {
		from += " (verified)"
	}
	return a.showBody(fmt.Sprintf("%s %s in %s: ", from, verb, since(took)), m.Body)
}

// showBody prints a peer's words: behind head where they are one line, else below it.
func (a *app) showBody(head, body string) error {
	body = strings.TrimRight(quote.Text(body), "\n")
	if body == "" {
		return a.ui.result("%s", strings.TrimRight(head, " :"))
	}
	if !strings.Contains(body, "\n") {
		return a.ui.result("%s\"%s\"", head, body)
	}
	return a.ui.result("%s\n  │ %s", strings.TrimRight(head, " :"), strings.ReplaceAll(body, "\n", "\n  │ "))
}

// human tells the loop guard that a person types, where one does.
func (a *app) human(p *peer.Peer) {
	if a.ui.interactive() {
		p.HumanTurn()
	}
}
