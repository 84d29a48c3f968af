package main

import (
	"strings"
	"unicode/utf8"
)

// table lines up columns. Cells are made fit for a terminal; the last column may
// be of any width.
type table struct{ rows [][]string }

func (t *table) row(cells ...string) {
	for i := range cells {
		cells[i] = plainLine(cells[i])
	}
	t.rows = append(t.rows, cells)
}

func (t *table) write(u *ui) error {
	var width []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range t.rows {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			b.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)+2))
		}
		if err := u.result("%s", strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}
