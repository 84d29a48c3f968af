// Package agent stands between a coding agent and a peer: it is the MCP server
// that `claudemesh mcp` runs over standard input and output, and it decides how
// what peers wrote is put in front of a model.
//
// # Whose voice
//
// A peer's words reach the model as a tool result and in no other way. There
// they stand framed: each line behind a bar, under a header of ours that names
// the sender proved by the chain. Nothing that a peer chooses (body, name,
// label, summary) can close the frame, imitate another, carry the tags with
// which clients wrap what the system or the user says, or steer a terminal
// (package quote).
//
// # Seen
//
// A message counts as seen when a tool result carried it and the client sent
// another request afterwards: only then did the result go through the agent's
// hands. What was handed out without that proof is shown again by the next
// session, and says so.
//
// # Going online
//
// initialize and tools/list are answered at once, with no broker and with
// nothing configured. The peers open at the first tool call, or three seconds
// after the client said that it is initialized; a client that only lists
// servers is gone by then and takes no messages with it.
package agent
