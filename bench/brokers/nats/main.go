// Command nats is the comparison with NATS JetStream: a server in this process,
// with its messages on disk, and publishers who wait for its acknowledgements, over
// TCP on loopback. Package load says how it is driven.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/claudemesh/claudemesh-go/bench/brokers/load"
)

func main() {
	l := &load.Load{Used: load.ProcessorTime}
	l.Flags()
	fsync := flag.Bool("fsync", false, "the disk has a message before it is acknowledged")
	flag.Parse()
	if err := run(l, *fsync, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "nats:", err)
		os.Exit(1)
	}
}

func run(l *load.Load, fsync bool, in io.Reader, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "claudemesh-bench-nats-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true,
		StoreDir: dir, SyncAlways: fsync, NoLog: true, NoSigs: true})
	if err != nil {
		return err
	}
	s.Start()
	defer func() {
		s.Shutdown()
		s.WaitForShutdown()
	}()
	if !s.ReadyForConnections(10 * time.Second) {
		return errors.New("the server does not start")
	}
	var publishers []jetstream.JetStream
	for i := range l.Pairs {
		conn, err := nats.Connect(s.ClientURL())
		if err != nil {
			return err
		}
		defer conn.Close()
		js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(l.InFlight))
		if err != nil {
			return err
		}
		if i == 0 {
			if _, err := js.CreateStream(context.Background(), jetstream.StreamConfig{Name: "bench",
				Subjects: []string{"to.*"}, Storage: jetstream.FileStorage}); err != nil {
				return err
			}
		}
		publishers = append(publishers, js)
	}
	l.Publish = func(pair int, body []byte) (func() error, error) {
		return publish(publishers[pair], fmt.Sprintf("to.%d", pair), body)
	}
	return l.Serve(in, out)
}

func publish(js jetstream.JetStream, subject string, body []byte) (acknowledged func() error, err error) {
	future, err := js.PublishAsync(subject, body)
	if err != nil {
		return nil, err
	}
	return func() error {
		select {
		case <-future.Ok():
			return nil
		case err := <-future.Err():
			return err
		}
	}, nil
}
