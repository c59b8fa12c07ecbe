package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestDemoServesThePortalUntilItIsStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	read, write := io.Pipe()
	code := make(chan int, 1)
	var stderr bytes.Buffer
	go func() {
		code <- run(ctx, []string{"demo", "--listen=127.0.0.1:0", "--json", "--user=me", "--latency=1ms-2ms"}, strings.NewReader(""), write, &stderr)
		write.Close()
	}()

	var said struct{ URL, User, Password string }
	if err := json.NewDecoder(read).Decode(&said); err != nil {
		t.Fatalf("%v; exit code %d: %s", err, <-code, stderr.String())
	}
	if said.User != "me" || said.Password == "" {
		t.Errorf("it said %+v", said)
	}
	answer, err := http.Get(said.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || !strings.Contains(string(body), `name="user[login]"`) {
		t.Errorf("the portal shows no sign-in form (%v): %s", err, body)
	}
	cancel()
	if got := <-code; got != exitOK {
		t.Errorf("exit code %d: %s", got, stderr.String())
	}
}

func TestDemoSaysWhatToDoWhenItCannotListen(t *testing.T) {
	var stderr bytes.Buffer
	code := run(t.Context(), []string{"demo", "--listen=127.0.0.1:99999"}, strings.NewReader(""), io.Discard, &stderr)
	if code != exitFailed || !strings.Contains(stderr.String(), "--listen") {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
}

func TestDemoRefusesAWrongDelay(t *testing.T) {
	var stderr bytes.Buffer
	code := run(t.Context(), []string{"demo", "--latency=fast"}, strings.NewReader(""), io.Discard, &stderr)
	if code != exitUsage || !strings.Contains(stderr.String(), "40ms-120ms") {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
}
