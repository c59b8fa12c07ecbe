package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/purserhq/purser/internal/sheet"
)

// checkCmd tells what would become of each line of a sheet, without touching a portal.
type checkCmd struct {
	File           string `arg:"" type:"existingfile" help:"The sheet: CSV (also gzip) or .xlsx."`
	JSON           bool   `name:"json" help:"Print one JSON object."`
	Strict         bool   `help:"Exit with 1 when any row is rejected."`
	POColumn       string `name:"po-column" env:"PO_COLUMN" help:"Header, letter or number of the column of PO numbers; found by itself when not given."`
	SupplierColumn string `name:"supplier-column" env:"SUPPLIER_COLUMN" help:"The same for the supplier."`
	POPattern      string `name:"po-pattern" env:"PO_PATTERN" help:"Regular expression that a whole PO number matches, in place of the built-in rule."`
}

// Help is what purser check --help says beyond the flags.
func (c *checkCmd) Help() string {
	return `Every line is accepted, skipped (completed already, a duplicate, blank) or rejected, with the reason. No portal is asked.

Exit codes: 0 the sheet can be used: at least one row was accepted, or nothing was rejected; 1 rows were rejected and none was
accepted (with --strict: any was rejected); 2 the file cannot be read as a sheet.`
}

// checkCounts is how many rows got which verdict.
type checkCounts struct {
	Accepted int `json:"accepted"`
	Rejected int `json:"rejected"`
	Skipped  int `json:"skipped"`
}

func (c *checkCmd) Run(a *app) error {
	options := sheet.Options{POColumn: c.POColumn, SupplierColumn: c.SupplierColumn}
	if c.POPattern != "" {
		var err error
		if options.Pattern, err = regexp.Compile(c.POPattern); err != nil {
			return usagef("PO_PATTERN is %q; it must be a regular expression in Go's syntax: %w", c.POPattern, err)
		}
	}
	f, err := os.Open(c.File)
	if err != nil {
		return usagef("%w", err)
	}
	defer f.Close()
	s := checkedSheet{file: f, name: filepath.Base(c.File), options: options}

	// The first pass only counts: should the file turn out damaged at its end, nothing was printed as if all were well.
	var counts checkCounts
	dialect, err := s.each(func(row sheet.Row) error {
		switch row.Verdict {
		case sheet.Accepted:
			counts.Accepted++
		case sheet.Skipped:
			counts.Skipped++
		case sheet.Rejected:
			counts.Rejected++
		}
		return a.ctx.Err()
	})
	var unreadable *sheet.Unreadable
	if errors.As(err, &unreadable) {
		if c.JSON {
			if err := json.NewEncoder(a.stdout).Encode(checkUnreadable{File: s.name, Error: unreadable.Error()}); err != nil {
				return err
			}
		}
		return usagef("%w", unreadable)
	}
	if err != nil {
		return err
	}

	out := bufio.NewWriter(a.stdout)
	if c.JSON {
		err = s.writeJSON(out, dialect, counts)
	} else {
		err = s.writeText(out, dialect, counts)
	}
	if err = errors.Join(err, out.Flush()); err != nil {
		return err
	}
	if counts.Rejected > 0 && (c.Strict || counts.Accepted == 0) {
		return &exitError{code: exitFailed}
	}
	return nil
}

// checkedSheet is the file under check. It is read several times rather than kept, so that a sheet of any length can be checked.
type checkedSheet struct {
	file    *os.File
	name    string
	options sheet.Options
}

// each reads the sheet from its beginning and calls visit for every row.
func (s *checkedSheet) each(visit func(sheet.Row) error) (dialect sheet.Dialect, err error) {
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return sheet.Dialect{}, err
	}
	r, err := sheet.Open(s.file, s.name, s.options)
	if err != nil {
		return sheet.Dialect{}, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		row, err := r.Next()
		if err == io.EOF {
			return r.Dialect(), nil
		}
		if err == nil {
			err = visit(row)
		}
		if err != nil {
			return sheet.Dialect{}, err
		}
	}
}

// checkUnreadable is the JSON object of a file that is no sheet.
type checkUnreadable struct {
	File  string `json:"file"`
	Error string `json:"error"`
}

// checkRow is one row of the JSON object's lists.
type checkRow struct {
	Line        int      `json:"line"`
	PO          string   `json:"po,omitempty"`
	Value       string   `json:"value"` // the PO cell as it was read
	Supplier    string   `json:"supplier,omitempty"`
	Levels      []string `json:"levels,omitempty"`
	Column      string   `json:"column,omitempty"`
	Reason      string   `json:"reason,omitempty"`
	DuplicateOf int      `json:"duplicate_of,omitempty"`
}

// writeJSON writes the JSON object, list by list.
func (s *checkedSheet) writeJSON(out io.Writer, d sheet.Dialect, counts checkCounts) error {
	head, err := json.Marshal(struct {
		File       string      `json:"file"`
		Format     string      `json:"format"`
		Encoding   string      `json:"encoding,omitempty"`
		Delimiter  string      `json:"delimiter,omitempty"`
		Worksheet  string      `json:"worksheet,omitempty"`
		HeaderLine int         `json:"header_line"`
		POColumn   string      `json:"po_column"`
		Suppliers  []string    `json:"supplier_columns,omitempty"`
		Levels     []string    `json:"level_columns,omitempty"`
		Counts     checkCounts `json:"counts"`
	}{
		s.name, d.Format, d.Encoding, strings.Trim(string(d.Delimiter), "\x00"), d.Worksheet, d.HeaderLine, d.POColumn, d.Suppliers,
		d.Levels, counts,
	})
	if err != nil {
		return err
	}
	fmt.Fprint(out, strings.TrimSuffix(string(head), "}"))
	for _, verdict := range []sheet.Verdict{sheet.Accepted, sheet.Rejected, sheet.Skipped} {
		fmt.Fprintf(out, ",\n%q:[", verdict)
		separator := "\n"
		_, err := s.each(func(row sheet.Row) error {
			if row.Verdict != verdict {
				return nil
			}
			line, err := json.Marshal(checkRow{
				row.Line, string(row.PO), row.Value, row.Supplier, row.Levels, row.Column, row.Reason, row.DuplicateOf,
			})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(out, "%s%s", separator, line)
			separator = ",\n"
			return err
		})
		if err != nil {
			return err
		}
		fmt.Fprint(out, "]")
	}
	_, err = fmt.Fprintln(out, "}")
	return err
}

// writeText writes a line for every row, and what it adds up to.
func (s *checkedSheet) writeText(out io.Writer, d sheet.Dialect, counts checkCounts) error {
	fmt.Fprintf(out, "%s: %s\n", s.name, describeDialect(d))
	_, err := s.each(func(row sheet.Row) error {
		what := printable(string(row.PO))
		if row.Reason != "" {
			what = row.Reason
			if row.Column != "" {
				what += " (column " + printable(row.Column) + ")"
			}
			if row.Verdict == sheet.Skipped && row.PO != "" {
				what = printable(string(row.PO)) + ": " + what
			}
		} else if folders := append([]string{row.Supplier}, row.Levels...); strings.Join(folders, "") != "" {
			what += "  " + printable(strings.Trim(strings.Join(folders, " / "), " /"))
		}
		_, err := fmt.Fprintf(out, "line %-7d %-8s  %s\n", row.Line, row.Verdict, what)
		return err
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%d accepted, %d skipped, %d rejected\n", counts.Accepted, counts.Skipped, counts.Rejected)
	return err
}

// describeDialect says in a line how the sheet was understood.
func describeDialect(d sheet.Dialect) string {
	parts := []string{d.Format}
	if d.Gzip {
		parts = append(parts, "gzip")
	}
	if d.Encoding != "" {
		parts = append(parts, d.Encoding)
	}
	if d.Delimiter != 0 {
		parts = append(parts, fmt.Sprintf("delimiter %q", d.Delimiter))
	}
	if d.Worksheet != "" {
		parts = append(parts, "worksheet "+printable(d.Worksheet))
	}
	if d.HeaderLine > 0 {
		parts = append(parts, fmt.Sprintf("header on line %d", d.HeaderLine))
	} else {
		parts = append(parts, "no header")
	}
	parts = append(parts, "PO numbers in "+printable(d.POColumn))
	if len(d.Suppliers) > 0 {
		parts = append(parts, "supplier in "+printable(strings.Join(d.Suppliers, ", else ")))
	}
	if len(d.Levels) > 0 {
		parts = append(parts, "folders by "+printable(strings.Join(d.Levels, " / ")))
	}
	return strings.Join(parts, "; ")
}

// printable is a sheet's text on one line, with nothing that a terminal would obey.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F || r >= 0x80 && r < 0xA0 {
			return ' '
		}
		return r
	}, text)
}
