package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/claudemesh/claudemesh-go/config"
	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/quote"
)

// failure is an error of the command line itself: one sentence, what to do
// about it, and the exit code.
type failure struct {
	class    peer.Class
	sentence string
	hint     string // second line; "" for none
	err      error  // what led to it, may be nil
}

func (f *failure) Error() string     { return f.sentence }
func (f *failure) Unwrap() error     { return f.err }
func (f *failure) Class() peer.Class { return f.class }

// errSilent ends a command with an exit code when all was said already.
type errSilent struct{ class peer.Class }

func (e errSilent) Error() string     { return "" }
func (e errSilent) Class() peer.Class { return e.class }

// report says in one sentence what went wrong, in the next line what to do, and
// returns the exit code.
func (a *app) report(err error) int {
	if err == nil {
		return 0
	}
	err = explain(err)
	if text := err.Error(); text != "" {
		a.ui.hint("%s", quote.Text(underHome(text)))
	}
	if hint := hintFor(err); hint != "" {
		a.ui.hint("%s", hint)
	}
	return int(peer.ClassOf(err))
}

// explain turns what the operating system says into a sentence for people. What
// has one already, it returns as it is.
func explain(err error) error {
	var known interface{ Class() peer.Class }
	if errors.As(err, &known) {
		return err
	}
	var path *fs.PathError
	switch {
	case errors.Is(err, context.Canceled):
		return &failure{class: peer.ClassFailed, sentence: "stopped", err: err}
	case errors.Is(err, profile.ErrFull), errors.Is(err, syscall.ENOSPC):
		return &failure{class: peer.ClassFailed, err: err, hint: "Make room and run it again.",
			sentence: "the disk is full: what was acknowledged is safe, nothing else was changed"}
	case errors.Is(err, syscall.EROFS):
		return &failure{class: peer.ClassFailed, err: err,
			sentence: "the disk is read-only: " + err.Error()}
	case errors.Is(err, syscall.ENOTDIR) && errors.As(err, &path):
		return &failure{class: peer.ClassFailed, err: err, sentence: home(path.Path) + " is not a folder, or stands in none"}
	case errors.Is(err, syscall.EPIPE):
		// Whoever reads standard output has gone (head, a pager): no news for him.
		return errSilent{peer.ClassFailed}
	case errors.Is(err, fs.ErrNotExist) && errors.As(err, &path):
		return &failure{class: peer.ClassFailed, err: err,
			sentence: strings.Replace(err.Error(), path.Error(), home(path.Path)+" is not there", 1)}
	case errors.Is(err, fs.ErrExist) && errors.As(err, &path):
		return &failure{class: peer.ClassFailed, err: err,
			sentence: strings.Replace(err.Error(), path.Error(), home(path.Path)+" is there already", 1)}
	case errors.Is(err, os.ErrPermission) && errors.As(err, &path):
		return &failure{class: peer.ClassFailed, err: err,
			sentence: fmt.Sprintf("may not %s %s: it belongs to somebody else, or its mode forbids it", path.Op, home(path.Path))}
	}
	return err
}

// hintFor says what to do about an error, where there is something to do.
func hintFor(err error) string {
	var own *failure
	if errors.As(err, &own) {
		return own.hint
	}
	var unreachable *peer.NotReachableError
	switch {
	case errors.As(err, &unreachable):
		return "Try: claudemesh doctor"
	case errors.Is(err, config.ErrBroken):
		return "Mend it, or put a copy in its place: it holds the keys of your meshes. Nothing was changed."
	case errors.Is(err, profile.ErrCorrupt):
		return "Put a backup in its place, or move it away: what it held is lost then."
	}
	return ""
}
