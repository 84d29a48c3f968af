package modelstub

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// Request is what the agent sent, and so what a model would have seen.
type Request struct {
	// N counts the server's requests, from 0.
	N int
	// Time of arrival.
	Time time.Time
	// Method, Path and Header are those of HTTP.
	Method, Path string
	Header       http.Header
	// Body as it came.
	Body []byte

	// Model that was asked for.
	Model string
	// Stream tells whether the answer is wanted piece by piece.
	Stream bool
	// Tools are the names of the tools offered, in order.
	Tools []string
	// Pieces are all texts of the request, in the order in which a model reads
	// them: the system prompt's, then each message's.
	Pieces []Piece
}

// Piece is one text of a request.
type Piece struct {
	// Role is whose voice it has: "system", "user", "assistant", or "tools" for
	// the definition of a tool. Messages in the middle of a conversation can have
	// the role "system", too.
	Role string
	// Kind of content: "text", "tool_use", "tool_result", "thinking", or what
	// else the agent sent.
	Kind string
	// Message is the number of the message it stands in, from 0; -1 for the
	// system prompt and the tools.
	Message int
	// ID is the tool call's id, of tool_use and tool_result.
	ID string
	// Name is the tool's name, of tool_use and of a tool's definition.
	Name string
	// Text is the text; of a tool_use its input as JSON.
	Text string
	// Failed tells of a tool_result that it is an error.
	Failed bool
}

// Turn tells whether the request is a turn of a conversation: one to
// /v1/messages that offers tools.
func (r Request) Turn() bool { return r.Path == "/v1/messages" && len(r.Tools) > 0 }

// Where returns the pieces that contain text.
func (r Request) Where(text string) []Piece {
	var found []Piece
	for _, p := range r.Pieces {
		if strings.Contains(p.Text, text) {
			found = append(found, p)
		}
	}
	return found
}

// Contains tells whether any piece contains text.
func (r Request) Contains(text string) bool { return len(r.Where(text)) > 0 }

// Results counts the tool results in the request.
func (r Request) Results() int {
	n := 0
	for _, p := range r.Pieces {
		if p.Kind == "tool_result" {
			n++
		}
	}
	return n
}

// Result returns the last tool result of the request, and whether there is one.
func (r Request) Result() (Piece, bool) {
	for i := len(r.Pieces) - 1; i >= 0; i-- {
		if r.Pieces[i].Kind == "tool_result" {
			return r.Pieces[i], true
		}
	}
	return Piece{}, false
}

// New returns the pieces that came after the last assistant's: what the model
// has not answered yet.
func (r Request) New() []Piece {
	last := 0
	for i, p := range r.Pieces {
		if p.Role == "assistant" || p.Message < 0 {
			last = i + 1
		}
	}
	return r.Pieces[last:]
}

// block is an element of a content list.
type block struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	Thinking  string          `json:"thinking"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	ToolUseID string          `json:"tool_use_id"`
	Content   json.RawMessage `json:"content"`
	IsError   bool            `json:"is_error"`
	ToolName  string          `json:"tool_name"`
}

// read fills in what the body says. A body that is no such JSON leaves it empty.
func (r *Request) read() {
	var body struct {
		Model    string            `json:"model"`
		Stream   bool              `json:"stream"`
		System   json.RawMessage   `json:"system"`
		Tools    []json.RawMessage `json:"tools"`
		Messages []struct {
			Role    string          `json:"role"`
			Content json.RawMessage `json:"content"`
		} `json:"messages"`
	}
	if json.Unmarshal(r.Body, &body) != nil {
		return
	}
	r.Model, r.Stream = body.Model, body.Stream
	for _, definition := range body.Tools {
		var tool struct {
			Name string `json:"name"`
		}
		_ = json.Unmarshal(definition, &tool) // one without a name is counted all the same
		r.Tools = append(r.Tools, tool.Name)
		r.Pieces = append(r.Pieces, Piece{Role: "tools", Kind: "text", Message: -1, Name: tool.Name, Text: string(definition)})
	}
	r.add("system", -1, body.System)
	for i, m := range body.Messages {
		r.add(m.Role, i, m.Content)
	}
}

// add adds the pieces of one message's content.
func (r *Request) add(role string, message int, content json.RawMessage) {
	for _, b := range blocks(content) {
		p := Piece{Role: role, Kind: b.Type, Message: message}
		switch b.Type {
		case "text":
			p.Text = b.Text
		case "thinking":
			p.Text = b.Thinking
		case "tool_use":
			p.ID, p.Name, p.Text = b.ID, b.Name, string(b.Input)
		case "tool_result":
			p.ID, p.Failed = b.ToolUseID, b.IsError
			var texts []string
			for _, inner := range blocks(b.Content) {
				switch inner.Type {
				case "text":
					texts = append(texts, inner.Text)
				case "tool_reference":
					texts = append(texts, inner.ToolName)
				}
			}
			p.Text = strings.Join(texts, "\n")
		}
		r.Pieces = append(r.Pieces, p)
	}
}

// blocks reads content, which is a string or a list of blocks.
func blocks(content json.RawMessage) []block {
	var text string
	if json.Unmarshal(content, &text) == nil {
		return []block{{Type: "text", Text: text}}
	}
	var list []block
	if json.Unmarshal(content, &list) != nil {
		return nil
	}
	return list
}
