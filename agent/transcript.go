package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"os"
	"strings"
	"time"

	"github.com/claudemesh/claudemesh-go/peer"
)

const (
	// tailBytes is how much of the end of a transcript is read for evidence.
	tailBytes = 1 << 20
	// lastBytes is how much is read to see what happened last.
	lastBytes = 64 << 10
)

// The client writes its transcript down a little after the turn ended.
var proofAgain = []time.Duration{300 * time.Millisecond, time.Second, 4 * time.Second}

// proveSoon looks for proof now, and again a little later for what it did not
// find.
func (s *server) proveSoon(ctx context.Context) {
	if s.proof(ctx) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.group.Go(func() {
		for _, pause := range proofAgain {
			select {
			case <-time.After(pause):
			case <-s.life.Done():
				return
			}
			if s.proof(s.life) {
				return
			}
		}
	})
}

// proof marks those of the handed-out messages as seen that the session's
// transcript shows to have been in front of the model, and reports whether none
// is left.
func (s *server) proof(ctx context.Context) bool {
	s.mu.Lock()
	path := s.bells.transcript
	ids := map[string]bool{}
	for _, messages := range s.handed {
		for _, m := range messages {
			ids[m.Short] = false
		}
	}
	s.mu.Unlock()
	if path == "" || len(ids) == 0 {
		return true
	}
	if err := readTranscript(path, ids); err != nil {
		s.options.Logger.Warn("read the transcript", "error", err)
		return false
	}
	left := 0
	proved := map[*peer.Peer][]peer.Message{}
	s.mu.Lock()
	for p, messages := range s.handed {
		var rest []peer.Message
		for _, m := range messages {
			if ids[m.Short] {
				proved[p] = append(proved[p], m)
			} else {
				rest = append(rest, m)
			}
		}
		s.handed[p] = rest
		left += len(rest)
	}
	s.mu.Unlock()
	for p, messages := range proved {
		if err := p.Seen(ctx, messages...); err != nil {
			s.options.Logger.Warn("mark as seen", "error", err)
		}
	}
	return left == 0
}

// readTranscript sets the ids of which the transcript has proof: a row of type
// user or attachment that carries the id, followed by one of type assistant.
// Rows of other types come before the model sees anything.
func readTranscript(path string, ids map[string]bool) error {
	shown := map[string]bool{}
	for row, err := range transcriptRows(path, tailBytes) {
		if err != nil {
			return err
		}
		switch typeOf(row) {
		case "user", "attachment":
			for id := range ids {
				if carries(row, id) {
					shown[id] = true
				}
			}
		case "assistant":
			for id := range shown {
				ids[id] = true
			}
		}
	}
	return nil
}

// interruption begins what the client writes in the user's place when the user
// stops a turn.
const interruption = "[Request interrupted by user"

// interrupted tells whether the last that happened in a session is that its user
// stopped the turn.
func interrupted(path string) (stopped bool, err error) {
	for row, err := range transcriptRows(path, lastBytes) {
		if err != nil {
			return false, err
		}
		switch typeOf(row) {
		case "user":
			var r struct {
				Message struct{ Content []struct{ Type, Text string } }
			}
			stopped = json.Unmarshal(row, &r) == nil && len(r.Message.Content) > 0 &&
				r.Message.Content[0].Type == "text" && strings.HasPrefix(r.Message.Content[0].Text, interruption)
		case "assistant":
			stopped = false
		}
	}
	return stopped, nil
}

// typeOf is the type of a row, "" of a broken one.
func typeOf(row []byte) string {
	var r struct{ Type string }
	if json.Unmarshal(row, &r) != nil {
		return ""
	}
	return r.Type
}

// transcriptRows reads the rows that begin in the last bytes of a transcript. An
// error ends them.
func transcriptRows(path string, last int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			yield(nil, err)
			return
		}
		from := max(info.Size()-last, 0)
		if _, err := f.Seek(from, io.SeekStart); err != nil {
			yield(nil, err)
			return
		}
		rows := bufio.NewReader(f)
		for first := from > 0; ; first = false {
			row, err := rows.ReadBytes('\n')
			if len(row) > 0 && !first && !yield(row, nil) { // the first may be half a row
				return
			}
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// carries tells whether a row names an id, and not a longer one that begins
// with it.
func carries(row []byte, id string) bool {
	for {
		i := bytes.Index(row, []byte(id))
		if i < 0 {
			return false
		}
		rest := row[i+len(id):]
		if len(rest) == 0 || !(rest[0] >= 'a' && rest[0] <= 'z' || rest[0] >= '0' && rest[0] <= '9') {
			return true
		}
		row = rest
	}
}
