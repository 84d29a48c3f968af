package broker

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Paths for the operator, no part of the protocol.
const (
	pathReady   = "/readyz"
	pathMetrics = "/metrics"
)

// scrapeWithin is how long the store may take to say what waits.
const scrapeWithin = 5 * time.Second

// metrics counts for the operator: numbers by kind, never a name, a key or a byte of
// what was sent.
type metrics struct {
	b        *Broker
	registry *prometheus.Registry

	messages [2][3]prometheus.Counter // by class and priority
	bytes    prometheus.Counter
	states   map[wire.State]prometheus.Counter
	ack      prometheus.Histogram
	commit   prometheus.Histogram
	gathered prometheus.Histogram
	failed   prometheus.Counter
	refused  prometheus.Counter
	slowed   prometheus.Counter

	// What is read when somebody asks.
	meshes, connections, peers, waiting, oldestAge *prometheus.Desc

	mu    sync.Mutex // guards the following; a leaf
	seen  uint64     // messages, of which some are timed
	timed map[keys.MessageID]time.Time
}

// Of one message in sampleEvery the way to its acknowledgement is timed, of at most
// maxTimed at a time.
const (
	sampleEvery = 16
	maxTimed    = 1024
)

func newMetrics(b *Broker) *metrics {
	m := &metrics{b: b, registry: prometheus.NewRegistry(), states: map[wire.State]prometheus.Counter{}, timed: map[keys.MessageID]time.Time{}}
	taken := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "claudemesh_messages_total",
		Help: "Messages and receipts taken, one for each recipient."}, []string{"class", "priority"})
	for class := range m.messages {
		for priority := range m.messages[class] {
			m.messages[class][priority] = taken.WithLabelValues(wire.Class(class).String(), wire.Priority(priority).String())
		}
	}
	m.bytes = prometheus.NewCounter(prometheus.CounterOpts{Name: "claudemesh_message_bytes_total", Help: "Sealed bytes taken."})
	told := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "claudemesh_acks_total",
		Help: "What senders were told of their messages."}, []string{"state"})
	for _, s := range []wire.State{wire.StateDelivered, wire.StateQueued, wire.StateRefused, wire.StateExpired} {
		m.states[s] = told.WithLabelValues(s.String())
	}
	m.ack = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "claudemesh_ack_seconds",
		Help: "From a message to the first word about it to its sender; one in 16 is timed.", Buckets: prometheus.ExponentialBuckets(0.0002, 2, 16)})
	m.commit = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "claudemesh_commit_seconds",
		Help: "From a batch handed to the store to its answer.", Buckets: prometheus.ExponentialBuckets(0.0002, 2, 16)})
	m.gathered = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "claudemesh_commit_operations",
		Help: "Changes that one batch keeps together.", Buckets: prometheus.ExponentialBuckets(1, 2, 14)})
	m.failed = prometheus.NewCounter(prometheus.CounterOpts{Name: "claudemesh_commit_failures_total", Help: "Batches that the store did not keep."})
	m.refused = prometheus.NewCounter(prometheus.CounterOpts{Name: "claudemesh_hellos_refused_total", Help: "Connections that were refused or gave up before a welcome."})
	m.slowed = prometheus.NewCounter(prometheus.CounterOpts{Name: "claudemesh_rate_pauses_total", Help: "Times that a connection was not read on because its peer or address had sent too much."})
	m.meshes = prometheus.NewDesc("claudemesh_meshes", "Meshes that this broker serves.", nil, nil)
	m.connections = prometheus.NewDesc("claudemesh_connections", "Connections after their welcome.", nil, nil)
	m.peers = prometheus.NewDesc("claudemesh_peers_online", "Peers with a session that others see.", nil, nil)
	m.waiting = prometheus.NewDesc("claudemesh_queue_messages", "Messages and receipts that wait for their recipients.", nil, nil)
	m.oldestAge = prometheus.NewDesc("claudemesh_queue_oldest_seconds", "How long the oldest of them waits.", nil, nil)
	m.registry.MustRegister(taken, m.bytes, told, m.ack, m.commit, m.gathered, m.failed, m.refused, m.slowed, m,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// took counts a message that was taken for a recipient.
func (m *metrics) took(msg *message) {
	m.bytes.Add(float64(msg.bytes))
	if int(msg.class) < len(m.messages) && int(msg.priority) < len(m.messages[0]) {
		m.messages[msg.class][msg.priority].Inc()
	}
	if msg.class != wire.ClassMessage {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen++; m.seen%sampleEvery == 1 {
		if len(m.timed) >= maxTimed {
			clear(m.timed) // of senders that went before they could be told
		}
		m.timed[msg.id] = time.Now()
	}
}

// told counts what a sender is told.
func (m *metrics) told(id keys.MessageID, state wire.State) {
	if c := m.states[state]; c != nil {
		c.Inc()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if began, ok := m.timed[id]; ok {
		delete(m.timed, id)
		m.ack.Observe(time.Since(began).Seconds())
	}
}

// committed counts a batch that the store answered.
func (m *metrics) committed(ops int, began time.Time, err error) {
	m.commit.Observe(time.Since(began).Seconds())
	m.gathered.Observe(float64(ops))
	if err != nil {
		m.failed.Inc()
	}
}

// Describe is for the registry.
func (m *metrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.meshes, m.connections, m.peers, m.waiting, m.oldestAge} {
		to <- d
	}
}

// Collect reads what stands at this moment.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) { to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	connections, peers := 0, 0
	for _, mesh := range m.b.loaded() {
		mesh.mu.Lock()
		connections += len(mesh.conns)
		for _, p := range mesh.peers {
			if p.visible > 0 {
				peers++
			}
		}
		mesh.mu.Unlock()
	}
	m.b.mu.Lock()
	meshes := len(m.b.meshes)
	m.b.mu.Unlock()
	gauge(m.meshes, float64(meshes))
	gauge(m.connections, float64(connections))
	gauge(m.peers, float64(peers))
	ctx, cancel := context.WithTimeout(m.b.living, scrapeWithin)
	defer cancel()
	w, err := m.b.store.Waiting(ctx)
	if err != nil {
		m.b.log.Warn("count what waits", "err", err)
		return // nothing is better than a number that is not so
	}
	age := 0.0
	if w.Messages > 0 {
		age = max(0, float64(m.b.now()-w.Oldest)/1000)
	}
	gauge(m.waiting, float64(w.Messages))
	gauge(m.oldestAge, age)
}

// serveMetrics answers whoever scrapes from this machine or from a network that the
// operator named: how much a broker has to do is nobody else's business. What a proxy
// brings does not come from this machine, whatever is said of it.
func (b *Broker) serveMetrics(w http.ResponseWriter, r *http.Request, q request) {
	_, here := q.local.(*net.UnixAddr)
	here = here || q.addr.IsLoopback() && !q.proxied
	if !here && !contains(b.opts.MetricsFrom, q.addr) {
		http.NotFound(w, r)
		return
	}
	if reads(w, r) {
		promhttp.HandlerFor(b.metrics.registry, promhttp.HandlerOpts{ErrorLog: promLog{b}}).ServeHTTP(w, r)
	}
}

// promLog writes what fails at a scrape to the operator's log.
type promLog struct{ b *Broker }

// Println is what promhttp wants of a log.
func (l promLog) Println(v ...any) {
	var words []string
	for _, one := range v {
		if err, ok := one.(error); ok {
			words = append(words, err.Error())
		} else if text, ok := one.(string); ok {
			words = append(words, text)
		}
	}
	l.b.log.Warn("metrics", "what", strings.Join(words, " "))
}

// readiness remembers whether the store kept what it was last given to try.
type readiness struct {
	mu  sync.Mutex // guards the following; held over a commit
	at  time.Time
	err error
}

// readyEvery is how long an answer of the store counts: strangers may ask, too.
const readyEvery = time.Second

// ready says whether messages can be taken: serving, and the store keeps what it is
// given.
func (b *Broker) ready(ctx context.Context) error {
	if !b.serving() {
		return errBusy
	}
	r := &b.readiness
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.at) >= readyEvery {
		ctx, cancel := context.WithTimeout(ctx, scrapeWithin)
		defer cancel()
		r.err = b.store.SetSetting(ctx, settingReady, time.Now().UTC().Format(time.RFC3339))
		r.at = time.Now()
	}
	return r.err
}

// settingReady is what readiness writes to see that the store keeps it.
const settingReady = "ready"

func (b *Broker) serveReady(w http.ResponseWriter, r *http.Request) {
	if !reads(w, r) {
		return
	}
	if err := b.ready(r.Context()); err != nil {
		b.log.Warn("not ready", "err", err)
		b.answer(w, http.StatusServiceUnavailable, map[string]string{"status": "not ready"})
		return
	}
	b.answer(w, http.StatusOK, map[string]string{"status": "ready"})
}
