package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// startLocal runs purser local and returns what it printed first, and a function that stops it.
func startLocal(t *testing.T, read func(io.Reader), args ...string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	code := make(chan int, 1)
	var stderr bytes.Buffer
	go func() {
		code <- run(ctx, append([]string{"local"}, args...), strings.NewReader(""), in, &stderr)
		in.Close()
	}()
	read(out)
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return func() {
		cancel()
		if got := <-code; got != exitOK {
			t.Errorf("exit code %d: %s", got, stderr.String())
		}
	}
}

func TestLocalServesUntilItIsStopped(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "mine")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "my secret")
	data := t.TempDir()
	var said reach
	stop := startLocal(t, func(r io.Reader) {
		if err := json.NewDecoder(r).Decode(&said); err != nil {
			t.Fatal(err)
		}
	}, "--services-only", "--listen=127.0.0.1:0", "--json", "--data="+data)
	defer stop()
	client := s3.NewFromConfig(aws.Config{
		Region: said.Region, BaseEndpoint: &said.Endpoint, Credentials: credentials.NewStaticCredentialsProvider("mine", "my secret", ""),
	}, func(o *s3.Options) { o.UsePathStyle = true })
	_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &said.Bucket, Key: aws.String("input/a.csv"), Body: strings.NewReader("PO")})
	if err != nil {
		t.Fatal(err)
	}
	if file, err := os.ReadFile(filepath.Join(said.Files, "input", "a.csv")); err != nil || string(file) != "PO" {
		t.Errorf("the bucket's folder holds %q (%v)", file, err)
	}
}

func TestLocalTellsHowToReachIt(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	var text strings.Builder
	stop := startLocal(t, func(r io.Reader) {
		for !strings.Contains(text.String(), "Ctrl-C") {
			chunk := make([]byte, 4096)
			n, err := r.Read(chunk)
			if err != nil {
				t.Fatal(err)
			}
			text.Write(chunk[:n])
		}
	}, "--services-only", "--listen=127.0.0.1:0", "--data="+t.TempDir())
	stop()
	for _, want := range []string{
		"runs at http://127.0.0.1:", "Access key    purser\n", "Secret key    purser-local\n", "AWS_ENDPOINT_URL=http://127.0.0.1:",
		"aws s3 cp pos.csv s3://purser/input/", "start-message-move-task --source-arn arn:aws:sqs:us-east-1:",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, text.String())
		}
	}
}

func TestLocalExplainsWhyItCannotStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"--services-only --listen=" + taken.Addr().String(), exitFailed, "choose another one"},
		{"--services-only --environments=0", exitUsage, "--environments is 0"},
		{"--profile=none-such --dispatcher=/bin/true --downloader=/bin/true --rie=/bin/true", exitUsage, "none-such"},
		{"--dispatcher=/bin/true --downloader=/bin/true --rie=/bin/true", exitUsage, "--portal-url"},
		{"--portal-url=https://example.com", exitFailed, "make build"},
	} {
		var stderr bytes.Buffer
		args := append([]string{"local", "--data=" + t.TempDir()}, strings.Fields(test.args)...)
		code := run(t.Context(), args, strings.NewReader(""), io.Discard, &stderr)
		if code != test.code || !strings.Contains(stderr.String(), test.want) {
			t.Errorf("%s: exit code %d, %q; want %d and %q", test.args, code, stderr.String(), test.code, test.want)
		}
	}
}
