package demo

import (
	"encoding/csv"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestTheExampleSheetsAreAboutPOsOfThisPortal(t *testing.T) {
	p := New(Options{})
	var all []string
	for _, o := range p.Truth() {
		all = append(all, string(o.Number)+","+o.Supplier)
	}
	if got := records(t, "plain.csv", ','); !slices.Equal(got[1:], all) {
		t.Errorf("plain.csv has\n%s\nwant\n%s", strings.Join(got[1:], "\n"), strings.Join(all, "\n"))
	}

	levels := records(t, "levels.csv", ';')
	want := "\ufeffPO_NUMBER,STATUS,SUPPLIER,ATTACHMENTS_FOUND,ATTACHMENTS_DOWNLOADED,AttachmentName,LAST_PROCESSED,ERROR_MESSAGE," +
		"DOWNLOAD_FOLDER,COUPA_URL,<|>,SUPPLIER,Year,Quarter,Management Unit L1 Name"
	if levels[0] != want {
		t.Errorf("the header of levels.csv is %s", levels[0])
	}
	for _, row := range levels[1:] {
		number, _, _ := strings.Cut(row, ",")
		if !slices.ContainsFunc(all, func(o string) bool { return strings.HasPrefix(o, number+",") }) {
			t.Errorf("levels.csv: the portal does not know %s", number)
		}
	}
}

// records reads an example; the cells of a row are joined by commas.
func records(t *testing.T, name string, delimiter rune) []string {
	t.Helper()
	file, err := os.Open("../../examples/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader := csv.NewReader(file)
	reader.Comma = delimiter
	rows, err := reader.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var joined []string
	for _, row := range rows {
		joined = append(joined, strings.Join(row, ","))
	}
	return joined
}
