// Package setup edits the files of other programs, so that a coding agent's
// sessions start our server, run our hooks and know our tools, and takes it all
// out again.
//
// # By splices
//
// Somebody else's file is changed in the places that are ours and nowhere
// else: comments, order, indentation, line ends and the last newline stay as
// they were (document.go). We never ask the other program to edit its file: its
// commands leave traces.
//
// # Nothing half done
//
// A [Plan] holds every file's bytes before and after. [Plan.Apply] looks once
// more whether the files are still those, under the lock that the other program
// itself takes, writes all of them beside their place, then renames. When one
// of the renames fails, the earlier ones are put back.
//
// # The way back
//
// What a file was before us is kept in the profile's folder, setup/ (record.go).
// Uninstalling restores it byte for byte while the file is as we left it. Claude
// Code rewrites ~/.claude.json at every start, so in the end that is rarely
// so; then only our pieces go, and the objects and lists that became empty by
// that, if they were not there before.
//
// # Files of one client a file
//
// claude.go says which files and pieces Claude Code wants; the rest of the
// package knows no client.
package setup
