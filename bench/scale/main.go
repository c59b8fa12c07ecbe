// Command scale works out, on paper, what becomes of a large job in AWS: how fast the queue's event source starts environments,
// what holds them up, how long the job takes and what it costs. It is a simulation from measured figures, the same every time;
// docs/scaling.md says where the figures come from and what to make of the outcome.
package main

import (
	"fmt"
	"time"

	"github.com/alecthomas/kong"
)

// model is what the simulation knows. Defaults are what was measured on two cores, or is documented by AWS.
type model struct {
	POs          int           `name:"pos" default:"1000000" help:"POs of the job."`
	BatchSize    int           `default:"10" help:"Messages of an invocation."`
	Tabs         int           `default:"4" help:"Pages that an environment has open at once."`
	POTime       time.Duration `name:"po-time" default:"900ms" help:"How long one tab takes for one PO, its cores not being the limit."`
	CPU          time.Duration `default:"220ms" help:"CPU of one PO."`
	ColdStart    time.Duration `default:"3s" help:"From an environment's start to its first page, sign-in included."`
	Warm         time.Duration `default:"20ms" help:"From an event to its first page, in a warm environment."`
	Memory       int           `default:"3008" help:"Memory of an environment in MB. A core goes with each 1,769 of them."`
	Dispatch     float64       `default:"2000" help:"Rows that the dispatcher sends in a second."`
	CommitTime   time.Duration `default:"10ms" help:"How long a commit holds the job's item in the ledger."`
	MostRows     int           `default:"25" help:"Rows of one commit at most."`
	FilesPerPO   int           `name:"files" default:"2" help:"Files of a PO."`
	Environments []int         `default:"1,10,100,1000" help:"Environments at most: the event source's MaximumConcurrency (AWS allows 2 and more)."`
	Portal       []float64     `default:"0,10,100" help:"POs that the portal serves in a second; 0 is any number."`
}

func main() {
	var m model
	kong.Parse(&m, kong.Description("Simulates a large job in AWS."))
	fmt.Printf("%d POs, %d in a batch, %d tabs, %s and %s of CPU a PO, %d MB\n\n", m.POs, m.BatchSize, m.Tabs, m.POTime, m.CPU, m.Memory)
	fmt.Println("| environments | portal, POs/s | took | POs/s | most at once, after | waited for | invocations | GB-seconds | USD | USD per 1,000 POs |")
	fmt.Println("|---:|---:|---:|---:|---:|---|---:|---:|---:|---:|")
	for _, portal := range m.Portal {
		limit := "any"
		if portal > 0 {
			limit = fmt.Sprintf("%g", portal)
		}
		for _, environments := range m.Environments {
			o := m.simulate(environments, portal)
			fmt.Printf("| %d | %s | %s | %.0f | %d, %s | %s | %d | %.0f | %.0f | %.3f |\n",
				environments, limit, o.took.Round(time.Second), float64(m.POs)/o.took.Seconds(), o.most, o.mostAfter.Round(time.Second),
				o.waitedFor(), o.invocations, o.gbSeconds, o.cost, 1000*o.cost/float64(m.POs))
		}
	}
}
