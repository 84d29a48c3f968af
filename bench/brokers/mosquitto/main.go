// Command mosquitto is the comparison with Mosquitto: the server that is installed
// on this machine, in a process of its own, recipients with persistent sessions who
// are away, and publishers at QoS 1 who wait for its acknowledgements (PUBACK), over
// TCP on loopback. Package load says how it is driven. It reads the server's
// processor time from /proc, so it runs on Linux.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/claudemesh/claudemesh-go/bench/brokers/load"
)

// atLeastOnce is the quality of service of all that is sent and subscribed: the
// server acknowledges.
const atLeastOnce = 1

// patience is how long the server may take to start, and to answer.
const patience = 10 * time.Second

func main() {
	l := &load.Load{}
	l.Flags()
	program := flag.String("program", "mosquitto", "the server's `file`")
	flag.Parse()
	signal.Ignore(os.Interrupt) // the end of the input says when it is over, and the folder is removed
	if err := run(l, *program, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "mosquitto:", err)
		os.Exit(1)
	}
}

func run(l *load.Load, program string, in io.Reader, out io.Writer) (err error) {
	s, err := startServer(program)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.awaitStart(); err != nil {
		return err
	}
	for i := range l.Pairs {
		if err := s.leave(i); err != nil {
			return fmt.Errorf("recipient %d: %w", i, err)
		}
	}
	var publishers []mqtt.Client
	for i := range l.Pairs {
		c, err := connect(s.options(fmt.Sprintf("publisher-%d", i)).SetCleanSession(true))
		if err != nil {
			return fmt.Errorf("publisher %d: %w", i, err)
		}
		defer c.Disconnect(0)
		publishers = append(publishers, c)
	}
	l.Publish = func(pair int, body []byte) (func() error, error) {
		token := publishers[pair].Publish(topic(pair), atLeastOnce, false, body)
		return func() error {
			<-token.Done()
			return token.Error()
		}, nil
	}
	l.Used = func() (time.Duration, error) {
		own, err := load.ProcessorTime()
		servers, serversErr := s.processorTime()
		return own + servers, errors.Join(err, serversErr)
	}
	return l.Serve(in, out)
}

func topic(pair int) string { return fmt.Sprintf("to/%d", pair) }

// leave is a recipient who comes, subscribes to its topic and goes away: what is
// sent to it from then on waits.
func (s *mosquitto) leave(pair int) error {
	c, err := connect(s.options(fmt.Sprintf("recipient-%d", pair)).SetCleanSession(false))
	if err != nil {
		return err
	}
	defer c.Disconnect(uint(time.Second.Milliseconds()))
	return answered(c.Subscribe(topic(pair), atLeastOnce, nil))
}

func connect(o *mqtt.ClientOptions) (mqtt.Client, error) {
	c := mqtt.NewClient(o)
	return c, answered(c.Connect())
}

func answered(t mqtt.Token) error {
	if !t.WaitTimeout(patience) {
		return errors.New("the server does not answer")
	}
	return t.Error()
}
