package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/sirupsen/logrus"

	"github.com/purserhq/purser/internal/browser"
	"github.com/purserhq/purser/internal/portal"
)

// sessionCmd keeps the portal's session.
type sessionCmd struct {
	Put   sessionPutCmd   `cmd:"" help:"Put a session into the stack's secret."`
	Check sessionCheckCmd `cmd:"" help:"Tell whether the portal takes a session."`
}

const sessionHelp = `A session is cookies (a JSON export, Netscape cookies.txt, or Playwright storage state), or {"username":…,"password":…} for a portal
with a sign-in form. "-" reads it from standard input.`

// sessionPutCmd puts a session into the secret.
type sessionPutCmd struct {
	targetFlags
	File string `arg:"" help:"The session's file, or -."`
	JSON bool   `name:"json" help:"Print one JSON object."`
}

// Help is shown by purser session put --help.
func (*sessionPutCmd) Help() string { return sessionHelp }

// Run puts the session.
func (c *sessionPutCmd) Run(a *app) error {
	data, session, err := readSession(a, c.File)
	if err != nil {
		return err
	}
	t, err := c.open(a)
	if err != nil {
		return err
	}
	_, err = t.Secrets.PutSecretValue(a.ctx, &secretsmanager.PutSecretValueInput{SecretId: &t.SecretARN, SecretString: aws.String(string(data))})
	if err != nil {
		return fmt.Errorf("putting the session into its secret: %w", err)
	}
	if c.JSON {
		return printJSON(a.stdout, map[string]any{"secret": t.SecretARN, "cookies": len(session.Cookies), "sign_in": session.CanSignIn()})
	}
	fmt.Fprintf(a.stdout, "The session (%d cookies) is in the secret; blocked jobs go on by themselves\n", len(session.Cookies))
	return nil
}

// sessionCheckCmd asks the portal.
type sessionCheckCmd struct {
	File      string `arg:"" help:"The session's file, or -."`
	PortalURL string `name:"portal-url" required:"" env:"PORTAL_BASE_URL" help:"Where the portal is."`
	Profile   string `default:"coupa" env:"PORTAL_PROFILE" help:"The portal's profile: a built-in name, or a YAML file."`
	JSON      bool   `name:"json" help:"Print one JSON object."`
}

// Help is shown by purser session check --help.
func (*sessionCheckCmd) Help() string {
	return sessionHelp + "\n\nExit codes: 0 the portal takes it; 1 it does not, or cannot be asked; 2 the file is no session."
}

// Run checks the session with a browser, as the downloader does.
func (c *sessionCheckCmd) Run(a *app) error {
	_, session, err := readSession(a, c.File)
	if err != nil {
		return err
	}
	profile, err := portal.Load(c.Profile)
	if err == nil {
		profile, err = profile.WithBaseURL(c.PortalURL)
	}
	if err != nil {
		return usagef("%w", err)
	}
	alive, err := trySession(a.ctx, a.env("CHROMIUM_PATH"), profile, session)
	if err != nil {
		return err
	}
	if c.JSON {
		if err := printJSON(a.stdout, map[string]any{"alive": alive}); err != nil {
			return err
		}
	} else if alive {
		fmt.Fprintln(a.stdout, "The portal takes the session")
	}
	if !alive {
		return &exitError{code: exitFailed, err: fmt.Errorf("the portal does not take the session: it is expired, or another portal's")}
	}
	return nil
}

func trySession(ctx context.Context, chromium string, profile *portal.Profile, session *portal.Session) (alive bool, err error) {
	quiet := logrus.New()
	quiet.SetOutput(io.Discard)
	b := browser.New(browser.Options{Path: chromium, Headless: true, Log: quiet})
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = b.Shutdown(end)
	}()
	if err := b.Ensure(ctx); err != nil {
		return false, err
	}
	if err := b.SetCookies(ctx, session.Cookies); err != nil {
		return false, err
	}
	tab, err := b.Tab(ctx)
	if err != nil {
		return false, err
	}
	defer tab.Close()
	if len(session.Cookies) > 0 {
		if alive, err = profile.ProbeSession(tab.Context()); alive || err != nil {
			return alive, err
		}
	}
	if !session.CanSignIn() {
		return false, nil
	}
	if err := profile.SignIn(tab.Context(), session.Username, session.Password); err != nil {
		return false, err
	}
	return profile.ProbeSession(tab.Context())
}

func readSession(a *app, file string) ([]byte, *portal.Session, error) {
	var (
		data []byte
		err  error
	)
	if file == "-" {
		data, err = io.ReadAll(io.LimitReader(a.stdin, 1<<20))
	} else {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, nil, usagef("the session cannot be read: %w", err)
	}
	session, err := portal.ParseSession(data)
	if err != nil {
		return nil, nil, usagef("%s is no session: %w", file, err)
	}
	return data, session, nil
}
