package local

import (
	"context"
	"errors"
	"sync"
)

// errClosing happens when something is invoked while the stack closes.
var errClosing = errors.New("the stack is closing")

// pool is a function's warm pool: its execution environments, of which the last used one serves next, so that no more of them start
// than are needed at once.
type pool struct {
	function *function
	all      []*environment
	slots    chan struct{} // one for each environment that is free

	mu   sync.Mutex
	free []*environment // the last used one at the end
}

func newPool(f *function, environments int) *pool {
	p := &pool{function: f, slots: make(chan struct{}, environments)}
	for i := range environments {
		p.all = append(p.all, newEnvironment(f, i+1))
		p.slots <- struct{}{}
	}
	for i := range p.all { // so that number 1 is the first to serve
		p.free = append(p.free, p.all[len(p.all)-1-i])
	}
	return p
}

// invoke waits for a free environment and invokes the function in it; see environment.invoke.
func (p *pool) invoke(ctx context.Context, event []byte) ([]byte, error) {
	select {
	case <-p.slots:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { p.slots <- struct{}{} }()
	e := p.take()
	defer p.put(e)
	return e.invoke(ctx, event)
}

func (p *pool) take() *environment {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.free) - 1
	e := p.free[last]
	p.free = p.free[:last]
	return e
}

func (p *pool) put(e *environment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, e)
}

// close ends all environments at once; see environment.close.
func (p *pool) close(ctx context.Context) error {
	errs := make([]error, len(p.all))
	var closing sync.WaitGroup
	for i, e := range p.all {
		closing.Go(func() { errs[i] = e.close(ctx) })
	}
	closing.Wait()
	return errors.Join(errs...)
}

func (p *pool) statuses() []EnvironmentStatus {
	var all []EnvironmentStatus
	for _, e := range p.all {
		all = append(all, e.currently())
	}
	return all
}
