package report

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/purserhq/purser/internal/archive"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
)

// Entry is one file in manifest.json, and one line of manifest.jsonl. docs/results.md explains it to readers.
type Entry struct {
	Job  string    `json:"job"`
	Row  int       `json:"row"` // line of the sheet
	PO   po.Number `json:"po"`
	Stat po.Status `json:"status"` // of the PO
	po.File
}

// manifest writes both forms of the list at once.
type manifest struct {
	array, lines *archive.Writer
	entries      int
}

func (f *Finalizer) newManifest(ctx context.Context, job string) (*manifest, error) {
	array, err := f.Archive.Writer(ctx, archive.ResultKey(job, ManifestName), "application/json")
	if err != nil {
		return nil, err
	}
	lines, err := f.Archive.Writer(ctx, archive.ResultKey(job, ManifestLinesName), "application/x-ndjson")
	if err != nil {
		return nil, errors.Join(err, array.CloseWithError(err))
	}
	return &manifest{array: array, lines: lines}, nil
}

func (m *manifest) add(r ledger.Row) error {
	if r.DuplicateOf > 0 { // its files are the first row's
		return nil
	}
	for _, file := range r.Files {
		line, err := json.Marshal(Entry{Job: r.Job, Row: r.Row, PO: r.PO, Stat: r.Status, File: file})
		if err != nil {
			return err
		}
		before := ",\n  "
		if m.entries == 0 {
			before = "[\n  "
		}
		m.entries++
		if _, err := m.array.Write(append([]byte(before), line...)); err != nil {
			return err
		}
		if _, err := m.lines.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return nil
}

func (m *manifest) close() error {
	end := "\n]\n"
	if m.entries == 0 {
		end = "[]\n"
	}
	if _, err := m.array.Write([]byte(end)); err != nil {
		return errors.Join(err, m.abort(err))
	}
	return errors.Join(m.array.Close(), m.lines.Close())
}

func (m *manifest) abort(err error) error {
	return errors.Join(m.array.CloseWithError(err), m.lines.CloseWithError(err))
}
