package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/purserhq/purser/internal/demo"
)

// demoCmd runs the demo portal.
type demoCmd struct {
	Listen   string `default:"127.0.0.1:8400" help:"Address to listen on; port 0 takes any."`
	User     string `placeholder:"LOGIN" help:"Who may sign in; default: a demo buyer."`
	Password string `placeholder:"PASSWORD" help:"That user's password; default: one that is printed."`
	Weight   string `enum:"light,heavy" default:"light" help:"How much a page weighs: light, or heavy like a real portal's."`
	Bulk     bool   `help:"Also have PO20000000 to PO20999999, with two PDFs each. A heavy portal has them always."`
	JSON     bool   `name:"json" help:"Print address, user and password as one JSON object."`

	Latency     demo.Range    `group:"Load, in place of what --weight gives" placeholder:"RANGE" help:"Delay of each request, like 80ms or 40ms-120ms."`
	Comments    demo.Range    `group:"Load, in place of what --weight gives" placeholder:"RANGE" help:"Delay of the comments' request."`
	SlowPage    time.Duration `group:"Load, in place of what --weight gives" placeholder:"3s" help:"Delay of the slow page."`
	PageBytes   int           `group:"Load, in place of what --weight gives" placeholder:"N" help:"Size of a PO page."`
	ScriptBytes int           `group:"Load, in place of what --weight gives" placeholder:"N" help:"Size of the script."`
	ScriptWork  int           `group:"Load, in place of what --weight gives" placeholder:"N" help:"Rounds of arithmetic that the script does on each page."`
	StyleBytes  int           `group:"Load, in place of what --weight gives" placeholder:"N" help:"Size of the style sheet."`
	Images      int           `group:"Load, in place of what --weight gives" placeholder:"N" help:"Pictures on a PO page."`
	FileBytes   int           `group:"Load, in place of what --weight gives" placeholder:"N" help:"Size of a bulk PO's PDF."`
}

// Run serves the portal until Ctrl-C.
func (c *demoCmd) Run(a *app) error {
	user := demo.User{Login: cmp.Or(c.User, demo.DefaultLogin), Password: cmp.Or(c.Password, demo.DefaultPassword), Name: "Demo Buyer"}
	portal := demo.New(demo.Options{
		Weight:  demo.Weight(c.Weight),
		BulkPOs: c.Bulk,
		Users:   []demo.User{user},
		Load: demo.Load{
			Latency: c.Latency, Comments: c.Comments, SlowPage: c.SlowPage, PageBytes: c.PageBytes, ScriptBytes: c.ScriptBytes,
			ScriptWork: c.ScriptWork, StyleBytes: c.StyleBytes, Images: c.Images, BulkFileBytes: c.FileBytes,
		},
	})
	listener, err := new(net.ListenConfig).Listen(a.ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("the demo portal cannot start: %w; choose another address with --listen", err)
	}
	server := &http.Server{Handler: portal, ReadHeaderTimeout: 10 * time.Second}
	stopped := context.AfterFunc(a.ctx, func() {
		portal.SetFaults(demo.Faults{}) // lets go who hangs
		_ = server.Close()              // pages keep beacons open for ever: waiting for them would not end
	})
	defer stopped()

	address := "http://" + listener.Addr().String()
	if c.JSON {
		err = json.NewEncoder(a.stdout).Encode(map[string]string{"url": address, "user": user.Login, "password": user.Password})
	} else {
		_, err = fmt.Fprintf(a.stdout, `Demo portal: %[1]s
User:        %[2]s
Password:    %[3]s

Its POs are in examples/plain.csv; %[1]s/_truth says what must come of each.
Trouble: curl -d '{"status":503}' %[1]s/_faults; curl -d '{}' %[1]s/_faults ends it.
Stop with Ctrl-C.
`, address, user.Login, user.Password)
	}
	if err != nil {
		return err
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("the demo portal stopped: %w", err)
	}
	return nil
}
