package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/profile"
)

// demoLimit bounds the whole demonstration.
const demoLimit = time.Minute

func (a *app) demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "See it in ten seconds; nothing is kept",
		Long: `Starts a broker and two people on this machine, in a temporary folder, and shows
what passes between them. Real keys, real sockets, nothing simulated; nothing is
kept.`,
		Args: upTo(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), demoLimit)
			defer cancel()
			dir, err := os.MkdirTemp("", "claudemesh-demo-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			d := &demo{app: a, dir: dir}
			defer d.sweep()
			defer d.end()
			return d.run(ctx)
		},
	}
}

// demo is a mesh of two people and its broker.
type demo struct {
	app    *app
	dir    string
	broker *exec.Cmd // the broker's process, nil while none runs
	url    string    // where it listens, the same after it was killed
	tap    tap       // what the broker hands to bob
	alice  *peer.Peer
	bob    *peer.Peer
}

// run tells the story. Each line is printed once what it tells has happened.
func (d *demo) run(ctx context.Context) error {
	d.app.ui.hint("A broker and two people on this machine, in a temporary folder. Real keys, real sockets, nothing simulated.")
	for _, step := range []func(context.Context) error{d.start, d.meet, d.write, d.beAway, d.putOut} {
		if err := step(ctx); err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				return &peer.TimeoutError{For: "end of the demonstration", After: demoLimit}
			}
			return fmt.Errorf("the demonstration failed: %w", err)
		}
	}
	d.app.ui.hint("Yours: claudemesh up      (or  %s  for the sessions on this machine)", agentSetup)
	return nil
}

// end closes what still runs.
func (d *demo) end() {
	for _, p := range []*peer.Peer{d.alice, d.bob} {
		if p != nil {
			_ = p.Close()
		}
	}
	d.kill()
}

// sweep removes the folders of sockets that stand outside the temporary folder
// because their paths would be too long there.
func (d *demo) sweep() {
	for _, who := range []string{"alice", "bob", "nobody"} {
		profile.LeaveRun(filepath.Join(d.dir, who))
	}
}

// start runs a broker in a process of its own, so that it can be killed.
func (d *demo) start(ctx context.Context) error {
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	listen := "127.0.0.1:0"
	if u, err := url.Parse(d.url); err == nil && u.Host != "" {
		listen = u.Host
	}
	cmd := exec.CommandContext(ctx, binary, "broker", "--json", "--data", filepath.Join(d.dir, "broker"), "--listen", listen)
	cmd.Env = append(os.Environ(), "CLAUDEMESH_CONFIG_DIR="+filepath.Join(d.dir, "nobody"))
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	d.broker = cmd
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		d.kill()
		return fmt.Errorf("the broker did not start: %s", plainLine(said.String()))
	}
	// The pipe is read to its end, so that the broker never waits for its reader.
	go io.Copy(io.Discard, out)
	var ready brokerJSON
	if err := json.Unmarshal([]byte(line), &ready); err != nil || len(ready.URLs) == 0 {
		return fmt.Errorf("the broker said %q", plainLine(line))
	}
	d.url = ready.URLs[0]
	return nil
}

// kill ends the broker's process without a warning.
func (d *demo) kill() {
	if d.broker != nil {
		_ = d.broker.Process.Kill()
		_ = d.broker.Wait()
		d.broker = nil
	}
}

// open opens a person's peer and waits until it is online.
func (d *demo) open(ctx context.Context, who string, receives peer.Receives) (*peer.Peer, error) {
	o := peer.Options{Dir: filepath.Join(d.dir, who), Receives: receives, Client: clientName()}
	if who == "bob" {
		o.Dial = d.tap.dial
	}
	p, err := peer.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := p.Connected(ctx, true); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// meet creates the mesh and lets bob in.
func (d *demo) meet(ctx context.Context) error {
	_, err := peer.CreateMesh(ctx, peer.CreateOptions{Dir: filepath.Join(d.dir, "alice"), Name: "demo", User: "alice", Device: "laptop", Broker: d.url, Client: clientName()})
	if err != nil {
		return err
	}
	if d.alice, err = d.open(ctx, "alice", peer.Live); err != nil {
		return err
	}
	invite, err := d.alice.Invite(ctx, peer.InviteOptions{Uses: 1})
	if err != nil {
		return err
	}
	if _, err := peer.Join(ctx, invite.Link, peer.JoinOptions{Dir: filepath.Join(d.dir, "bob"), User: "bob", Device: "desk", Client: clientName()}); err != nil {
		return err
	}
	if d.bob, err = d.open(ctx, "bob", peer.Live); err != nil {
		return err
	}
	return d.app.ui.result("%-48s  %s", "alice  creates the mesh, signs an invite", "bob  joins by it; both check each other's signatures")
}

// write sends one message and shows both sides of it, and the broker's.
func (d *demo) write(ctx context.Context) error {
	const text = "tests are green on main"
	read := make(chan result, 1)
	go func() { read <- d.readNext(ctx) }()
	begin := time.Now()
	sent, err := d.alice.Send(ctx, "bob", text, peer.SendOptions{Priority: peer.Now, SeenWait: 5 * time.Second})
	took := time.Since(begin)
	if err != nil {
		return err
	}
	got := <-read
	if got.err != nil {
		return got.err
	}
	if state := overall(sent.To); state != peer.Seen {
		return fmt.Errorf("the message is %s, not seen", state)
	}
	passed, heard := d.tap.last()
	if !heard {
		return errors.New("nothing was overheard between broker and bob")
	}
	if err := d.app.ui.result("alice  types      %q", text); err != nil {
		return err
	}
	if err := d.app.ui.result("broker sees       from %s to %s, %d bytes: % x … (this is all it has)",
		short(passed.frame.From), short(d.bob.Self().Key), len(passed.payload), passed.payload[:min(12, len(passed.payload))]); err != nil {
		return err
	}
	return d.app.ui.result("%-48s  from %s@%s, proved by its key     seen receipt back after %d ms",
		fmt.Sprintf("bob    reads      %q", got.message.Body), got.message.From.User, got.message.From.Device, took.Milliseconds())
}

// result is a message that was read, or what went wrong.
type result struct {
	message peer.Message
	err     error
}

// readNext lets bob read the next message and say that he saw it.
func (d *demo) readNext(ctx context.Context) result {
	m, err := d.bob.Next(ctx)
	if err != nil {
		return result{err: err}
	}
	return result{m, d.bob.Seen(ctx, m)}
}

// short is the beginning of a key.
func short(k keys.Public) string { return strings.TrimPrefix(k.String(), "key-")[:4] + "…" }

// beAway sends to somebody who is away, kills the broker, and lets him come back.
func (d *demo) beAway(ctx context.Context) error {
	if err := d.bob.Close(); err != nil {
		return err
	}
	sent, err := d.alice.Send(ctx, "bob", "look at the last commit", peer.SendOptions{SeenWait: -1})
	if err != nil {
		return err
	}
	if state := overall(sent.To); state != peer.Queued {
		return fmt.Errorf("the message is %s, not queued", state)
	}
	d.kill()
	if err := d.start(ctx); err != nil {
		return err
	}
	if d.bob, err = d.open(ctx, "bob", peer.Live); err != nil {
		return err
	}
	got := d.readNext(ctx)
	if got.err != nil {
		return got.err
	}
	box, err := d.bob.Take(ctx, peer.TakeOptions{Asked: true, Elsewhere: true})
	if err != nil {
		return err
	}
	if len(box.Messages) > 0 {
		return errors.New("the message came twice")
	}
	return d.app.ui.result("bob    is away; alice sends; the broker is killed and started again; bob comes back and reads it, once")
}

// putOut revokes bob and shows what he and alice can do then.
func (d *demo) putOut(ctx context.Context) error {
	if err := d.alice.Connected(ctx, true); err != nil {
		return err
	}
	if _, err := d.alice.Revoke(ctx, "bob@desk"); err != nil {
		return err
	}
	var out *peer.RevokedError
	if _, err := d.bob.Send(ctx, "alice", "am I still in?", peer.SendOptions{}); !errors.As(err, &out) {
		return fmt.Errorf("what bob sends is not refused: %v", err)
	}
	sentence := out.Error()
	if _, err := d.alice.Send(ctx, "bob", "you should not read this", peer.SendOptions{}); peer.ClassOf(err) != peer.ClassRefused {
		return fmt.Errorf("what alice sends to bob is not refused: %v", err)
	}
	if err := d.app.ui.result("alice  revokes bob; what he sends is refused, and nothing is sealed to his key any more"); err != nil {
		return err
	}
	return d.app.ui.result("bob    is told    %q", sentence)
}
