package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/broker"
	"github.com/claudemesh/claudemesh-go/profile"
)

// brokerOptions are the flags of broker.
type brokerOptions struct {
	data, listen, create  string
	config                string
	urls, behindProxy     []string
	metricsFrom           []string
	certFile, certKeyFile string
	verbose, events       bool
	unix, goOn            bool
	peerRate, addressRate int
	idle                  time.Duration
}

func (a *app) brokerCommand() *cobra.Command {
	var o brokerOptions
	c := &cobra.Command{
		Use:   "broker",
		Short: "Run a broker, for a server",
		Long: `Runs a broker and nothing else: no mesh is created, this machine is not enrolled.
Its key and its database stand in one folder. At its first start it prints a token
with which the first mesh can be created over the network.

Beyond loopback it serves TLS: by certificate files, else by its own key, which
every invite pins, so that no certificate authority is needed. Plain HTTP it serves
only to a proxy that --behind-proxy names.

Each setting is taken from its flag, else from the environment (--metrics-from is
CLAUDEMESH_BROKER_METRICS_FROM; several values separated by commas), else from the
JSON object in the file of --config ({"metrics-from": ["10.0.0.0/8"]}).

With --unix it serves the sessions of this machine alone, on a socket in the
profile's folder. Sessions start that one by themselves where they find none, with
--idle-exit, so that nobody has to; it gives way to claudemesh up.`,
		Example: `  claudemesh broker --data /var/lib/claudemesh --listen :7900 --url https://mesh.example.org:7900
  claudemesh broker --data /var/lib/claudemesh --listen 127.0.0.1:7900 --url https://mesh.example.org --behind-proxy 127.0.0.1`,
		Args: upTo(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !o.unix {
				if err := settings(cmd, o.config, os.LookupEnv); err != nil {
					return err
				}
				if o.idle != 0 {
					return usagef("--idle-exit is for --unix: a broker that others dial has to be there")
				}
				return a.broker(cmd.Context(), o)
			}
			for _, name := range []string{"data", "listen", "url", "behind-proxy", "create", "cert", "cert-key", "events", "go-on", "metrics-from", "peer-rate", "address-rate", "config"} {
				if cmd.Flags().Changed(name) {
					return usagef("--unix and --%s exclude each other: it serves this machine's socket, with the profile's own data", name)
				}
			}
			if o.idle < 0 {
				return usagef("--idle-exit: %s is no time to wait", o.idle)
			}
			prof, err := profile.Open(a.dir)
			if err != nil {
				return err
			}
			return a.localBroker(cmd.Context(), prof, o)
		},
	}
	c.Flags().StringVar(&o.data, "data", "", dataUsage)
	c.Flags().StringVar(&o.config, "config", "", "JSON `file` with settings, named as the flags are")
	c.Flags().StringVar(&o.listen, "listen", net.JoinHostPort("127.0.0.1", defaultPort), "where to listen, `HOST:PORT`; :0 lets the system choose the port")
	c.Flags().StringArrayVar(&o.urls, "url", nil, "a `URL` by which others reach it; can be given again")
	c.Flags().StringArrayVar(&o.behindProxy, "behind-proxy", nil, "`network` of a proxy that serves TLS before it, 10.0.0.0/8; can be given again")
	c.Flags().StringArrayVar(&o.metricsFrom, "metrics-from", nil, "`network` that may read /metrics, besides this machine; 127.0.0.1 where a proxy of --behind-proxy runs here; can be given again")
	c.Flags().IntVar(&o.peerRate, "peer-rate", 0, "messages a second that are taken of one peer; default: 25000")
	c.Flags().IntVar(&o.addressRate, "address-rate", 0, "messages a second that are taken of one address beyond this machine; default: 50000")
	c.Flags().StringVar(&o.create, "create", "token", "`who` may create meshes over the network: token, or open for everybody")
	c.Flags().StringVar(&o.certFile, "cert", "", "PEM `file` with the TLS certificate's chain")
	c.Flags().StringVar(&o.certKeyFile, "cert-key", "", "PEM `file` with the certificate's key")
	c.Flags().BoolVar(&o.goOn, "go-on", false, "after a restore: take new members and other changes although not all members were heard; what those hold that the backup lacks is lost")
	c.Flags().BoolVar(&o.events, "events", false, "print what happens: who, to whom, how big, never what")
	c.Flags().BoolVar(&o.unix, "unix", false, "serve this machine's sessions alone, on the profile's socket")
	c.Flags().DurationVar(&o.idle, "idle-exit", 0, "with --unix: end once nobody was connected for this long; what waits stays")
	c.Flags().BoolVarP(&o.verbose, "verbose", "v", false, "log more")
	a.jsonFlag(c)
	c.AddCommand(a.brokerBackupCommand(), a.brokerRestoreCommand())
	return c
}

// check makes the broker's options of the flags.
func (o brokerOptions) check() (broker.Options, error) {
	var out broker.Options
	if err := errors.Join(checkListen(o.listen), checkURLs(o.urls)); err != nil {
		return out, err
	}
	switch o.create {
	case "token":
	case "open":
		out.OpenCreate = true
	default:
		return out, usagef("--create: %q is none, choose token or open", o.create)
	}
	if (o.certFile == "") != (o.certKeyFile == "") {
		return out, usagef("--cert and --cert-key belong together")
	}
	var err error
	if out.BehindProxy, err = prefixes("behind-proxy", o.behindProxy); err != nil {
		return out, err
	}
	if out.MetricsFrom, err = prefixes("metrics-from", o.metricsFrom); err != nil {
		return out, err
	}
	if o.certFile != "" && len(out.BehindProxy) > 0 {
		return out, usagef("--cert and --behind-proxy exclude each other: either this broker serves TLS, or the proxy does")
	}
	if o.peerRate < 0 || o.addressRate < 0 {
		return out, usagef("--peer-rate and --address-rate: a rate is a number of messages a second")
	}
	out.Limits.Messages, out.Limits.MessagesAddr = o.peerRate, o.addressRate
	out.GoOn = o.goOn
	out.Dir, out.URLs, out.CertFile, out.KeyFile, out.Version = o.data, o.urls, o.certFile, o.certKeyFile, versionText()
	out.Listen = []broker.Listen{{Addr: o.listen, Plain: len(out.BehindProxy) > 0, TLS: o.certFile != ""}}
	return out, nil
}

func (a *app) broker(ctx context.Context, o brokerOptions) error {
	options, err := o.check()
	if err != nil {
		return err
	}
	socket, err := a.ownData(&options)
	if err != nil {
		return err
	}
	options.Logger = a.operatorLog(o.verbose)
	s, err := serve(ctx, options, "broker", socket)
	if err != nil {
		return err
	}
	feed := s.Events()
	showing := make(chan struct{})
	err = a.sayBroker(s, o)
	go func() {
		defer close(showing)
		if o.events {
			a.followEvents(feed)
		}
	}()
	if err == nil {
		err = <-s.ended
	}
	feed.Close()
	<-showing
	err = errors.Join(err, s.stop())
	if err == nil || ctx.Err() != nil && errors.Is(err, context.Canceled) {
		a.ui.hint("Stopped. Nothing is lost.")
		return nil
	}
	return err
}

// ownData says where the data is, if it was not said. Over the profile's own the
// broker listens on the profile's socket too, which it returns, and takes the place
// of the one that the sessions of this machine started.
func (a *app) ownData(options *broker.Options) (socket string, err error) {
	dir := a.dir
	if dir == "" {
		if dir, err = profile.Dir(); err != nil && options.Dir == "" {
			return "", err
		}
	}
	if options.Dir != "" {
		// A server may have no profile, and gets none by this.
		data, err := filepath.Abs(options.Dir)
		own, err2 := filepath.Abs(filepath.Join(dir, "broker"))
		if err := errors.Join(err, err2); err != nil || data != own {
			return "", err
		}
	}
	prof, err := profile.Open(dir)
	if err != nil {
		return "", err
	}
	options.Dir = prof.BrokerDir()
	options.Listen = append(options.Listen, broker.Listen{Addr: "unix:" + prof.BrokerSocket()})
	return prof.BrokerSocket(), nil
}

// brokerJSON is what broker writes first with --json.
type brokerJSON struct {
	Event string   `json:"event"` // "ready"
	URLs  []string `json:"urls"`
	Key   string   `json:"key"`
	Token string   `json:"token,omitempty"`
}

// sayBroker says where the broker is reached and how its first mesh is made.
func (a *app) sayBroker(s *serving, o brokerOptions) error {
	urls, public := shownURLs(s.URLs())
	if len(urls) == 0 {
		return errors.New("the broker listens nowhere that can be dialled")
	}
	if a.json {
		return a.ui.json(brokerJSON{"ready", urls, s.Key().String(), s.Token()})
	}
	note := "reachable from this machine only"
	switch {
	case len(o.behindProxy) > 0:
		note = "plain HTTP at " + s.boundAt(o.listen) + ", for the proxy only"
	case o.certFile != "":
		note = "TLS by " + home(o.certFile)
	case public && strings.HasPrefix(urls[0], "https://"):
		note = "TLS with this broker's own key; every invite pins it"
	}
	for i, u := range urls {
		if i > 0 {
			if err := a.ui.fact("", u, ""); err != nil {
				return err
			}
			continue
		}
		if err := a.ui.fact("broker", u, note); err != nil {
			return err
		}
	}
	if o.create == "open" {
		a.ui.hint("Everybody who reaches it may create meshes:")
		a.ui.hint("  claudemesh mesh create NAME --broker %s --broker-key %s", urls[0], s.Key())
		return nil
	}
	if token := s.Token(); token != "" {
		a.ui.hint("To create the first mesh (works once, one hour):")
		a.ui.hint("  claudemesh mesh create NAME --broker %s --token -", urls[0])
		return a.ui.fact("Token", token, "")
	}
	return nil
}
