package main

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/broker"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/profile"
)

// agentSetup connects the agent of this machine.
const agentSetup = "claudemesh install"

// upOptions are the flags of up.
type upOptions struct {
	lan, noQR, verbose bool
	listen             string
	urls               []string
	user, device       string
}

func (a *app) upCommand() *cobra.Command {
	var o upOptions
	c := &cobra.Command{
		Use:   "up",
		Short: "Start a mesh and its broker on this machine",
		Long: `Starts a broker on this machine with its database embedded; the first time it also
creates a mesh, which you own, and enrols this machine. It shows what happens until
Ctrl-C: who, to whom, how big, never what. Started again, all is as it was.

  claudemesh up                 reachable from this machine only
  claudemesh up --lan           from the same network, with TLS by the broker's own key
  claudemesh up --url https://… where a tunnel or a name leads to this machine`,
		Args: upTo(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.listen == "" {
				o.listen = net.JoinHostPort("127.0.0.1", defaultPort)
				if o.lan {
					o.listen = ":" + defaultPort
				}
			}
			if err := errors.Join(checkListen(o.listen), checkURLs(o.urls)); err != nil {
				return err
			}
			if err := errors.Join(checkName("--name", o.user), checkName("--device", o.device)); err != nil {
				return err // before a broker is started
			}
			if o.lan && loopback(o.listen) {
				return usagef("--lan and --listen %s contradict each other: others cannot reach that address", o.listen)
			}
			return a.up(cmd.Context(), o)
		},
	}
	c.Flags().BoolVar(&o.lan, "lan", false, "let the same network reach it; prints an invite")
	c.Flags().StringArrayVar(&o.urls, "url", nil, "a `URL` by which others reach it, of a tunnel or a proxy; can be given again; prints an invite")
	c.Flags().StringVar(&o.listen, "listen", "", "where to listen, `HOST:PORT`; :0 lets the system choose the port (default 127.0.0.1:7900, with --lan :7900)")
	c.Flags().BoolVar(&o.noQR, "no-qr", false, "print the invite without a QR code")
	c.Flags().StringVar(&o.user, "name", "", "your `name` in the mesh that it creates; default: your login name")
	c.Flags().StringVar(&o.device, "device", "", "this machine's `name` there; default: its host name")
	c.Flags().BoolVarP(&o.verbose, "verbose", "v", false, "show the broker's log, too")
	a.jsonFlag(c)
	return c
}

func (a *app) up(ctx context.Context, o upOptions) error {
	prof, err := profile.Open(a.dir)
	if err != nil {
		return err
	}
	if _, err := prof.Config(); err != nil {
		return err // before anything is made beside a config that cannot be read
	}
	s, err := serve(ctx, broker.Options{
		Dir:     prof.BrokerDir(),
		Listen:  []broker.Listen{{Addr: o.listen}, {Addr: "unix:" + prof.BrokerSocket()}},
		URLs:    o.urls,
		Version: versionText(),
		Logger:  a.operatorLog(o.verbose),
	}, "up", prof.BrokerSocket())
	if err != nil {
		return err
	}
	// From before the mesh is made, so that its first lines are shown as well.
	feed := s.Events()
	err = a.opened(ctx, prof, s, o)
	if err == nil && ctx.Err() == nil {
		var showing = make(chan struct{})
		go func() {
			defer close(showing)
			a.followEvents(feed)
		}()
		err = <-s.ended
		feed.Close()
		<-showing
	}
	feed.Close()
	err = errors.Join(err, s.stop())
	if err == nil || ctx.Err() != nil && errors.Is(err, context.Canceled) {
		a.ui.hint("Stopped. Nothing is lost; claudemesh up starts it again. This machine's sessions go on among themselves.")
		return nil
	}
	return err
}

// opened makes the mesh where there is none yet, and says how things stand.
func (a *app) opened(ctx context.Context, prof *profile.Profile, s *serving, o upOptions) error {
	urls, public := shownURLs(s.URLs())
	meshes, err := ownMeshes(prof, s.Key(), a.mesh)
	if err != nil {
		return err
	}
	created := ""
	if len(meshes) == 0 {
		made, err := a.createOwn(ctx, prof, s, o, urls)
		if err != nil {
			return err
		}
		meshes, created = []string{made.Mesh.Alias}, made.RecoveryFile
	}
	for _, other := range meshes[1:] {
		if err := a.tellURLs(ctx, other, urls); err != nil {
			a.ui.hint("%s still names the old address of this broker: %v", other, explain(err))
		}
	}
	mesh := meshes[0]
	return a.withOptions(ctx, peer.Options{Mesh: mesh, Receives: peer.Nothing}, func(p *peer.Peer) error {
		if err := online(ctx, p); err != nil {
			return err
		}
		if _, err := p.SetBrokerURLs(ctx, urls); err != nil {
			return err
		}
		var invite *peer.Invite
		if public {
			i, err := a.standingInvite(ctx, p, urls)
			if err != nil {
				return err
			}
			invite = &i
		}
		if a.json {
			return a.ui.json(readyOf(p.Self(), urls, created, invite))
		}
		o.listen = s.boundAt(o.listen)
		return a.sayUp(p.Self(), urls, created, invite, o)
	})
}

// tellURLs lets the members of a mesh know where this broker is dialled now.
func (a *app) tellURLs(ctx context.Context, mesh string, urls []string) error {
	return a.withOptions(ctx, peer.Options{Mesh: mesh, Receives: peer.Nothing}, func(p *peer.Peer) error {
		if err := online(ctx, p); err != nil {
			return err
		}
		_, err := p.SetBrokerURLs(ctx, urls)
		return err
	})
}

// ownMeshes finds the meshes that this broker serves, by the key that the config
// pins. The first one is the one that is named, else the default one. A name
// that none of them has is one to be made.
func ownMeshes(prof *profile.Profile, key keys.Public, named string) ([]string, error) {
	settings, err := prof.Config()
	if err != nil {
		return nil, err
	}
	var aliases []string
	for _, m := range settings.Meshes {
		if m.Draft || len(m.Brokers) == 0 || m.Brokers[0].Key != key {
			continue
		}
		if first := m.Alias == named || named == "" && m.Alias == settings.Default; first {
			aliases = slices.Insert(aliases, 0, m.Alias)
		} else {
			aliases = append(aliases, m.Alias)
		}
	}
	if named != "" && (len(aliases) == 0 || aliases[0] != named) {
		return nil, nil
	}
	return aliases, nil
}

// createOwn creates the first mesh of this machine's broker, through its socket:
// that is open to nobody else, also where the network reaches the broker.
func (a *app) createOwn(ctx context.Context, prof *profile.Profile, s *serving, o upOptions, urls []string) (*peer.Created, error) {
	name, err := a.newMeshName(prof, o.user)
	if err != nil {
		return nil, err
	}
	return peer.CreateMesh(ctx, peer.CreateOptions{
		Dir: a.dir, Name: name, User: o.user, Device: o.device, Client: clientName(),
		Broker: "unix:" + prof.BrokerSocket(), BrokerKey: s.Key(), URLs: urls,
	})
}

// newMeshName is the name of this machine's first mesh: the one of --mesh, else the
// user's as far as it is free.
func (a *app) newMeshName(prof *profile.Profile, user string) (string, error) {
	if a.mesh != "" {
		return a.mesh, nil
	}
	settings, err := prof.Config()
	if err != nil {
		return "", err
	}
	if user == "" {
		user = loginName()
	}
	user = strings.ToLower(user)
	if m, err := settings.Find(user); err == nil && m.Draft {
		return user, nil // a try that got no answer goes on
	}
	return settings.FreeAlias(user), nil
}

// standingInvite is an invite that this device made, still has uses and an hour
// to go; else a new one. Starting up again and again would fill the mesh with
// invites otherwise.
func (a *app) standingInvite(ctx context.Context, p *peer.Peer, urls []string) (peer.Invite, error) {
	invites, err := p.Invites(ctx)
	if err != nil {
		return peer.Invite{}, err
	}
	for _, i := range invites {
		if i.Link != "" && i.User == "" && !i.Admin && !i.Approve && i.Uses > 0 && time.Until(i.Until) > time.Hour &&
			strings.HasPrefix(i.Link, urls[0]+"/") {
			return i, nil
		}
	}
	return p.Invite(ctx, peer.InviteOptions{URL: urls[0]})
}

// sayUp says what was started and what can be done with it.
func (a *app) sayUp(self peer.Self, urls []string, recovery string, invite *peer.Invite, o upOptions) error {
	as := "you are " + self.User + "@" + self.Device
	if self.Owner {
		as = "you own it, as " + self.User + "@" + self.Device
	}
	if recovery != "" {
		as = "created; " + as
	}
	if err := a.ui.fact("mesh", self.MeshName, as); err != nil {
		return err
	}
	if recovery != "" {
		if err := a.showRecovery(recovery); err != nil {
			return err
		}
	}
	for i, u := range urls {
		label, note := "broker", brokerNote(u, o)
		if i > 0 {
			label, note = "", ""
		}
		if err := a.ui.fact(label, u, note); err != nil {
			return err
		}
	}
	if invite != nil {
		if err := a.ui.labelled("Invite", "%s      %s, until %s", invite.Link, plural(invite.Uses, "use"), until(invite.Until.UnixMilli(), time.Now())); err != nil {
			return err
		}
		if !o.noQR {
			a.showQR(*invite)
		}
		a.ui.hint("Whoever has it can join: send it like a password. They run: claudemesh join")
	}
	if fromGoRun() {
		a.ui.hint("Claude Code here:   go install ./cmd/claudemesh   first (this binary vanishes), then %s", agentSetup)
	} else {
		a.ui.hint("Claude Code here:   %s", agentSetup)
	}
	if invite == nil {
		a.ui.hint("Other machines:     claudemesh up --lan            same network")
		a.ui.hint("                    claudemesh up --url https://…  you have a tunnel or a name for this machine")
		a.ui.hint("                    docs/SELF-HOST.md              a small server, for people on different networks")
	}
	a.ui.hint("Events follow: who, to whom, how big, never what. Ctrl-C stops the broker; nothing is lost.")
	return nil
}

// brokerNote says from where a URL of this broker is reached.
func brokerNote(u string, o upOptions) string {
	for _, given := range o.urls {
		if strings.TrimSuffix(given, "/") == u {
			return "leads here, to " + o.listen
		}
	}
	if strings.HasPrefix(u, "https://") {
		return "TLS with this broker's own key; every invite pins it"
	}
	return "reachable from THIS machine only"
}

// fromGoRun tells whether this binary is one that go run built.
func fromGoRun() bool {
	path, err := os.Executable()
	return err == nil && strings.Contains(path, string(os.PathSeparator)+"go-build")
}

// ready is what up writes first with --json.
type ready struct {
	Event    string   `json:"event"` // "ready"
	Mesh     string   `json:"mesh"`
	Address  string   `json:"address"`
	URLs     []string `json:"urls"`
	Recovery string   `json:"recovery,omitempty"` // file of the recovery key, once
	Link     string   `json:"link,omitempty"`
}

func readyOf(self peer.Self, urls []string, recovery string, invite *peer.Invite) ready {
	r := ready{Event: "ready", Mesh: self.MeshName, Address: self.User + "@" + self.Device, URLs: urls, Recovery: recovery}
	if invite != nil {
		r.Link = invite.Link
	}
	return r
}
