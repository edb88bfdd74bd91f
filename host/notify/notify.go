// Package notify tells the service manager how the daemon is doing, sd_notify(3).
package notify

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Manager is the service manager's socket. The zero value tells nobody.
type Manager struct{ socket string }

// New takes the value of $NOTIFY_SOCKET; "" if there is no service manager.
func New(socket string) Manager {
	if abstract, ok := strings.CutPrefix(socket, "@"); ok {
		socket = "\x00" + abstract
	}
	return Manager{socket}
}

// Ready says that the API is served.
func (m Manager) Ready() error { return m.send("READY=1") }

// Stopping says that the daemon has begun to stop.
func (m Manager) Stopping() error { return m.send("STOPPING=1") }

// Reloading says that the configuration is read again; Ready says that it is done.
func (m Manager) Reloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return err
	}
	return m.send("RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(now.Nano()/1000, 10))
}

func (m Manager) send(state string) error {
	if m.socket == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	return nil
}
