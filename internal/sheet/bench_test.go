//go:build unix

package sheet

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/purserhq/purser/internal/po"
)

// benchmarkRows is how many rows a benchmark's sheet has.
const benchmarkRows = 200_000

// cpuTime is the processor time that this process used, which unlike the clock does not count what other programs took.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkOpen reads sheets of the kinds that are common, and tells rows per second of one core.
func BenchmarkOpen(b *testing.B) {
	for _, c := range []struct{ name, header, row string }{
		{"plain", "PO_NUMBER;STATUS;<|>;SUPPLIER;Year;Quarter\n", "PO%08d;;;Acme Ltd;2024;Q1\n"},
		{"one column", "PO_NUMBER\n", "%08d\n"},
		{"former result", "PO_NUMBER;STATUS;SUPPLIER;ATTACHMENTS_FOUND;ATTACHMENTS_DOWNLOADED;AttachmentName;LAST_PROCESSED;" +
			"ERROR_MESSAGE;DOWNLOAD_FOLDER;COUPA_URL;<|>;SUPPLIER;Year\n", "PO%08d;FAILED;Acme;2;0;;2024-03-01 12:00:00;" +
			"NETWORK_ERROR: was down;download/a/PO_1_FAILED;https://portal.example/order_headers/1;;Acme;2024\n"},
		{"quoted", "\"PO_NUMBER\",\"SUPPLIER\",\"Note\"\n", "\"PO%08d\",\"Acme, Inc\",\"said \"\"yes\"\"\"\n"},
		{"Windows-1252", "PO_NUMBER;Fornecedor\n", "%08d;A\xe7\xe3o\n"},
		{"damaged by Excel", "PO_NUMBER;Name\n", "%08d.0;Acme\n"},
	} {
		var sheet bytes.Buffer
		sheet.WriteString(c.header)
		for i := range benchmarkRows {
			fmt.Fprintf(&sheet, c.row, 10_000_000+i)
		}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(sheet.Len()))
			start := cpuTime(b)
			for b.Loop() {
				r, err := Open(bytes.NewReader(sheet.Bytes()), "bench.csv", Options{})
				if err != nil {
					b.Fatal(err)
				}
				accepted := 0
				for {
					row, err := r.Next()
					if err == io.EOF {
						break
					}
					if err != nil {
						b.Fatal(err)
					}
					if row.Verdict == Accepted {
						accepted++
					}
				}
				if accepted != benchmarkRows {
					b.Fatalf("%d rows were accepted", accepted)
				}
			}
			b.ReportMetric(float64(benchmarkRows*b.N)/(cpuTime(b)-start).Seconds(), "rows/cpu-s")
		})
	}
}

// BenchmarkWorkbook reads the golden workbook: what opening one costs.
func BenchmarkWorkbook(b *testing.B) {
	input, err := os.ReadFile("testdata/workbook.xlsx")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, _, err := readRows(bytes.NewReader(input), "workbook.xlsx", Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// everyRow gives each row of the benchmark's sheet a result.
type everyRow struct{ row int }

func (e *everyRow) Next() (po.Result, error) {
	if e.row++; e.row > benchmarkRows {
		return po.Result{}, io.EOF
	}
	return po.Result{
		Row: e.row + 1, Status: po.Completed, Supplier: "Acme", Found: 1, Files: []po.File{{Name: "a.pdf"}},
		Folder: "download/job/Acme/PO_1_COMPLETED", URL: "https://portal.example/order_headers/1", ProcessedAt: time.Unix(1_700_000_000, 0),
	}, nil
}

// BenchmarkWriteResult writes a result CSV.
func BenchmarkWriteResult(b *testing.B) {
	var sheet bytes.Buffer
	sheet.WriteString("PO_NUMBER;STATUS;<|>;SUPPLIER;Year\n")
	for i := range benchmarkRows {
		fmt.Fprintf(&sheet, "PO%08d;;;Acme Ltd;2024\n", 10_000_000+i)
	}
	b.ReportAllocs()
	start := cpuTime(b)
	for b.Loop() {
		if err := WriteResult(io.Discard, bytes.NewReader(sheet.Bytes()), "bench.csv", Options{}, &everyRow{}, time.UTC); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(benchmarkRows*b.N)/(cpuTime(b)-start).Seconds(), "rows/cpu-s")
}
