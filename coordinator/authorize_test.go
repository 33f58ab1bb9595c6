package coordinator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/inference"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/coordinator/auth/authtest"
	"github.com/thalweg/thalweg/storage/memory"
)

// closed makes a cluster of one node on which callers have to say who they are, with
// the secret of its first token.
func closed(t *testing.T, size int) (*cluster, string) {
	secret := auth.NewSecret()
	c := newCluster(t, size, func(cfg *Config) { cfg.Auth = closedTo(secret) })
	c.opens(secret)
	return c, secret
}

func closedTo(secret string) *auth.Config {
	return &auth.Config{Cluster: "prod", FirstToken: auth.Hash(secret), Rate: 1e6, FailureRate: 1e6, Users: map[string]auth.Grant{
		"ada":  {Role: auth.Operator, Pipelines: auth.Scope{"flights*"}},
		"root": {Role: auth.Admin, Pipelines: auth.Scope{"*"}},
	}}
}

// takingToo has a configuration take the tokens of an issuer too.
func takingToo(cfg *auth.Config, from *authtest.Issuer) *auth.Config {
	cfg.OIDC = &auth.OIDC{Issuer: from.URL, Audience: authtest.Audience, RootCAs: from.RootCAs, NameClaim: "email", Groups: map[string]auth.Grant{
		"flights": {Role: auth.Operator, Pipelines: auth.Scope{"flights*"}}, "ops": {Role: auth.Admin, Pipelines: auth.Scope{"*"}}}}
	return cfg
}

// opens waits until the first token opens the cluster.
func (c *cluster) opens(secret string) {
	c.token = secret
	c.eventually("the first token opens", func() bool {
		_, err := c.client().ListTokens(c.ctx(), &apiv1.ListTokensRequest{})
		return err == nil
	})
}

// by returns a request as if it came over a connection with a certificate.
func by(certificate string) *tls.ConnectionState {
	if certificate == "" {
		return nil
	}
	u, err := url.Parse(certificate)
	if err != nil {
		panic(err)
	}
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{URIs: []*url.URL{u}, NotAfter: time.Now().Add(time.Hour)}}}
}

// atPort returns the context of a request that came to port 7070 of this machine.
func (c *cluster) atPort() context.Context {
	return context.WithValue(c.ctx(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7070})
}

// caller is somebody in the table of routes: by a token or by a certificate.
type caller struct {
	name, token, certificate string
	role                     auth.Role
	all                      bool // of all pipelines, else of flights*
}

// TestEachRouteTakesEachRoleInAndOutOfItsScope makes a real request for each route, by
// each caller, about a pipeline in the caller's scope and about another.
func TestEachRouteTakesEachRoleInAndOutOfItsScope(t *testing.T) {
	t.Parallel()
	from := authtest.New(t)
	secret := auth.NewSecret()
	c := newCluster(t, 1, func(cfg *Config) { cfg.Auth = takingToo(closedTo(secret), from) })
	c.opens(secret)
	admin := c.client()
	callers := []caller{
		{name: "nobody"},
		{name: "a stranger", certificate: "spiffe://other/user/root"},
		{name: "a wrong token", token: auth.NewSecret()},
		{name: "a user without a role", certificate: "spiffe://prod/user/eve"},
		{name: "worker w1", certificate: "spiffe://prod/worker/w1"},
		{name: "worker w2", certificate: "spiffe://prod/worker/w2"},
		{name: "coordinator", certificate: "spiffe://prod/coordinator/n1"},
		{name: "user ada", certificate: "spiffe://prod/user/ada", role: auth.Operator},
		{name: "user root", certificate: "spiffe://prod/user/root", role: auth.Admin, all: true},
		{name: "the first token", token: secret, role: auth.Admin, all: true},
		{name: "a wrong token", token: from.TokenBy("forged", "eve", map[string]any{"groups": "ops"})},
		{name: "a user of no group", token: from.Token("eve", map[string]any{"groups": "guests"})},
		{name: "a user of group flights", token: from.Token("ada", map[string]any{"groups": "flights"}), role: auth.Operator},
		{name: "a user of group ops", token: from.Token("root", map[string]any{"groups": "ops"}), role: auth.Admin, all: true},
	}
	for _, role := range auth.RoleNames() {
		for scope, pipelines := range map[string][]string{"some": {"flights*", "x"}, "all": {"*"}} {
			k := caller{name: role + "-" + scope, token: auth.NewSecret(), all: scope == "all"}
			k.role, _ = auth.ParseRole(role)
			if _, err := admin.CreateToken(c.ctx(), &apiv1.CreateTokenRequest{Name: k.name, Sha256: auth.Hash(k.token), Role: role, Pipelines: pipelines}); err != nil {
				t.Fatal(err)
			}
			callers = append(callers, k)
		}
	}
	const (
		open     = iota // to all
		unscoped        // whatever the scope
		scoped          // what is in the scope
		cluster         // who has all pipelines
		worker          // w1
		node            // coordinators
		each            // whatever the scope, and coordinators
	)
	spec := func(name string) string {
		text, _ := json.Marshal(map[string]any{"dryRun": true, "spec": specText(name, 1)})
		return string(text)
	}
	message := func(format string) func(string) string {
		return func(name string) string { return strings.ReplaceAll(format, "NAME", name) }
	}
	const call = "/" + apiv1.CoordinatorServiceName + "/"
	// What the table of policies has to say, once more.
	routes := map[string]struct {
		role auth.Role
		over int
		body func(name string) string // nil: GET
	}{
		"/healthz":               {auth.NoRole, open, nil},
		"/readyz":                {auth.NoRole, open, nil},
		"/metrics":               {auth.Reader, cluster, nil},
		"/openapi.yaml":          {auth.Reader, unscoped, nil},
		"/debug/pprof/profile":   {auth.Admin, cluster, nil},
		"/debug/pprof/trace":     {auth.Admin, cluster, nil},
		"/debug/pprof/heap":      {auth.Admin, cluster, nil},
		"/debug/pprof/allocs":    {auth.Admin, cluster, nil},
		"/debug/pprof/goroutine": {auth.Admin, cluster, nil},
		"/debug/pprof/block":     {auth.Admin, cluster, nil},
		"/debug/pprof/mutex":     {auth.Admin, cluster, nil},
		"/debug/info":            {auth.Admin, cluster, nil},
		"/debug/logs":            {auth.Admin, cluster, nil},
		"/debug/metrics":         {auth.Admin, cluster, nil},
		call + "Status":          {auth.Reader, unscoped, message(`{}`)},
		call + "NodeStatus":      {auth.Reader, each, message(`{}`)},
		call + "ListPipelines":   {auth.Reader, unscoped, message(`{}`)},
		call + "GetPipeline":     {auth.Reader, scoped, message(`{"name": "NAME"}`)},
		call + "ListRuns":        {auth.Reader, scoped, message(`{"pipeline": "NAME"}`)},
		call + "GetRun":          {auth.Reader, scoped, message(`{"runId": "NAME-1-1"}`)},
		call + "ListModels":      {auth.Reader, unscoped, message(`{}`)},
		call + "StreamStatus":    {auth.Reader, scoped, message(`{"pipeline": "NAME"}`)},
		call + "ListEndpoints":   {auth.Reader, scoped, message(`{"pipeline": "NAME"}`)},
		call + "ListAlerts":      {auth.Reader, scoped, message(`{"pipeline": "NAME"}`)},
		"/v1/score/":             {auth.Reader, scoped, message(`{}`)},
		"/v2":                    {auth.Reader, unscoped, nil},
		"/v2/":                   {auth.Reader, scoped, nil},
		auth.GRPCPath: {auth.Reader, scoped, func(name string) string {
			body, _ := proto.Marshal(&inference.ModelMetadataRequest{Name: name})
			return string(body)
		}},
		call + "ListJobs":        {auth.Reader, scoped, message(`{"pipeline": "NAME"}`)},
		call + "GetJob":          {auth.Reader, scoped, message(`{"jobId": "NAME-j1"}`)},
		call + "ReadJob":         {auth.Reader, scoped, message(`{"jobId": "NAME-j1"}`)},
		call + "StartJob":        {auth.Reader, scoped, message(`{"pipeline": "NAME", "kind": "fsck"}`)},
		call + "CancelJob":       {auth.Reader, scoped, message(`{"jobId": "NAME-j1"}`)},
		call + "Apply":           {auth.Submitter, scoped, spec},
		call + "StartRun":        {auth.Submitter, scoped, message(`{"pipeline": "NAME"}`)},
		call + "CancelRun":       {auth.Submitter, scoped, message(`{"runId": "NAME-1-1"}`)},
		call + "Promote":         {auth.Operator, scoped, message(`{"model": "NAME", "version": 1}`)},
		call + "SetStream":       {auth.Operator, scoped, message(`{"pipeline": "NAME", "paused": true}`)},
		call + "SetRollout":      {auth.Operator, scoped, message(`{"pipeline": "NAME", "action": "hold"}`)},
		call + "SetSchedule":     {auth.Operator, scoped, message(`{"pipeline": "NAME", "paused": true}`)},
		call + "DeletePipeline":  {auth.Operator, scoped, message(`{"pipeline": "NAME"}`)},
		call + "CreateToken":     {auth.Admin, cluster, message(`{"name": "-", "role": "reader", "pipelines": ["*"]}`)},
		call + "ListTokens":      {auth.Admin, cluster, message(`{}`)},
		call + "RevokeToken":     {auth.Admin, cluster, message(`{"name": "-"}`)},
		call + "Backup":          {auth.Admin, cluster, message(`{}`)},
		call + "Restore":         {auth.Admin, cluster, message(`{}`)},
		call + "ListAudit":       {auth.Admin, cluster, message(`{}`)},
		call + "Poll":            {auth.NoRole, worker, message(`{"workerId": "w1", "incarnation": "i", "waitMs": 1}`)},
		call + "RemoveMember":    {auth.Admin, cluster, message(`{"id": "none"}`)},
		"/cluster/hello":         {auth.NoRole, node, message(`{}`)},
		"/cluster/consent":       {auth.NoRole, node, message(`{}`)},
		"/cluster/join":          {auth.NoRole, node, message(`{}`)},
		"/":                      {auth.NoRole, -1, nil},
		"/debug/pprof/":          {auth.NoRole, -1, nil},
		call:                     {auth.NoRole, -1, message(`{}`)},
		call + "Other":           {auth.NoRole, -1, message(`{}`)},
		call + "../" + "healthz": {auth.NoRole, -1, nil},
	}
	// What workers read of the state for jobs.
	forJobs := []string{call + "ListPipelines", call + "GetPipeline", call + "GetRun", call + "ListModels", call + "StreamStatus"}
	for _, p := range auth.Policies() {
		if _, ok := routes[p.Route]; !ok {
			t.Errorf("%s has a policy, and no line in this test", p.Route)
		}
	}
	handler := c.nodes["n1"].newServer().Handler
	tried := 0
	for _, path := range slices.Sorted(func(yield func(string) bool) {
		for p := range routes {
			if !yield(p) {
				return
			}
		}
	}) {
		route := routes[path]
		for _, k := range callers {
			for _, name := range []string{"flights-none", "other"} {
				at := path + map[string]string{"/v1/score/": name, "/v2/": "models/" + name + "/ready", auth.GRPCPath: "ModelMetadata"}[path]
				req := httptest.NewRequestWithContext(c.atPort(), http.MethodGet, "http://127.0.0.1:7070"+at+"?seconds=0", nil) // refused once it is served
				if route.body != nil {
					req = httptest.NewRequestWithContext(c.atPort(), http.MethodPost, "http://127.0.0.1:7070"+at, strings.NewReader(route.body(name)))
					req.Header.Set("Content-Type", map[bool]string{true: "application/proto", false: "application/json"}[path == auth.GRPCPath])
				}
				req.TLS = by(k.certificate)
				if k.token != "" {
					req.Header.Set("Authorization", "Bearer "+k.token)
				}
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, req)
				tried++
				known := !slices.Contains([]string{"nobody", "a stranger", "a wrong token"}, k.name)
				may := k.role >= route.role && k.role != auth.NoRole
				switch route.over {
				case open:
					may = true
				case scoped:
					may = may && (k.all || name == "flights-none")
				case cluster:
					may = may && k.all
				case node:
					may = k.name == "coordinator"
				case each:
					may = may || k.name == "coordinator"
				case worker:
					may = k.name == "worker w1"
				}
				may = may || slices.Contains(forJobs, path) && strings.HasPrefix(k.name, "worker ")
				want := "served"
				switch {
				case route.over == -1, route.over == node && may: // the node of a fixed cluster has none
					want = "404"
				case !may && !known:
					want = "401"
				case !may:
					want = "403"
				}
				got := fmt.Sprint(w.Code)
				if w.Code != 401 && w.Code != 403 && !(w.Code == 404 && strings.Contains(w.Body.String(), "page not found")) {
					got = "served"
				}
				if got != want {
					t.Errorf("%s about %s by %s: %s (%d %s), want %s", path, name, k.name, got, w.Code, w.Body, want)
				}
				if got == "403" && known && !strings.Contains(w.Body.String(), "it needs") && !strings.Contains(w.Body.String(), "certificate") {
					t.Errorf("%s by %s: the refusal does not say what it needs: %s", path, k.name, w.Body)
				}
				if path == "/healthz" || path == "/readyz" {
					if w.Body.Len() > 0 {
						t.Errorf("%s tells %q without credentials", path, w.Body)
					}
				}
			}
		}
	}
	t.Logf("%d requests", tried)
}

// TestEachCallHasAPolicy: also those that were added since, and none of them streams,
// which the check of messages would not see.
func TestEachCallHasAPolicy(t *testing.T) {
	methods := apiv1.File_coordinator_api_v1_coordinator_proto.Services().Get(0).Methods()
	for i := range methods.Len() {
		m := methods.Get(i)
		path := "/" + apiv1.CoordinatorServiceName + "/" + string(m.Name())
		p, ok := auth.PolicyOf(path)
		if !ok || p.Open || p.Role == auth.NoRole && len(p.Nodes) == 0 {
			t.Errorf("%s may be called by everybody or by nobody: %+v", path, p)
		}
		if m.IsStreamingClient() || m.IsStreamingServer() {
			t.Errorf("%s streams: authorize each of its messages", path)
		}
	}
}

// TestListsHaveWhatIsInScope: and hints name nothing else.
func TestListsHaveWhatIsInScope(t *testing.T) {
	t.Parallel()
	var set *auth.Config
	c := newCluster(t, 1, func(cfg *Config) { cfg.Auth = set })
	dismiss := c.employ(newRobot(c, "w1", nil))
	for _, name := range []string{"flights", "secret"} {
		c.awaitRun(c.client(), c.apply(c.client(), name, 1).RunId)
	}
	dismiss()
	c.stop("n1") // it was open, and is closed from now
	secret := auth.NewSecret()
	set = closedTo(secret)
	c.start("n1", [2]net.Listener{})
	c.opens(secret)
	mine := c.as("mine", "submitter", "flights*")
	pipelines, err := mine.ListPipelines(c.ctx(), &apiv1.ListPipelinesRequest{})
	if err != nil || len(pipelines.Pipelines) != 1 || pipelines.Pipelines[0].Name != "flights" {
		t.Errorf("pipelines: %v, %v", pipelines, err)
	}
	runs, err := mine.ListRuns(c.ctx(), &apiv1.ListRunsRequest{})
	if err != nil || len(runs.Runs) != 1 || runs.Runs[0].Pipeline != "flights" {
		t.Errorf("runs: %v, %v", runs, err)
	}
	models, err := mine.ListModels(c.ctx(), &apiv1.ListModelsRequest{})
	if err != nil || len(models.Models) != 1 || models.Models[0].Name != "flights" {
		t.Errorf("models: %v, %v", models, err)
	}
	streams, err := mine.StreamStatus(c.ctx(), &apiv1.StreamStatusRequest{})
	if err != nil || len(streams.Partitions) == 0 || slices.ContainsFunc(streams.Partitions, func(p *apiv1.StreamPartition) bool { return p.Pipeline != "flights" }) {
		t.Errorf("streams: %v, %v", streams, err)
	}
	for what, err := range map[string]error{
		"pipeline": second(mine.GetPipeline(c.ctx(), &apiv1.GetPipelineRequest{Name: "flightssecret"})),
		"model":    second(mine.ListModels(c.ctx(), &apiv1.ListModelsRequest{Model: "secret"})),
		"run":      second(mine.GetRun(c.ctx(), &apiv1.GetRunRequest{RunId: "flights-1-9"})),
	} {
		if hint := strings.ReplaceAll(fmt.Sprint(err), "flightssecret", ""); err == nil || strings.Contains(strings.TrimPrefix(hint, "list models: model secret"), "secret") {
			t.Errorf("%s: %v", what, err)
		}
	}
	// A spec may not register versions of a model that others use.
	text := specText("flights-mine", 1) + "  registry: {model: secret}\n"
	_, err = mine.Apply(c.ctx(), &apiv1.ApplyRequest{Spec: text, DryRun: true})
	if err == nil || !strings.Contains(err.Error(), "it needs role submitter for all pipelines with model secret") {
		t.Errorf("%v", err)
	}
}

func second[T any](_ T, err error) error { return err }

// TestATokenEndsWhenItIsRevokedOrExpires: at once, on each node, and its secret is
// nowhere.
func TestATokenEndsWhenItIsRevokedOrExpires(t *testing.T) {
	t.Parallel()
	c, _ := closed(t, 3)
	admin := c.client()
	reader := c.as("reader", "reader", "*")
	for _, p := range c.peers { // a follower passes the token on
		one := c.client(p.ID)
		if _, err := one.ListPipelines(c.ctx(), &apiv1.ListPipelinesRequest{}); err != nil {
			t.Errorf("by %s: %v", p.ID, err)
		}
	}
	if _, err := reader.ListPipelines(c.ctx(), &apiv1.ListPipelinesRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.RevokeToken(c.ctx(), &apiv1.RevokeTokenRequest{Name: "reader"}); err != nil {
		t.Fatal(err)
	}
	_, err := reader.ListPipelines(c.ctx(), &apiv1.ListPipelinesRequest{})
	if err == nil || !strings.Contains(err.Error(), "the token is not known, or was revoked") {
		t.Errorf("after its revocation: %v", err)
	}
	secret := auth.NewSecret()
	if _, err := admin.CreateToken(c.ctx(), &apiv1.CreateTokenRequest{Name: "short", Sha256: auth.Hash(secret), Role: "reader", Pipelines: []string{"*"},
		ExpiresAtUnixMs: time.Now().Add(500 * time.Millisecond).UnixMilli()}); err != nil {
		t.Fatal(err)
	}
	short := c.with(secret)
	c.eventually("the token expires", func() bool {
		_, err := short.ListPipelines(c.ctx(), &apiv1.ListPipelinesRequest{})
		return err != nil && strings.Contains(err.Error(), "expired at")
	})
	listed, err := admin.ListTokens(c.ctx(), &apiv1.ListTokensRequest{})
	if err != nil || len(listed.Tokens) != 2 || listed.Tokens[0].Name != "admin" || !listed.Tokens[1].Expired {
		t.Errorf("%v, %v", listed, err)
	}
}

// TestAFollowerVouchesForACertificate: the leader believes another coordinator whose
// certificate a request came with, and nobody else.
func TestAFollowerVouchesForACertificate(t *testing.T) {
	t.Parallel()
	c, _ := closed(t, 1)
	handler := c.nodes["n1"].newServer().Handler
	poll := func(certificate, forwarded string) int {
		req := httptest.NewRequestWithContext(c.atPort(), http.MethodPost, "http://127.0.0.1:7070"+apiv1.CoordinatorServicePollProcedure,
			strings.NewReader(`{"workerId": "w1", "incarnation": "i", "waitMs": 1}`))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set(auth.ForwardedRemote, "10.0.0.7:4711")
		if forwarded != "" {
			req.Header.Set(auth.ForwardedName, forwarded)
		}
		req.TLS = by(certificate)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, req)
		return w.Code
	}
	for _, k := range []struct {
		certificate, forwarded string
		want                   int
	}{
		{"spiffe://prod/coordinator/n2", "spiffe://prod/worker/w1", 200},
		{"spiffe://prod/coordinator/n2", "spiffe://prod/worker/w2", 403},
		{"spiffe://prod/coordinator/n2", "spiffe://other/worker/w1", 401},
		{"spiffe://prod/coordinator/n2", "spiffe://prod/coordinator/n3", 401},
		{"spiffe://prod/coordinator/n2", "w1", 401},
		{"spiffe://prod/coordinator/n2", "", 401},
		{"spiffe://prod/worker/w2", "spiffe://prod/worker/w1", 403},
		{"spiffe://prod/user/root", "spiffe://prod/worker/w1", 403},
		{"", "spiffe://prod/worker/w1", 401},
	} {
		if got := poll(k.certificate, k.forwarded); got != k.want {
			t.Errorf("%s for %s: %d, want %d", k.certificate, k.forwarded, got, k.want)
		}
	}
}

// TestNobodyListensToOtherMachinesWithoutAskingWhoCalls: nor does a mistake open it.
func TestNobodyListensToOtherMachinesWithoutAskingWhoCalls(t *testing.T) {
	t.Parallel()
	node, err := New(slog.New(slog.DiscardHandler), Config{ID: "a", Stages: specStages, Records: (&cluster{store: memory.NewOpener("thalweg")}).records, Dir: t.TempDir(),
		Peers: []Peer{{ID: "a", API: "0.0.0.0:0", Raft: "127.0.0.1:0"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "without certificates nobody can prove who it is") {
		t.Errorf("%v", err)
	}
}

// Who asks too often is told when to come again, and neither others nor workers wait.
func TestWhoAsksTooOftenIsToldWhenToComeAgain(t *testing.T) {
	secret := auth.NewSecret()
	c := newCluster(t, 1, func(cfg *Config) {
		cfg.Auth = closedTo(secret)
		cfg.Auth.Rate, cfg.Auth.FailureRate = 1, 1
	})
	leader := c.nodes[c.leader()]
	ask := func(path, certificate, token string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(c.atPort(), http.MethodPost, "http://127.0.0.1:7070"+path, strings.NewReader("{}"))
		r.Header.Set("Content-Type", "application/json")
		if r.TLS = by(certificate); token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		leader.newServer().Handler.ServeHTTP(w, r)
		return w
	}
	until429 := func(certificate, token string) (w *httptest.ResponseRecorder) {
		for range 100 {
			if w = ask(apiv1.CoordinatorServiceStatusProcedure, certificate, token); w.Code == http.StatusTooManyRequests {
				return w
			}
		}
		t.Fatalf("after 100 requests %q is still answered %d", certificate+token, w.Code)
		return nil
	}
	for _, who := range [][2]string{{"spiffe://prod/user/ada", ""}, {"", auth.NewSecret()}} {
		if w := until429(who[0], who[1]); w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), "too often") {
			t.Errorf("%v is answered %v: %s", who, w.Header(), w.Body)
		}
	}
	if w := ask(apiv1.CoordinatorServiceStatusProcedure, "spiffe://prod/user/root", ""); w.Code != http.StatusOK {
		t.Errorf("another user: %d %s", w.Code, w.Body)
	}
	// Who may not call a route is counted there too.
	codes := map[int]int{}
	for range 20 {
		codes[ask(apiv1.CoordinatorServicePollProcedure, "spiffe://prod/user/root", "").Code]++
	}
	if codes[http.StatusTooManyRequests] == 0 {
		t.Errorf("a user that polls is answered %v", codes)
	}
	for range 100 {
		if w := ask(auth.HealthPath, "", ""); w.Code == http.StatusTooManyRequests {
			t.Fatal("a probe is limited")
		}
	}
}

// A connection may outlive the certificate that it was made with.
func TestACertificateCountsUntilItExpires(t *testing.T) {
	c, _ := closed(t, 1)
	handler := c.nodes[c.leader()].newServer().Handler
	for valid, want := range map[time.Duration]int{time.Minute: http.StatusOK, -time.Second: http.StatusUnauthorized} {
		r := httptest.NewRequestWithContext(c.atPort(), http.MethodPost, "http://127.0.0.1:7070"+apiv1.CoordinatorServiceStatusProcedure, strings.NewReader("{}"))
		r.Header.Set("Content-Type", "application/json")
		r.TLS = by("spiffe://prod/user/root")
		r.TLS.PeerCertificates[0].NotAfter = time.Now().Add(valid)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("a certificate that is valid for %v is answered %d: %s", valid, w.Code, w.Body)
		}
	}
}

// A spec may not lie where another does, and who may not see that one is not told which
// it is, nor where.
func TestAPlaceOfAnotherPipelineHasNoNameForWhoMayNotSeeIt(t *testing.T) {
	c, _ := closed(t, 1)
	if _, err := c.client().Apply(c.ctx(), placed("secret-pipe", "lake/flights/*", "lake/secret-history/*")); err != nil {
		t.Fatal(err)
	}
	mine := c.as("mine", "submitter", "flights*")
	for _, to := range []string{"s3://lake/", "s3://lake/secret-history/x/"} {
		r := placed("flights-a", "s3://lake/scored/flights-a/", to, "lake/flights/*", "pond/flights/*")
		r.DryRun = true
		_, err := mine.Apply(c.ctx(), r)
		if !thalweg.Is(err, thalweg.Invalid) || strings.Contains(err.Error(), "secret-pipe") || strings.Contains(err.Error(), "scored") || !strings.Contains(err.Error(), "another pipeline") {
			t.Errorf("%s: %v", to, err)
		}
		if _, err := c.client().Apply(c.ctx(), r); err == nil || !strings.Contains(err.Error(), "secret-pipe") {
			t.Errorf("who may see it is told of %s: %v", to, err)
		}
	}
}
