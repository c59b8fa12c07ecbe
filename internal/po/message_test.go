package po

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAMessageHoldsOnlyCharactersThatSQSTakesAndReadsAsItWasWritten(t *testing.T) {
	want := Task{
		Version: MessageVersion, Kind: KindPO, Job: "job", Row: 7, PO: "PO16900001", Supplier: "Ac\x01me\uFFFE & \uFFFFCo",
		Levels: []string{"a\uFFFFb", `\uffff`},
	}
	body := want.Encode()
	refused := func(r rune) bool {
		return r < ' ' && !strings.ContainsRune("\t\n\r", r) || r == '\uFFFE' || r == '\uFFFF'
	}
	if strings.ContainsFunc(body, refused) {
		t.Errorf("SQS refuses %q", body)
	}
	got, err := DecodeTask(body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sent (-) and received (+) differ:\n%s", diff)
	}
}
