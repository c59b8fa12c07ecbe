package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/purserhq/purser/internal/config"
	"github.com/purserhq/purser/internal/local"
	"github.com/purserhq/purser/internal/portal"
)

// localCmd runs the AWS stack on this machine.
type localCmd struct {
	Listen       string        `help:"Address of the services; port 0 takes any." default:"127.0.0.1:4566"`
	Data         string        `help:"Where everything is kept." default:"./purser-data" type:"path"`
	ServicesOnly bool          `help:"Run S3, SQS, DynamoDB, Secrets Manager and SNS only, without the functions."`
	Environments int           `help:"Downloaders at once, each with a browser of its own." default:"2"`
	Workers      int           `help:"Tabs of each browser, 1 to 8." default:"0"`
	NoFreeze     bool          `help:"Let functions run on between invocations, as Lambda does not."`
	Visibility   time.Duration `help:"How long a received message stays hidden; by default a little longer than the downloader's time-out." placeholder:"930s"`
	MaxReceives  int           `help:"How often a message is received before it goes to the dead letters." default:"5"`
	PortalURL    string        `name:"portal-url" help:"Where the portal is." env:"PORTAL_BASE_URL"`
	Profile      string        `help:"The portal's profile: a built-in name, or a YAML file." default:"coupa" env:"PORTAL_PROFILE"`
	Session      string        `help:"The portal's session, put into the stack's secret: cookies as a JSON export, Netscape cookies.txt or Playwright storage state. Or set PORTAL_USERNAME and PORTAL_PASSWORD." type:"path"`
	JSON         bool          `name:"json" help:"Print how to reach the stack as one JSON object."`

	Dispatcher string `group:"Programs, by default those beside purser" help:"The dispatcher function." type:"path"`
	Downloader string `group:"Programs, by default those beside purser" help:"The downloader function." type:"path"`
	RIE        string `name:"rie" group:"Programs, by default those beside purser" help:"AWS's runtime interface emulator, aws-lambda-rie." type:"path"`
}

// Help is shown by purser local --help.
func (*localCmd) Help() string {
	return `Examples:
  purser local --portal-url https://company.coupahost.com --session cookies.json
  purser demo & purser local --profile demo --portal-url http://127.0.0.1:8400
  purser local --services-only --listen 0.0.0.0:4566      for functions in containers

Clients sign with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of this command's environment, else with keys that it prints.`
}

// Run serves until Ctrl-C.
func (c *localCmd) Run(a *app) error {
	options, err := c.options(a)
	if err != nil {
		return err
	}
	stack, err := local.Start(a.ctx, options)
	if err != nil {
		return fmt.Errorf("the local stack cannot start: %w", err)
	}
	err = c.describe(a.stdout, newReach(stack, options))
	if err == nil {
		<-a.ctx.Done()
		fmt.Fprintln(a.stderr, "Ending; what is not done goes on at the next start.")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), closeWithin)
	defer cancel()
	if closing := stack.Close(ctx); closing != nil {
		return fmt.Errorf("ending the local stack: %w", closing)
	}
	return err
}

// options checks the flags.
func (c *localCmd) options(a *app) (local.Options, error) {
	log := logrus.New()
	log.SetOutput(a.stderr)
	log.SetFormatter(&logrus.TextFormatter{FullTimestamp: true, TimestampFormat: time.TimeOnly})
	o := local.Options{
		Data: c.Data, Listen: c.Listen, AccessKey: a.env("AWS_ACCESS_KEY_ID"), SecretKey: a.env("AWS_SECRET_ACCESS_KEY"),
		Region: a.env("AWS_REGION"), ServicesOnly: c.ServicesOnly, Environments: c.Environments, Visibility: c.Visibility,
		MaxReceives: c.MaxReceives, Freeze: !c.NoFreeze, Log: log,
	}
	if (o.AccessKey == "") != (o.SecretKey == "") {
		return o, usagef("set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or none")
	}
	for flag, n := range map[string]int{"environments": c.Environments, "max-receives": c.MaxReceives} {
		if n < 1 {
			return o, usagef("--%s is %d; it must be at least 1", flag, n)
		}
	}
	if c.ServicesOnly {
		return o, nil
	}
	var err error
	if o.Dispatcher, o.Downloader, o.RIE, err = c.programs(); err != nil {
		return o, err
	}
	o.Env, o.Session, err = c.portal(a)
	return o, err
}

// programs are those of the flags, else those beside this one.
func (c *localCmd) programs() (dispatcher, downloader, rie string, err error) {
	if c.Dispatcher != "" && c.Downloader != "" && c.RIE != "" {
		return c.Dispatcher, c.Downloader, c.RIE, nil
	}
	beside, err := functionBinaries()
	if err != nil {
		return "", "", "", fmt.Errorf("%w, or use --dispatcher, --downloader and --rie", err)
	}
	return cmp.Or(c.Dispatcher, beside.dispatcher), cmp.Or(c.Downloader, beside.downloader), cmp.Or(c.RIE, beside.emulator), nil
}

// portal gives the functions their settings and the session, as purser run does.
func (c *localCmd) portal(a *app) (env []string, session []byte, err error) {
	profile, err := portal.Load(c.Profile)
	if err != nil {
		return nil, nil, usagef("%w", err)
	}
	run := runCmd{PortalURL: cmp.Or(c.PortalURL, profile.BaseURL()), Profile: c.Profile, Session: c.Session, Workers: c.Workers}
	if run.PortalURL == "" {
		return nil, nil, usagef("the profile %s names no portal: give --portal-url, or --services-only; for a portal to try, see: purser demo", c.Profile)
	}
	p := plan{}
	if p.env, err = run.settings(a, config.File{}); err != nil {
		return nil, nil, err
	}
	if err = run.planPortal(a, &p); err != nil {
		return nil, nil, err
	}
	p.env, err = withChromium(p.env, a.env)
	return p.env, p.session, err
}

// reach is how to reach a stack.
type reach struct {
	Endpoint  string `json:"endpoint"`
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
	Region    string `json:"region"`
	local.Names
	Files string `json:"files"`
	Logs  string `json:"logs,omitempty"`

	Env       string `json:"-"` // for a shell
	Functions bool   `json:"-"`
}

func newReach(s *local.Stack, o local.Options) reach {
	r := reach{
		Endpoint: s.Endpoint(), Names: s.Names, Files: filepath.Join(o.Data, s.Bucket), Functions: !o.ServicesOnly,
		AccessKey: cmp.Or(o.AccessKey, local.DefaultAccessKey), SecretKey: cmp.Or(o.SecretKey, local.DefaultSecretKey),
		Region: cmp.Or(o.Region, local.DefaultRegion), Env: strings.Join(s.ClientEnv(), " "),
	}
	if r.Functions {
		r.Logs = s.LogDir()
	}
	return r
}

var reachText = template.Must(template.New("reach").Parse(`Purser's stack runs at {{.Endpoint}}

  Access key    {{.AccessKey}}
  Secret key    {{.SecretKey}}
  Region        {{.Region}}
  Bucket        {{.Bucket}}, as files in {{.Files}}
  Queue         {{.QueueURL}}
  Dead letters  {{.DLQURL}}
  Table         {{.Table}}
  Secret        {{.SecretARN}}
  Topic         {{.TopicARN}}
{{- if .Functions}}
  Logs          {{.Logs}}
{{- end}}

With the AWS CLI (whose version 1 wants --endpoint-url for SQS):
  export {{.Env}}
  aws s3 ls --recursive s3://{{.Bucket}}/
  aws s3 cp pos.csv s3://{{.Bucket}}/input/pos.csv
  aws sqs --endpoint-url {{.Endpoint}} get-queue-attributes --attribute-names All --queue-url {{.QueueURL}}
  aws sqs --endpoint-url {{.Endpoint}} receive-message --queue-url {{.DLQURL}}
  aws sqs --endpoint-url {{.Endpoint}} start-message-move-task --source-arn {{.DLQARN}}
  aws secretsmanager put-secret-value --secret-id {{.SecretARN}} --secret-string file://cookies.json
{{if .Functions}}
Or copy a sheet into {{.Files}}/input.
{{- end}}
Stop with Ctrl-C.
`))

func (c *localCmd) describe(w io.Writer, r reach) error {
	if c.JSON {
		return json.NewEncoder(w).Encode(r)
	}
	return reachText.Execute(w, r)
}
