package coordinator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/integration/effort"
	"github.com/thalweg/thalweg/retry"
)

// What clients see of a cluster whose nodes die, come back and are cut off from each
// other is what one node would have answered that does one thing at a time: an
// operation whose answer was lost was carried out once or not at all. The seeds of
// `make linear` are twenty times as many.
//
// No other test runs beside it: they would wait for processors with their leaders.
func TestAnswersAreLinearizableUnderKillsAndPartitions(t *testing.T) {
	for seed := range effort.Seeds(10, 200) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			playLinear(t, seed)
		})
	}
}

// The operations of the history. Those on an alias are one part of it, those on the
// active run of a pipeline the other.
type (
	promote struct{ to uint64 }
	resolve struct{}
	start   struct{}
	cancel  struct{ run string }
	active  struct{}
)

// unknown is the answer of an operation that was cut off.
type unknown struct{}

// aliasModel is an alias of a model: promote answers where it pointed to before.
var aliasModel = porcupine.NondeterministicModel{
	Init: func() []any { return []any{uint64(2)} },
	Step: func(state, input, output any) []any {
		now := state.(uint64)
		switch in := input.(type) {
		case promote:
			switch {
			case output == unknown{}:
				return []any{now, in.to}
			case output == now:
				return []any{in.to}
			}
		case resolve:
			if output == now {
				return []any{now}
			}
		}
		return nil
	},
}

// runModel is the run of a pipeline that is active, empty for none: one is started
// only where there is none, under a name that was never given before.
var runModel = porcupine.NondeterministicModel{
	Init: func() []any { return []any{lives{"others-1-1", 1}} },
	Step: func(state, input, output any) []any {
		now := state.(lives)
		switch in := input.(type) {
		case start:
			next := lives{fmt.Sprintf("others-1-%d", now.started+1), now.started + 1}
			switch {
			case output == unknown{} && now.run == "":
				return []any{now, next}
			case output == unknown{}, output == thalweg.Exists && now.run != "":
				return []any{now}
			case output == next.run && now.run == "":
				return []any{next}
			}
		case cancel:
			after := now
			if in.run == now.run {
				after.run = ""
			}
			if (output == unknown{}) {
				return []any{now, after}
			}
			return []any{after}
		case active:
			if output == now.run {
				return []any{now}
			}
		}
		return nil
	},
}

type lives struct {
	run     string
	started int
}

// history is what clients did, and when.
type history struct {
	began time.Time
	mu    sync.Mutex
	ops   []porcupine.Operation
}

// do makes an operation and notes it. One that was cut off may happen until the end.
func (h *history) do(client int, input any, call func() (any, error)) {
	from := time.Since(h.began).Nanoseconds()
	output, err := call()
	to := time.Since(h.began).Nanoseconds()
	if err != nil {
		output, to = unknown{}, time.Hour.Nanoseconds()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: input, Call: from, Output: output, Return: to})
}

// of returns the operations of one part; one that was cut off and only looked is of
// no account.
func (h *history) of(part func(any) bool) (ops []porcupine.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, op := range h.ops {
		_, looked := op.Input.(resolve)
		_, asked := op.Input.(active)
		if part(op.Input) && !((looked || asked) && op.Output == unknown{}) {
			ops = append(ops, op)
		}
	}
	return ops
}

func playLinear(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 12))
	wires := newWires(t)
	c := newCluster(t, 3, wires.tune)
	setUp := c.client()
	dismiss := c.employ(newRobot(c, "w1", nil))
	for n := range 2 { // versions 1 and 2 of flights
		run := c.apply(setUp, "flights", n+1).RunId
		c.awaitRun(setUp, run)
	}
	dismiss()
	c.apply(setUp, "others", 1) // its run waits for a worker

	h := &history{began: time.Now()}
	ctx, end := context.WithCancel(c.ctx())
	var clients sync.WaitGroup
	for n := range 4 {
		ops := rand.New(rand.NewPCG(seed, uint64(n)+100))
		client := linearClient(c)
		clients.Go(func() {
			for ctx.Err() == nil {
				operate(ctx, client, h, n, ops)
			}
		})
	}
	// Where clients are starved they get longer: a short history proves nothing.
	for times := 0; (times < 4 || len(h.of(onAlias)) < least || len(h.of(onRun)) < least) && c.ctx().Err() == nil; times++ {
		disturb(c, wires, random)
	}
	end()
	clients.Wait()

	check := func(what string, model porcupine.NondeterministicModel, part func(any) bool) {
		ops := h.of(part)
		if len(ops) < least {
			t.Errorf("seed %d: only %d operations on %s", seed, len(ops), what)
		}
		if result := porcupine.CheckOperationsTimeout(model.ToModel(), ops, time.Minute); result != porcupine.Ok {
			t.Errorf("seed %d: the history of %d operations on %s is %s", seed, len(ops), what, result)
			for _, op := range ops {
				t.Logf("client %d, %v to %v: %T%v gave %v", op.ClientId, time.Duration(op.Call), time.Duration(op.Return), op.Input, op.Input, op.Output)
			}
		}
	}
	check("the alias", aliasModel, onAlias)
	check("the active run", runModel, onRun)
}

// least is how many operations on each part a history has.
const least = 10

// onAlias reports whether an operation is on the alias.
func onAlias(input any) bool {
	switch input.(type) {
	case promote, resolve:
		return true
	}
	return false
}

// onRun reports whether it is on the active run.
func onRun(input any) bool { return !onAlias(input) }

// linearClient returns a client that is soon out of patience, so that histories have
// operations whose outcome is unknown.
func linearClient(c *cluster) *api.Client {
	var addresses []string
	for _, p := range c.peers {
		addresses = append(addresses, p.API)
	}
	client, err := api.NewClient(api.Config{Addresses: addresses, Attempts: 8, AttemptTimeout: 500 * time.Millisecond,
		Waits: retry.Backoff{Min: 10 * time.Millisecond, Max: 50 * time.Millisecond}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(client.Close)
	return client
}

// operate makes one operation.
func operate(ctx context.Context, client *api.Client, h *history, n int, random *rand.Rand) {
	pause(ctx, time.Duration(random.IntN(20))*time.Millisecond)
	current := func() (any, error) {
		r, err := client.ListRuns(ctx, &apiv1.ListRunsRequest{Pipeline: "others"})
		if err != nil || len(r.Runs) == 0 || r.Runs[0].State != "running" {
			return "", err
		}
		return r.Runs[0].Id, nil
	}
	switch random.IntN(5) {
	case 0:
		to := uint64(1 + random.IntN(2))
		h.do(n, promote{to}, func() (any, error) {
			r, err := client.Promote(ctx, &apiv1.PromoteRequest{Model: "flights", Alias: "champion", Version: to})
			return r.GetPrevious(), err
		})
	case 1:
		h.do(n, resolve{}, func() (any, error) {
			r, err := client.ListModels(ctx, &apiv1.ListModelsRequest{Model: "flights"})
			if err != nil {
				return nil, err
			}
			return r.Models[0].Aliases["champion"], nil
		})
	case 2:
		h.do(n, start{}, func() (any, error) {
			r, err := client.StartRun(ctx, &apiv1.StartRunRequest{Pipeline: "others"})
			if thalweg.Is(err, thalweg.Exists) {
				return thalweg.Exists, nil
			}
			return r.GetRunId(), err
		})
	case 3:
		h.do(n, active{}, current)
	default:
		run, err := current()
		if err != nil || run == "" {
			return
		}
		h.do(n, cancel{run.(string)}, func() (any, error) {
			_, err := client.CancelRun(ctx, &apiv1.CancelRunRequest{RunId: run.(string)})
			if thalweg.Is(err, thalweg.Conflict) { // it has ended
				return "", nil
			}
			return "", err
		})
	}
}

func pause(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}

// disturb kills a node or cuts one off, the leader more often than not, lets clients
// meet that, and mends it.
func disturb(c *cluster, w *wires, random *rand.Rand) {
	victim := c.peers[random.IntN(len(c.peers))].ID
	if random.IntN(3) > 0 {
		victim = c.leader()
	}
	alone := time.Duration(150+random.IntN(500)) * time.Millisecond
	if random.IntN(2) == 0 {
		c.stop(victim)
		pause(c.ctx(), alone)
		c.start(victim, [2]net.Listener{})
	} else {
		w.cut(victim, true)
		pause(c.ctx(), alone)
		w.cut(victim, false)
	}
	pause(c.ctx(), time.Duration(random.IntN(400))*time.Millisecond)
}

// wires are relays between the nodes' raft ports, one a direction, which can be cut.
type wires struct {
	t  *testing.T
	mu sync.Mutex
	of map[[2]string]*wire
}

type wire struct {
	listener net.Listener
	mu       sync.Mutex
	to       string
	severed  bool
	open     map[net.Conn]bool
}

func newWires(t *testing.T) *wires {
	w := &wires{t: t, of: make(map[[2]string]*wire)}
	t.Cleanup(func() {
		for _, k := range w.of {
			k.listener.Close()
			k.cut(true)
		}
	})
	return w
}

// tune leads a node's connections to others over wires.
func (w *wires) tune(cfg *Config) {
	peers := append([]Peer(nil), cfg.Peers...)
	for i, p := range peers {
		if p.ID != cfg.ID {
			peers[i].Raft = w.wire(cfg.ID, p)
		}
	}
	cfg.Peers = peers
}

func (w *wires) wire(from string, to Peer) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := w.of[[2]string{from, to.ID}]
	if k == nil {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			w.t.Fatal(err)
		}
		k = &wire{listener: l, to: to.Raft, open: make(map[net.Conn]bool)}
		w.of[[2]string{from, to.ID}] = k
		go k.relay()
	}
	return k.listener.Addr().String()
}

// cut severs or mends all wires from and to a node.
func (w *wires) cut(node string, severed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ends, k := range w.of {
		if ends[0] == node || ends[1] == node {
			k.cut(severed)
		}
	}
}

func (k *wire) cut(severed bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.severed = severed
	for c := range k.open {
		if severed {
			c.Close()
		}
	}
}

// relay carries connections until the listener is closed.
func (k *wire) relay() {
	for {
		from, err := k.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			go k.carry(from)
		}
	}
}

func (k *wire) carry(from net.Conn) {
	defer from.Close()
	to, err := net.Dial("tcp", k.to)
	if err != nil {
		return
	}
	defer to.Close()
	k.mu.Lock()
	k.open[from], k.open[to] = true, true
	severed := k.severed
	k.mu.Unlock()
	defer func() {
		k.mu.Lock()
		delete(k.open, from)
		delete(k.open, to)
		k.mu.Unlock()
	}()
	if severed {
		return
	}
	done := make(chan struct{}, 2)
	for _, ends := range [][2]net.Conn{{from, to}, {to, from}} {
		go func() {
			_, _ = io.Copy(ends[0], ends[1])
			done <- struct{}{}
		}()
	}
	<-done
	from.Close()
	to.Close()
	<-done
}

// The models refuse what no single node would answer.
func TestHistoriesOfAForgetfulClusterAreNotLinearizable(t *testing.T) {
	op := func(from, to int64, input, output any) porcupine.Operation {
		return porcupine.Operation{Input: input, Output: output, Call: from, Return: to}
	}
	for what, h := range map[string]struct {
		model porcupine.NondeterministicModel
		ops   []porcupine.Operation
		want  bool
	}{
		"in order":            {aliasModel, []porcupine.Operation{op(1, 2, promote{1}, uint64(2)), op(3, 4, resolve{}, uint64(1))}, true},
		"a stale read":        {aliasModel, []porcupine.Operation{op(1, 2, promote{1}, uint64(2)), op(3, 4, resolve{}, uint64(2))}, false},
		"a lost change":       {aliasModel, []porcupine.Operation{op(1, 2, promote{1}, uint64(2)), op(3, 4, promote{2}, uint64(2))}, false},
		"cut off, and done":   {aliasModel, []porcupine.Operation{op(1, 9, promote{1}, unknown{}), op(3, 4, resolve{}, uint64(1))}, true},
		"undone":              {aliasModel, []porcupine.Operation{op(1, 9, promote{1}, unknown{}), op(3, 4, resolve{}, uint64(1)), op(5, 6, resolve{}, uint64(2))}, false},
		"two runs at once":    {runModel, []porcupine.Operation{op(1, 2, cancel{"others-1-1"}, ""), op(3, 4, start{}, "others-1-2"), op(5, 6, start{}, "others-1-3")}, false},
		"a run's name again":  {runModel, []porcupine.Operation{op(1, 2, cancel{"others-1-1"}, ""), op(3, 4, start{}, "others-1-1")}, false},
		"a run after another": {runModel, []porcupine.Operation{op(1, 2, cancel{"others-1-1"}, ""), op(3, 4, start{}, "others-1-2"), op(5, 6, active{}, "others-1-2")}, true},
	} {
		if got := porcupine.CheckOperations(h.model.ToModel(), h.ops); got != h.want {
			t.Errorf("%s is linearizable: %v", what, got)
		}
	}
}
