package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/term"

	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/quote"
)

// ui is where a command reads and writes. Results go to out, what a script does
// not want (progress, hints, questions) to err.
type ui struct {
	in  *os.File
	out io.Writer
	err io.Writer

	mu    sync.Mutex // guards whole lines of out and err: events arrive from other goroutines
	input *bufio.Reader
}

func newUI(in, out, err *os.File) *ui {
	return &ui{in: in, out: out, err: err, input: bufio.NewReader(in)}
}

// result writes one line of the result. The error is that of standard output: a
// message whose line could not be written was not shown.
func (u *ui) result(format string, args ...any) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, err := fmt.Fprintf(u.out, format+"\n", args...)
	return err
}

// labelled writes one line of the result behind a word that says what it is about.
func (u *ui) labelled(label, format string, args ...any) error {
	return u.result("%-8s "+format, append([]any{label}, args...)...)
}

// fact writes one line of the result in three columns: what, its name, a word
// about it.
func (u *ui) fact(label, value, note string) error {
	if note == "" {
		return u.labelled(label, "%s", value)
	}
	return u.labelled(label, "%-15s   %s", value, note)
}

// hint writes a line for the person at the terminal: what happened on the way,
// or what to do next.
func (u *ui) hint(format string, args ...any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	fmt.Fprintf(u.err, format+"\n", args...)
}

// json writes v as one line of JSON, the only thing that a command with --json
// writes to standard output.
func (u *ui) json(v any) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	enc := json.NewEncoder(u.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// orNone makes an empty list of none, so that JSON says [].
func orNone(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// interactive says whether somebody sits at standard input.
func (u *ui) interactive() bool { return term.IsTerminal(int(u.in.Fd())) }

// secret reads a secret: hidden, after a prompt, from a terminal; else the first
// line of standard input. Secrets are never required as an argument, since every
// user of a machine can read the arguments of every process.
func (u *ui) secret(prompt string) (string, error) {
	if !u.interactive() {
		text, err := u.line()
		if errors.Is(err, io.EOF) {
			return "", nil // whoever asks says what is missing
		}
		return text, err
	}
	u.mu.Lock()
	fmt.Fprintf(u.err, "%s: ", prompt)
	u.mu.Unlock()
	text, err := term.ReadPassword(int(u.in.Fd()))
	u.hint("")
	if err != nil {
		return "", fmt.Errorf("read the hidden answer: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// confirm asks a question that is answered by yes or no; an empty answer means
// otherwise. Where nobody answers, that is no word.
func (u *ui) confirm(question string, otherwise bool) (bool, error) {
	choice := "[y/N]"
	if otherwise {
		choice = "[Y/n]"
	}
	u.mu.Lock()
	fmt.Fprintf(u.err, "%s %s ", question, choice)
	u.mu.Unlock()
	answer, err := u.line()
	if !u.interactive() {
		u.hint("") // the answer was not echoed, so its line end is missing
	}
	switch {
	case errors.Is(err, io.EOF):
		return false, &failure{class: peer.ClassUsage, err: err, sentence: "nobody answers here, so nothing was changed", hint: "To go ahead without asking: --yes"}
	case err != nil:
		return false, err
	}
	switch strings.ToLower(answer) {
	case "":
		return otherwise, nil
	case "y", "yes":
		return true, nil
	}
	return false, nil
}

// line reads one line of standard input, without blanks around it; io.EOF where there
// is none.
func (u *ui) line() (string, error) {
	text, err := u.input.ReadString('\n')
	if err != nil && (text == "" || !errors.Is(err, io.EOF)) {
		return "", fmt.Errorf("read standard input: %w", err)
	}
	return strings.TrimSpace(text), nil
}

// all reads standard input to its end, but no more than limit bytes and one.
func (u *ui) all(limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(u.input, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	return data, nil
}

// plainLine makes what somebody else wrote fit for a place of a terminal where only
// one line fits.
func plainLine(text string) string {
	return strings.Join(strings.Fields(quote.Text(text)), " ")
}

// home shortens a path below the user's home folder to one that starts with ~.
func home(path string) string {
	dir, err := os.UserHomeDir()
	if err != nil || dir == "" {
		return path
	}
	full, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	rest, err := filepath.Rel(dir, full)
	if err != nil || rest == ".." || strings.HasPrefix(rest, ".."+string(filepath.Separator)) {
		return path
	}
	return filepath.Join("~", rest)
}

// underHome is a text in which paths below the user's home folder start with ~.
func underHome(text string) string {
	dir, err := os.UserHomeDir()
	if err != nil || filepath.Dir(dir) == dir {
		return text
	}
	return strings.ReplaceAll(text, dir+string(filepath.Separator), "~"+string(filepath.Separator))
}

// plural writes a number and its noun: 1 message, 2 messages.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
