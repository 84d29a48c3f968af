package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/peer"
)

func (a *app) verifyCommand() *cobra.Command {
	var remove, qr bool
	c := &cobra.Command{
		Use:   "verify USER [NUMBER]",
		Short: "Compare safety numbers with somebody",
		Long: `Shows the number that you and USER have in common. Both see the same 60 digits if
there is nobody between you: compare them on the phone, or let USER's camera read
them from the QR code that --qr draws. With NUMBER it compares them for you and marks
USER as verified. The mark stays while USER's devices are the same, or let each other
in; any other change of them clears it, and you are told.`,
		Args: atLeastOne("whom"), // a number may be typed in groups
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return a.with(ctx, peer.Nothing, func(p *peer.Peer) error {
				unreachable := online(ctx, p)
				if peer.ClassOf(unreachable) == peer.ClassRefused {
					return unreachable
				}
				safety, err := p.Verify(ctx, args[0])
				if err != nil {
					return err
				}
				if remove {
					if err := p.SetVerified(ctx, safety, false); err != nil {
						return err
					}
					safety.Verified = false
				}
				if given := digits(strings.Join(args[1:], "")); len(args) > 1 {
					if given != digits(safety.Number) {
						return &failure{class: peer.ClassRefused,
							sentence: fmt.Sprintf("these are not the same numbers: do not trust %s before you know why", safety.User),
							hint:     "Yours: " + safety.Number}
					}
					if err := p.SetVerified(ctx, safety, true); err != nil {
						return err
					}
					safety.Verified = true
				}
				return a.showSafety(safety, p.Self().User, qr)
			})
		},
		ValidArgsFunction: a.completeAddress,
	}
	c.Flags().BoolVar(&remove, "clear", false, "take the mark away")
	c.Flags().BoolVar(&qr, "qr", false, "draw the number as a QR code, too")
	a.jsonFlag(c)
	return c
}

// digits leaves nothing of a text but its digits.
func digits(text string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, text)
}

func (a *app) showSafety(s peer.Safety, you string, qr bool) error {
	if a.json {
		return a.ui.json(struct {
			User     string   `json:"user"`
			Number   string   `json:"number"`
			Devices  []string `json:"devices"`
			Verified bool     `json:"verified"`
		}{s.User, s.Number, orNone(s.Devices), s.Verified})
	}
	if err := a.ui.result("%s", s.Number); err != nil {
		return err
	}
	if qr {
		a.drawQR(digits(s.Number)) // digits alone make the smallest code
	}
	if s.Verified {
		return a.ui.labelled("verified", "%s (%s)", s.User, strings.Join(s.Devices, ", "))
	}
	a.ui.hint("%s must see the same, by claudemesh verify %s. Then: claudemesh verify %s NUMBER", s.User, you, s.User)
	return nil
}
