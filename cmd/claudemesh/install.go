package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/agent"
	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/quote"
	"github.com/claudemesh/claudemesh-go/setup"
)

func (a *app) installCommand() *cobra.Command {
	var yes, dryRun, project, ask bool
	c := &cobra.Command{
		Use:   "install",
		Short: "Connect Claude Code: every session is a peer from then on",
		Long: `Shows what it will change in Claude Code's files, asks, and changes that and
nothing else: the server, hooks that say when a message waits, the read-only tools
allowed, a status line if you have none, and a skill of a few lines. Run again it
brings all of it up to date. claudemesh uninstall takes it away.

Where you are in no mesh yet it makes one for the sessions of this machine, with no
server to run: a session that finds none starts it. claudemesh up opens that mesh to
other machines; claudemesh join comes into somebody else's.

By the second question the agent may answer peers (reply, decline) without asking
you each time; to send and to ask it keeps asking you, unless you allow that in
Claude Code.`,
		Args: upTo(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := a.setupOptions(project)
			if err != nil {
				return err
			}
			if ask {
				o.Answers = setup.AnswersAsk
			}
			if dryRun {
				return a.installDry(o)
			}
			return a.install(cmd.Context(), o, yes, ask)
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "go ahead without asking; peers' questions may be answered then, but for --ask")
	c.Flags().BoolVar(&ask, "ask", false, "have Claude Code ask you before each answer to a peer")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "show the changes as a diff, and change nothing")
	c.Flags().BoolVar(&project, "project", false, "in the files of this folder's project (.mcp.json, .claude/) instead of yours")
	a.jsonFlag(c)
	return c
}

// setupOptions says where Claude Code's files and this binary are.
func (a *app) setupOptions(project bool) (setup.Options, error) {
	o := setup.Options{Dir: a.dir, ConfigDir: os.Getenv("CLAUDE_CONFIG_DIR")}
	var err error
	if o.Dir == "" {
		o.Dir, err = profile.Dir()
	} else {
		o.Dir, err = filepath.Abs(o.Dir)
	}
	if err != nil {
		return o, err
	}
	executable, err := os.Executable()
	if err != nil {
		return o, fmt.Errorf("find this program: %w", err)
	}
	found, err := exec.LookPath(os.Args[0])
	if err != nil {
		found = "" // started by a name that is not on the path
	}
	o.Binary = setup.SameProgram(found, executable)
	if !project {
		return o, nil
	}
	if o.Project, err = os.Getwd(); err != nil {
		return o, fmt.Errorf("find this folder: %w", err)
	}
	// A project's files are shared: they name the program as everybody finds it.
	if onPath, err := exec.LookPath("claudemesh"); err == nil && setup.SameProgram(onPath, executable) == onPath {
		o.Binary = "claudemesh"
	}
	return o, nil
}

func (a *app) installDry(o setup.Options) error {
	if o.Answers == setup.AnswersKeep {
		o.Answers = setup.AnswersAllow
	}
	plan, err := setup.PlanInstall(o)
	if err != nil {
		return fileError(err)
	}
	return a.showDry(plan)
}

// showDry shows what a plan would do.
func (a *app) showDry(plan *setup.Plan) error {
	if a.json {
		return a.ui.json(setupResult{Files: setupFiles(plan), Notes: orNone(plan.Notes)})
	}
	a.notes(plan)
	if len(plan.Changes) == 0 {
		return a.ui.result("nothing to change")
	}
	return a.ui.result("%s", strings.TrimSuffix(quote.Text(plan.Diff()), "\n"))
}

func (a *app) install(ctx context.Context, o setup.Options, yes, ask bool) error {
	if fromGoRun() {
		return &failure{class: peer.ClassFailed, sentence: "go run built this binary and throws it away: Claude Code would not find it",
			hint: "First: go install ./cmd/claudemesh     then: claudemesh install"}
	}
	plan, err := setup.PlanInstall(o)
	if err != nil {
		return fileError(err)
	}
	meshes, err := peer.Meshes(a.dir)
	if err != nil {
		return err
	}
	if yes && plan.First && !ask {
		o.Answers = setup.AnswersAllow
	}
	if len(meshes) == 0 && len(plan.Changes) > 0 && !yes {
		a.ui.hint("%-12s a mesh for the sessions of this machine, in %s", "Will make", home(o.Dir))
	}
	if len(plan.Changes) > 0 && !yes {
		if err := a.askInstall(plan, &o, ask); err != nil {
			return err
		}
	}
	var created *peer.Created
	o.LocalScope = func(ctx context.Context) (err error) {
		created, err = a.localScope(ctx)
		return err
	}
	done, err := setup.Install(ctx, o)
	if err != nil {
		return fileError(err)
	}
	return a.installed(ctx, o, done, created)
}

// askInstall shows the plan and asks, the second question only at the first
// time.
func (a *app) askInstall(plan *setup.Plan, o *setup.Options, ask bool) error {
	a.showPlan("Will change", plan)
	if ok, err := a.ui.confirm("Go ahead?", true); err != nil || !ok {
		return declined(err)
	}
	if !plan.First || ask {
		return nil
	}
	ok, err := a.ui.confirm("May it answer peers' questions without asking you each time (reply, decline)?", true)
	if err != nil {
		return err
	}
	o.Answers = setup.AnswersAsk
	if ok {
		o.Answers = setup.AnswersAllow
	}
	return nil
}

// declined is what a command says that was not agreed to.
func declined(err error) error {
	if err != nil {
		return err
	}
	return &failure{class: peer.ClassFailed, sentence: "nothing was changed"}
}

// showPlan lists the files and what happens to them.
func (a *app) showPlan(title string, plan *setup.Plan) {
	width := 0
	for _, c := range plan.Changes {
		width = max(width, len(home(c.Path)))
	}
	for _, c := range plan.Changes {
		a.ui.hint("%-12s %-*s  %s", title, width, home(c.Path), strings.Join(c.Marks, ", "))
		title = ""
	}
	a.notes(plan)
}

func (a *app) notes(plan *setup.Plan) {
	for _, n := range plan.Notes {
		a.ui.hint("note: %s", plainLine(n))
	}
}

// setupResult is what install and uninstall write with --json.
type setupResult struct {
	Changed bool        `json:"changed"`
	Files   []setupFile `json:"files"`
	Client  string      `json:"client,omitempty"` // version of Claude Code
	Tools   int         `json:"tools,omitempty"`  // that the server lists
	Notes   []string    `json:"notes"`

	Mesh *createdJSON `json:"mesh,omitempty"` // that was made for this machine's sessions
}

type setupFile struct {
	Path     string   `json:"path"`
	Changes  []string `json:"changes"`
	Restored bool     `json:"restored,omitempty"`
	Removed  bool     `json:"removed,omitempty"`
}

func setupFiles(plan *setup.Plan) []setupFile {
	files := []setupFile{}
	for _, c := range plan.Changes {
		files = append(files, setupFile{c.Path, orNone(c.Marks), c.Restored, c.Remove})
	}
	return files
}

// installed starts the server as Claude Code will, and says how things stand.
func (a *app) installed(ctx context.Context, o setup.Options, done *setup.Plan, created *peer.Created) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tools, err := agent.Tools(ctx, o.Binary, versionText())
	if err != nil {
		return &failure{class: peer.ClassFailed, err: err, sentence: "set up, but the server does not start: " + err.Error(),
			hint: "Undo: claudemesh uninstall"}
	}
	client, err := setup.ClientVersion(ctx)
	if err != nil && !errors.Is(err, setup.ErrNoClient) {
		return err
	}
	if a.json {
		result := setupResult{len(done.Changes) > 0, setupFiles(done), client, len(tools), orNone(done.Notes), nil}
		if created != nil {
			result.Mesh = &createdJSON{created.Mesh.Alias, created.Mesh.Address, created.RecoveryFile}
		}
		return a.ui.json(result)
	}
	if created != nil {
		if err := a.ui.result("%-12s %s, for the sessions of this machine; you own it, as %s", "mesh", created.Mesh.Alias, created.Mesh.Address); err != nil {
			return err
		}
		if err := a.ui.result("%-12s %s   take it off this machine; it is the way back if the owner key is stolen", "recovery", home(created.RecoveryFile)); err != nil {
			return err
		}
	}
	works := fmt.Sprintf("claude %s; the server starts and lists %s", client, plural(len(tools), "tool"))
	if client == "" {
		works = "claude is not on the path yet; the server starts and lists " + plural(len(tools), "tool")
	}
	if len(done.Changes) == 0 {
		a.notes(done)
		if err := a.ui.result("%-12s already, nothing to change: %s", "installed", works); err != nil {
			return err
		}
	} else if err := a.ui.result("%-12s %s. Running sessions: restart them. Undo: claudemesh uninstall", "installed", works); err != nil {
		return err
	}
	if created != nil {
		a.ui.hint("Other machines, other people:  claudemesh up --lan, or claudemesh up --help")
	}
	return nil
}

// fileError says in one sentence what is wrong with a file of another program.
func fileError(err error) error {
	var wrong *setup.FileError
	if !errors.As(err, &wrong) {
		return err
	}
	return &failure{class: peer.ClassFailed, err: err,
		sentence: strings.ReplaceAll(home(wrong.Path)+" "+wrong.Problem, wrong.Path, home(wrong.Path)), hint: "Nothing was changed."}
}
