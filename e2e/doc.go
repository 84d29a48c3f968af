// Package e2e drives the real binary in several processes: it is killed under
// load, spoken to by the official MCP Inspector, and (with the build tag
// system, as root) joined across network namespaces, traced for what it syncs,
// and run on a full disk.
package e2e
