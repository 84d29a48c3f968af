package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/config"
	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/setup"
)

// clockTolerance is how far a clock may be off before doctor calls it a problem:
// the chain refuses entries five minutes ahead.
const clockTolerance = 2 * time.Minute

func (a *app) doctorCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Find what is wrong",
		Long: `Checks the config, the clock, the broker, the list of members and what waits to be
sent, of every mesh or of the one that --mesh names, and whether Claude Code starts
the server and runs the hooks. Exit code 1 where something is wrong.`,
		Args: upTo(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			d := &diagnosis{app: a}
			if d.config(); d.problems == 0 {
				if err := d.meshes(ctx); err != nil {
					return err
				}
				if err := d.client(ctx); err != nil {
					return err
				}
			}
			return d.end()
		},
	}
	a.jsonFlag(c)
	return c
}

// diagnosis is what doctor found so far.
type diagnosis struct {
	app      *app
	found    []finding
	problems int
	unsent   int
}

// finding is one line.
type finding struct {
	Result string `json:"result"` // ok, FAIL, warn, or - where it was not checked
	Mesh   string `json:"mesh,omitempty"`
	Check  string `json:"check"`
	Text   string `json:"text"`
}

func (d *diagnosis) add(result, mesh, check, format string, args ...any) {
	f := finding{result, mesh, check, plainLine(underHome(fmt.Sprintf(format, args...)))}
	d.found = append(d.found, f)
	if result == "FAIL" {
		d.problems++
	}
	if d.app.json {
		return
	}
	where := ""
	if mesh != "" {
		where = mesh + ": "
	}
	_ = d.app.ui.result("%-6s %-9s %s%s", f.Result, f.Check, where, f.Text)
}

// config looks at the folder and the config without changing them.
func (d *diagnosis) config() {
	prof, err := profile.Open(d.app.dir)
	if err != nil {
		d.add("FAIL", "", "config", "%v", explain(err))
		return
	}
	path := home(prof.ConfigPath())
	if _, err := prof.Config(); err != nil {
		d.add("FAIL", "", "config", "%v", explain(err))
		return
	}
	open, err := prof.Permissions()
	switch {
	case err != nil:
		d.add("FAIL", "", "config", "%v", explain(err))
	case len(open) > 0:
		for i := range open {
			open[i] = home(open[i])
		}
		d.add("FAIL", "", "config", "others on this machine can read %s: chmod go= %s", strings.Join(open, ", "), strings.Join(open, " "))
	default:
		d.add("ok", "", "config", "%s, version %d, only you can read it", path, config.Version)
	}
}

// meshes looks at each mesh.
func (d *diagnosis) meshes(ctx context.Context) error {
	meshes, err := peer.Meshes(d.app.dir)
	if err != nil {
		return err
	}
	if len(meshes) == 0 {
		d.add("-", "", "mesh", "none here yet: claudemesh up, or claudemesh join")
		return nil
	}
	seen := false
	for _, m := range meshes {
		if d.app.mesh != "" && m.Alias != d.app.mesh && m.ID.String() != d.app.mesh {
			continue
		}
		seen = true
		name := ""
		if len(meshes) > 1 {
			name = m.Alias
		}
		err := d.app.withOptions(ctx, peer.Options{Mesh: m.Alias, Receives: peer.Nothing}, func(p *peer.Peer) error {
			limited, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			facts, err := p.Facts(limited)
			if err != nil {
				return err
			}
			d.facts(name, facts)
			return nil
		})
		if err != nil {
			d.add("FAIL", name, "mesh", "%v", explain(err))
		}
	}
	if !seen {
		return &peer.UnknownNameError{Name: d.app.mesh, Mesh: "this profile", Candidates: aliases(meshes)}
	}
	return nil
}

// client looks whether Claude Code is here, and set up.
func (d *diagnosis) client(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	version, err := setup.ClientVersion(ctx)
	switch {
	case errors.Is(err, setup.ErrNoClient):
		d.add("-", "", "claude", "not checked: %v", err)
		return nil
	case err != nil:
		d.add("FAIL", "", "claude", "%v", err)
		return nil
	}
	o, err := d.app.setupOptions(false)
	if err != nil {
		return err
	}
	plan, err := setup.PlanInstall(o)
	if err != nil {
		d.add("FAIL", "", "claude", "%s: %v", version, fileError(err))
		return nil
	}
	switch {
	case len(plan.Changes) == 0:
		d.add("ok", "", "claude", "%s, server registered, hooks in place", version)
	case plan.First:
		d.add("-", "", "claude", "%s, not set up: claudemesh install", version)
	default:
		var marks []string
		for _, c := range plan.Changes {
			marks = append(marks, c.Marks...)
		}
		d.add("FAIL", "", "claude", "%s, set up otherwise than this program would: %s. Set it right: claudemesh install", version, strings.Join(marks, ", "))
	}
	return nil
}

func aliases(meshes []peer.MeshInfo) []string {
	var names []string
	for _, m := range meshes {
		names = append(names, m.Alias)
	}
	return names
}

// facts judges what a peer knows of its mesh.
func (d *diagnosis) facts(mesh string, f peer.Facts) {
	var revoked *peer.RevokedError
	if errors.As(f.Condition.Err, &revoked) {
		d.add("FAIL", mesh, "member", "%v Put it away here: claudemesh leave", revoked)
		return
	}
	switch {
	case !f.ClockKnown:
		d.add("-", mesh, "clock", "not checked: no broker")
	case f.Clock.Abs() > clockTolerance:
		word := "ahead of"
		if f.Clock < 0 {
			word = "behind"
		}
		d.add("FAIL", mesh, "clock", "%s %s the broker's: set it, or what you sign is refused", since(f.Clock.Abs()), word)
	default:
		d.add("ok", mesh, "clock", "%.1f s from the broker's", f.Clock.Abs().Seconds())
	}
	connected := f.Condition.State == peer.Online || f.Condition.State == peer.Waiting
	if connected {
		d.add("ok", mesh, "broker", "%s answers", f.Condition.Host)
	} else {
		d.add("FAIL", mesh, "broker", "%s", dialText(f))
	}
	d.roster(mesh, f, connected)
	d.loop(mesh, f.Loop)
	for _, w := range f.Warnings {
		d.add("FAIL", mesh, "warning", "%s", w)
	}
	for _, s := range f.Sessions {
		// A session of an agent says its client after it: "claudemesh/0.3.0 claude-code/2.1.331".
		runs, _, _ := strings.Cut(s.Client, " ")
		if runs, ours := strings.CutPrefix(runs, "claudemesh/"); ours && runs != versionText() {
			d.add("FAIL", mesh, "session", "%s (pid %d) runs another claudemesh (%s, now %s). Restart that session", s.Label, s.PID, runs, versionText())
		}
	}
	d.unsent += f.Unsent
}

func (d *diagnosis) roster(mesh string, f peer.Facts, connected bool) {
	switch {
	case f.Condition.State == peer.Waiting || f.Mesh.Pending:
		d.add("-", mesh, "roster", "%s waits for a yes: claudemesh admit %s", f.Mesh.Address, f.Mesh.Address)
	case !connected:
		d.add("-", mesh, "roster", "not checked: no broker")
	case f.Unconfirmed:
		d.add("FAIL", mesh, "roster", "nobody confirmed your list of members for 24 hours, though others were connected: someone may withhold a revocation. Ask them")
	case f.Confirmed != "":
		d.add("ok", mesh, "roster", "%s, checked up to entry %d; confirmed by %s %s", plural(f.Members, "member"), f.Roster, f.Confirmed, clockTime(unixMilli(f.ConfirmedAt), time.Now()))
	default:
		d.add("ok", mesh, "roster", "%s, checked up to entry %d", plural(f.Members, "member"), f.Roster)
	}
}

// loop tells what the loop guard allows and what it did.
func (d *diagnosis) loop(mesh string, f peer.LoopFact) {
	if f.Depth == 0 && f.Pair == 0 {
		d.add("warn", mesh, "loops", "the loop guard is off (loop_guard in the config): agents may answer each other for ever")
		return
	}
	text := fmt.Sprintf("%s without a human in 10 minutes, the longest chain %d (bounds: %s to one peer, chains of %s)",
		plural(f.Automatic, "message"), f.Deepest, boundText(f.Pair), boundText(f.Depth))
	if f.Stops > 0 {
		text += fmt.Sprintf("; stopped %s, last with %s %s", plural(f.Stops, "time"), f.With, clockTime(unixMilli(f.Last), time.Now()))
	}
	d.add("ok", mesh, "loops", "%s", text)
}

// boundText is a bound of the loop guard.
func boundText(bound int) string {
	if bound == 0 {
		return "any number"
	}
	return strconv.Itoa(bound)
}

// dialText says why a broker was not reached, and what may help.
func dialText(f peer.Facts) string {
	if peer.ClassOf(f.Condition.Err) == peer.ClassRefused {
		return explain(f.Condition.Err).Error() // reached, but it or the chain says no
	}
	var said []string
	for _, dial := range f.Dials {
		if dial.OK {
			continue
		}
		reason := dial.Reason
		if reason == "" && dial.Err != nil {
			reason = dial.Err.Error()
		}
		if strings.HasPrefix(dial.URL, "unix:") {
			return "the broker of this machine: " + reason
		}
		if _, err := netip.ParseAddr(hostOf(dial.URL)); err != nil && dial.Resolves {
			reason = "name resolves, " + reason
		}
		where := dial.URL
		if u, err := url.Parse(dial.URL); err == nil && u.Host != "" {
			where = u.Host
		}
		said = append(said, where+": "+reason)
	}
	switch {
	case len(said) > 0:
	case f.Condition.Err != nil:
		said = append(said, explain(f.Condition.Err).Error())
	default:
		said = append(said, "not connected")
	}
	text := strings.Join(said, "; ") + ". "
	if len(f.Mesh.URLs) > 0 && onLocalNetwork(f.Mesh.URLs[0]) {
		return text + "Where it should run: claudemesh up"
	}
	return text + "Is it running on the server?"
}

// end sums up.
func (d *diagnosis) end() error {
	if d.app.json {
		if err := d.app.ui.json(map[string]any{"problems": d.problems, "unsent": d.unsent, "findings": d.found}); err != nil {
			return err
		}
	} else {
		sum := plural(d.problems, "problem")
		if d.problems == 0 {
			sum = "no problem"
		}
		if d.unsent > 0 {
			sum += fmt.Sprintf(", %s waiting to be sent", plural(d.unsent, "message"))
		}
		if err := d.app.ui.result("%s", sum); err != nil {
			return err
		}
	}
	if d.problems > 0 {
		return errSilent{peer.ClassFailed}
	}
	return nil
}
