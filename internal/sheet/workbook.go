package sheet

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/xuri/excelize/v2"
)

// The limits of a workbook, which unlike text has to be kept while it is read.
const (
	maxWorkbookBytes = 256 << 20 // as uploaded; a million rows of ten columns take some 50 MB
	maxUnpackedBytes = 2 << 30
	maxPartInMemory  = 4 << 20 // a larger part of it lies in the temporary directory
)

// preferredSheet is the worksheet that is read where a workbook has several.
const preferredSheet = "PO_Data"

// workbook reads the rows of one worksheet.
type workbook struct {
	file  *excelize.File
	shown *excelize.Rows // the cells as Excel shows them: dates, padded numbers
	raw   *excelize.Rows // the cells as they are stored: every digit
	line  int
	cells [][]byte
}

// openWorkbook reads an Excel workbook, or says which other kind of ZIP file it is.
func (r *Reader) openWorkbook(in io.Reader, o Options) error {
	spooled, err := spool(in)
	if err != nil {
		return err
	}
	defer os.Remove(spooled)
	if err := checkZip(spooled); err != nil {
		return err
	}
	var file *excelize.File
	err = guard(func() (err error) {
		file, err = excelize.OpenFile(spooled, excelize.Options{UnzipSizeLimit: maxUnpackedBytes, UnzipXMLSizeLimit: maxPartInMemory})
		return err
	})
	if err != nil {
		return err
	}
	found, err := chooseSheet(file, o, r.rule)
	if err == nil {
		err = checkLayout(found.layout, found.sample, found.whole)
	}
	var w *workbook
	if err == nil {
		w, err = openSheet(file, found.name)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	r.records, r.layout, r.width = w, found.layout, width(found.layout, found.sample)
	r.format.Format, r.format.Worksheet = "Excel workbook", found.name
	return nil
}

// spool copies the workbook into the temporary directory, since a ZIP file's contents are listed at its end.
func spool(in io.Reader) (name string, err error) {
	f, err := os.CreateTemp("", "purser-sheet-*.xlsx")
	if err != nil {
		return "", err
	}
	n, err := io.Copy(f, io.LimitReader(in, maxWorkbookBytes+1))
	if err = errors.Join(err, f.Close()); err == nil && n > maxWorkbookBytes {
		err = refusal(fmt.Sprintf("is a workbook of more than %d MB; save the list as CSV, which may be of any size", maxWorkbookBytes>>20))
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// checkZip tells a workbook from the other kinds of files that are ZIP archives.
func checkZip(name string) error {
	archive, err := zip.OpenReader(name)
	if err != nil {
		return refusal("is a damaged Excel workbook or ZIP archive, perhaps cut off; upload it again")
	}
	defer archive.Close()
	files := 0
	for _, f := range archive.File {
		part := strings.ToLower(strings.ReplaceAll(f.Name, `\`, "/"))
		switch {
		case path.Base(part) == "workbook.xml":
			return nil
		case part == "xl/workbook.bin":
			return refusal("is a binary Excel workbook (.xlsb); save it as .xlsx or CSV")
		case part == "content.xml":
			return refusal("is an OpenDocument file (.ods); save the list as .xlsx or CSV")
		case strings.HasPrefix(part, "index/") && path.Ext(part) == ".iwa":
			return refusal("is an Apple Numbers file; export the list as .xlsx or CSV")
		case part == "word/document.xml":
			return refusal("is a Word document, not a sheet; save the list as .xlsx or CSV")
		case part == "ppt/presentation.xml":
			return refusal("is a PowerPoint file, not a sheet; save the list as .xlsx or CSV")
		case !strings.HasSuffix(part, "/"):
			files++
		}
	}
	return refusal(fmt.Sprintf("is a ZIP archive (%d files); unpack it and upload the sheet inside", files))
}

// foundSheet is a worksheet and the layout of its beginning.
type foundSheet struct {
	name   string
	layout *layout
	sample []sampled
	whole  bool // the sample is all there is
}

// chooseSheet finds the worksheet with the POs: PO_Data, else the first that shows PO numbers, else the first that has a column
// for them.
func chooseSheet(file *excelize.File, o Options, rule numberRule) (*foundSheet, error) {
	var withColumn *foundSheet
	var why error
	names := candidates(file)
	for _, name := range names {
		sample, whole, err := sampleSheet(file, name)
		if err != nil {
			return nil, err
		}
		found := &foundSheet{name: name, sample: sample, whole: whole}
		if found.layout, err = findLayout(sample, o, rule, 0); err != nil {
			why = err
			continue
		}
		if found.layout.numbers > 0 {
			return found, nil
		}
		if withColumn == nil {
			withColumn = found
		}
	}
	switch {
	case withColumn != nil:
		return withColumn, nil
	case len(names) == 1:
		return nil, why
	}
	return nil, refusal("has no worksheet with a column of PO numbers (" + quote(strings.Join(names, ", ")) +
		"); name the column PO_NUMBER, or set PO_COLUMN to its name")
}

// candidates are the worksheets that may hold the POs: PO_Data alone if there is one, else all that can be seen.
func candidates(file *excelize.File) []string {
	var names []string
	for _, name := range file.GetSheetList() {
		if fold(name) == fold(preferredSheet) {
			return []string{name}
		}
		if visible, err := file.GetSheetVisible(name); err == nil && visible {
			names = append(names, name)
		}
	}
	return names
}

// sampleSheet reads the first rows of a worksheet; whole says that there are no more.
func sampleSheet(file *excelize.File, name string) (sample []sampled, whole bool, err error) {
	w, err := openSheet(file, name)
	if err != nil {
		return nil, false, err
	}
	for len(sample) < sampleRecords {
		rec, err := w.next()
		if err == io.EOF {
			return sample, true, w.closeRows()
		}
		if err != nil {
			return nil, false, errors.Join(err, w.closeRows())
		}
		sample = append(sample, keep(rec))
	}
	return sample, false, w.closeRows()
}

func openSheet(file *excelize.File, name string) (*workbook, error) {
	w := &workbook{file: file}
	err := guard(func() (err error) {
		if w.shown, err = file.Rows(name); err != nil {
			return err
		}
		w.raw, err = file.Rows(name)
		return err
	})
	return w, err
}

// next reads the next row. Rows that the worksheet leaves out are blank.
func (w *workbook) next() (record, error) {
	var shown, raw []string
	more := false
	err := guard(func() (err error) {
		if more = w.shown.Next() && w.raw.Next(); !more {
			return errors.Join(w.shown.Error(), w.raw.Error())
		}
		if shown, err = w.shown.Columns(); err != nil {
			return err
		}
		raw, err = w.raw.Columns(excelize.Options{RawCellValue: true})
		return err
	})
	if err != nil {
		return record{}, err
	}
	if !more {
		return record{}, io.EOF
	}
	w.line++
	rec := record{line: w.line, lines: 1}
	if len(shown) > maxColumns {
		rec.trouble = &trouble{maxColumns, fmt.Sprintf("the row has more than %d columns", maxColumns)}
		shown = shown[:maxColumns]
	}
	w.cells = w.cells[:0]
	for i, cell := range shown {
		w.cells = append(w.cells, []byte(allDigits(cell, cellAt(raw, i))))
	}
	rec.cells = w.cells
	return rec, nil
}

// allDigits is a cell as Excel shows it, but for a whole number of which the display hides digits: 1.7E+07 or 16,928,033.
func allDigits(shown, raw string) string {
	if shown != raw && onlyDigits.MatchString(raw) && (scientific.MatchString(shown) || grouped.MatchString(shown)) {
		return raw
	}
	return shown
}

func (w *workbook) closeRows() error {
	return errors.Join(w.shown.Close(), w.raw.Close())
}

func (w *workbook) close() error {
	return errors.Join(w.closeRows(), w.file.Close())
}

// guard calls the workbook library, which panics on some damaged files.
func guard(call func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
		if err != nil {
			err = fmt.Errorf("its workbook cannot be read: %w", err)
		}
	}()
	return call()
}
