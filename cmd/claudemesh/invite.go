package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/mdp/qrterminal/v3"
	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/peer"
)

func (a *app) inviteCommand() *cobra.Command {
	var o peer.InviteOptions
	var expires, role, kind string
	var qr bool
	c := &cobra.Command{
		Use:   "invite",
		Short: "Make a link by which others join",
		Long: `Signs an invite and prints its link. Whoever has the link can join until it
closes, so it is to be sent like a password. One link serves several people and
all their machines: each makes a keypair of its own.`,
		Example: `  claudemesh invite
  claudemesh invite --uses 1 --expires 1h
  claudemesh invite --device        # for further machines of your own
  claudemesh invite --qr`,
		Args: upTo(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.For, err = span(expires); err != nil {
				return usagef("--expires: %v", err)
			}
			if o.Uses < 1 {
				return usagef("--uses: an invite has one use at least")
			}
			switch role {
			case "member":
			case "admin":
				o.Admin = true
			default:
				return usagef("--role: %q is none, choose member or admin", role)
			}
			switch kind {
			case "agent": // and browsers: what the zero value means
			case "gateway":
				o.Kinds = []string{kind}
			default:
				return usagef("--kind: %q is none, choose agent or gateway", kind)
			}
			return a.with(cmd.Context(), peer.Nothing, func(p *peer.Peer) error {
				if err := online(cmd.Context(), p); err != nil {
					return err
				}
				invite, err := p.Invite(cmd.Context(), o)
				if err != nil {
					return err
				}
				a.warnUnserved(cmd.Context(), invite.Link)
				return a.showInvite(invite, qr)
			})
		},
	}
	c.Flags().StringVar(&expires, "expires", "24h", "the `time` that it is open: 90s, 30m, 12h, 7d")
	c.Flags().IntVar(&o.Uses, "uses", 10, "how often it can be used")
	c.Flags().StringVar(&role, "role", "member", "the `role` of those who join by it: member or admin")
	c.Flags().StringVar(&kind, "kind", "agent", "the `kind` that may join by it: agent, or gateway for a program that joins with --kind gateway")
	_ = c.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions([]string{"agent", "gateway"}, cobra.ShellCompDirectiveNoFileComp))
	c.Flags().BoolVar(&o.Approve, "approve", false, "an admin must say yes to each who joins")
	c.Flags().BoolVar(&o.Device, "device", false, "for further devices of your own, which then need no admit")
	c.Flags().StringVar(&o.URL, "url", "", "the `URL` that the link dials, where the mesh has several")
	c.Flags().BoolVar(&qr, "qr", false, "show it as a QR code, too")
	a.jsonFlag(c)
	_ = c.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{"member", "admin"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// unservedWithin is how long an address may take to say whether anything listens.
const unservedWithin = 2 * time.Second

// warnUnserved says that nobody listens where a link dials: after up has ended, this
// machine's sessions go on with a broker that only they reach.
func (a *app) warnUnserved(ctx context.Context, link string) {
	u, err := url.Parse(link)
	if err != nil || u.Port() == "" {
		return
	}
	d := net.Dialer{Timeout: unservedWithin}
	c, err := d.DialContext(ctx, "tcp", u.Host)
	if err == nil {
		c.Close()
		return
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		a.ui.hint("warning: nothing listens at %s now; the link works once claudemesh up runs again", u.Host)
	}
}

// showInvite prints the link on standard output alone, so that it can be piped,
// and what is to be known about it beside it.
func (a *app) showInvite(invite peer.Invite, qr bool) error {
	if a.json {
		return a.ui.json(struct {
			Link  string    `json:"link"`
			ID    string    `json:"id"`
			Uses  int       `json:"uses"`
			Until time.Time `json:"until"`
		}{invite.Link, invite.ID, invite.Uses, invite.Until.UTC()})
	}
	if invite.Loopback {
		a.ui.hint("warning: this link works on this machine only; see claudemesh up --help (--lan, --url)")
	}
	if err := a.ui.result("%s", invite.Link); err != nil {
		return err
	}
	if qr {
		a.showQR(invite)
	}
	who := "Whoever has it can join"
	if invite.User != "" {
		who = "Whoever has it can join as a device of " + invite.User
	}
	a.ui.hint("%s, until %s. %s: send it like a password. Close it: claudemesh revoke %s",
		plural(invite.Uses, "use"), until(invite.Until.UnixMilli(), time.Now()), who, invite.ID)
	if invite.Approve {
		a.ui.hint("Each who joins by it waits for an admin's yes: claudemesh admit")
	}
	if slices.Contains(invite.Kinds, "gateway") {
		a.ui.hint("It runs: claudemesh join --kind gateway")
		return nil
	}
	a.ui.hint("They run: claudemesh join")
	return nil
}

// showQR draws an invite for a phone's camera. Browsers do not take the broker's
// own certificate, so a link to an address of a local network is drawn in the
// form that opens the app.
func (a *app) showQR(invite peer.Invite) {
	text := invite.Link
	if invite.AppLink != "" && onLocalNetwork(invite.Link) {
		text = invite.AppLink
	}
	a.drawQR(text)
}

// drawQR draws a text as a QR code beside the results.
func (a *app) drawQR(text string) {
	a.ui.mu.Lock()
	defer a.ui.mu.Unlock()
	qrterminal.GenerateWithConfig(text, qrterminal.Config{
		Level:          qrterminal.L,
		Writer:         a.ui.err,
		HalfBlocks:     true,
		QuietZone:      2,
		BlackChar:      qrterminal.BLACK_BLACK,
		WhiteChar:      qrterminal.WHITE_WHITE,
		BlackWhiteChar: qrterminal.BLACK_WHITE,
		WhiteBlackChar: qrterminal.WHITE_BLACK,
	})
}

// onLocalNetwork tells whether a link dials a bare address or a name that only
// the local network knows.
func onLocalNetwork(link string) bool {
	u, err := url.Parse(link)
	if err != nil {
		return false
	}
	host := u.Hostname()
	_, err = netip.ParseAddr(host)
	return err == nil || strings.HasSuffix(host, ".local") || !strings.Contains(host, ".")
}
