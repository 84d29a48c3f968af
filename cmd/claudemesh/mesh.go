package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/broker"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/profile"
)

func (a *app) meshCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "mesh",
		Short: "Create, list, choose and heal meshes; keep the owner's key",
		Args:  onlyCommands,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(a.meshCreateCommand(), a.meshListCommand(), a.meshUseCommand(), a.meshHealCommand(), a.ownerKeyCommand())
	return c
}

func (a *app) meshCreateCommand() *cobra.Command {
	var o peer.CreateOptions
	var brokerKey string
	c := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a mesh, which you own",
		Long: `Creates a mesh on a broker: an owner's key, a recovery key in a file of its own,
and this machine as its first peer. A broker that others can reach wants the token
that it printed at its first start; --token - asks for it, hidden. One that lets
everybody create meshes prints its key instead: --broker-key.

Without --broker it is the broker of this machine, which claudemesh up or
claudemesh install made.`,
		Example: `  claudemesh mesh create acme --broker https://mesh.example.org --token -
  claudemesh mesh create second`,
		Args: exactly("the mesh's name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			if brokerKey != "" {
				var err error
				if o.BrokerKey, err = keys.ParsePublic(brokerKey); err != nil {
					return usagef("--broker-key: this is no key: write all of key-…")
				}
			}
			return a.createMesh(cmd.Context(), o)
		},
	}
	c.Flags().StringVar(&o.Broker, "broker", "", "the broker's `URL`")
	c.Flags().StringVar(&o.Token, "token", "", "the broker's one-time `token`; - asks for it, hidden, or reads standard input")
	c.Flags().StringVar(&brokerKey, "broker-key", "", "the broker's `key`, where it wants no token")
	c.Flags().StringVar(&o.User, "name", "", "your `name` in the mesh; default: your login name")
	c.Flags().StringVar(&o.Device, "device", "", "this machine's `name`; default: its host name")
	a.jsonFlag(c)
	return c
}

func (a *app) createMesh(ctx context.Context, o peer.CreateOptions) error {
	o.Dir, o.Client = a.dir, clientName()
	host := ""
	if o.Broker == "" {
		socket, urls, err := a.ownBroker(ctx)
		if err != nil {
			return err
		}
		o.Broker, o.URLs, host = "unix:"+socket, urls, "this machine"
	}
	if o.Token == "-" {
		token, err := a.ui.secret("Token")
		if err != nil {
			return err
		}
		if token == "" {
			return usagef("no token was given; the broker printed it at its first start")
		}
		o.Token = token
	}
	created, err := peer.CreateMesh(ctx, o)
	if err != nil {
		return err
	}
	if host == "" {
		host = hostOf(o.Broker)
	}
	return a.showCreated(created, host)
}

// ownBroker finds the broker of this machine, and has it run: its socket, and where
// members dial it.
func (a *app) ownBroker(ctx context.Context) (socket string, urls []string, err error) {
	prof, err := profile.Open(a.dir)
	if err != nil {
		return "", nil, err
	}
	key, err := broker.KeyIn(prof.BrokerDir())
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil, usagef("say on which broker: --broker URL; claudemesh up starts one on this machine")
	}
	if err != nil {
		return "", nil, err
	}
	own, err := ownMeshes(prof, key, "")
	if err != nil {
		return "", nil, err
	}
	meshes, err := peer.Meshes(a.dir)
	if err != nil {
		return "", nil, err
	}
	for _, m := range meshes {
		if len(own) > 0 && m.Alias == own[0] {
			urls = m.URLs
		}
	}
	return prof.BrokerSocket(), urls, a.needLocal(ctx, prof)
}

// hostOf is the host that a URL names.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return text
	}
	return u.Hostname()
}

// createdJSON is a new mesh in JSON.
type createdJSON struct {
	Mesh     string `json:"mesh"`
	Address  string `json:"address"`
	Recovery string `json:"recovery"` // path of the file with the recovery key
}

func (a *app) showCreated(created *peer.Created, host string) error {
	if a.json {
		return a.ui.json(createdJSON{created.Mesh.Alias, created.Mesh.Address, created.RecoveryFile})
	}
	if err := a.ui.fact("mesh", created.Mesh.Alias, fmt.Sprintf("created on %s; you own it, as %s", host, created.Mesh.Address)); err != nil {
		return err
	}
	if err := a.showRecovery(created.RecoveryFile); err != nil {
		return err
	}
	a.ui.hint("Next:    claudemesh invite")
	return nil
}

// showRecovery says where the recovery key is, and why it should not stay there.
func (a *app) showRecovery(path string) error {
	return a.ui.fact("recovery", home(path), "take it off this machine; it is the way back if the owner key is stolen")
}

func (a *app) meshListCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List the meshes of this machine",
		Args:  upTo(0),
		RunE: func(*cobra.Command, []string) error {
			meshes, err := peer.Meshes(a.dir)
			if err != nil {
				return err
			}
			return a.showMeshes(meshes)
		},
	}
	a.jsonFlag(c)
	return c
}

// meshJSON is a mesh of this profile in JSON.
type meshJSON struct {
	Mesh    string   `json:"mesh"` // its name here
	ID      string   `json:"id"`
	Address string   `json:"address"`
	URLs    []string `json:"urls"`
	Default bool     `json:"default"`
	Owner   bool     `json:"owner"` // the owner's key is on this machine
	Pending bool     `json:"pending"`
}

func (a *app) showMeshes(meshes []peer.MeshInfo) error {
	if a.json {
		list := make([]meshJSON, 0, len(meshes))
		for _, m := range meshes {
			list = append(list, meshJSON{m.Alias, m.ID.String(), m.Address, append([]string{}, m.URLs...), m.Default, m.Owner, m.Pending})
		}
		return a.ui.json(list)
	}
	if len(meshes) == 0 {
		a.ui.hint("%v", peer.ErrNoMesh)
		return nil
	}
	var t table
	for _, m := range meshes {
		t.row(m.Alias, m.Host, "as "+m.Address, meshNotes(m, len(meshes) > 1))
	}
	return t.write(a.ui)
}

func meshNotes(m peer.MeshInfo, several bool) string {
	var notes []string
	if m.Default && several {
		notes = append(notes, "default")
	}
	if m.Owner {
		notes = append(notes, "owner's key here")
	}
	if m.Pending {
		notes = append(notes, "waits for a yes")
	}
	if m.Name != "" && m.Name != m.Alias {
		notes = append(notes, "calls itself "+m.Name)
	}
	return strings.Join(notes, ", ")
}

func (a *app) meshUseCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "use MESH",
		Short: "Choose the mesh that is meant where none is named",
		Args:  exactly("the mesh's name"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := peer.UseMesh(a.dir, args[0]); err != nil {
				return err
			}
			return a.say(map[string]string{"mesh": args[0]}, "default", "%s is meant where no mesh is named", args[0])
		},
		ValidArgsFunction: a.completeFirstMesh,
	}
	a.jsonFlag(c)
	return c
}
