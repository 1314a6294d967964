//go:build linux

package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"roost/poller"
	"roost/poller/socket"
)

// ErrNotInherited is returned by Start when Config.Listen asks for a socket that
// Config.Inherited does not have.
var ErrNotInherited = errors.New("no such socket was inherited")

// inherited is the address of the sockets in Config.Inherited, alone or with a
// colon and a name.
const inherited = "systemd"

// inheritedName returns the name in the address of inherited sockets, "" for all.
func inheritedName(addr string) (name string, ok bool) {
	if addr == inherited {
		return "", true
	}
	return strings.CutPrefix(addr, inherited+":")
}

// ParseAddress reads an address of Config.Listen: rest is what is listened on, with TLS
// ([SpeaksTLS]) or without. The error says what an address looks like; whether something can
// listen there shows in Start.
func ParseAddress(addr string) (rest string, err error) {
	rest, _ = tlsAddress(addr)
	return rest, checkAddress(rest)
}

func checkAddress(addr string) error {
	if name, ok := inheritedName(addr); ok && name == "" && addr != inherited {
		return fmt.Errorf("listen address %q: want %s for all inherited sockets, or a name behind the colon", addr, inherited)
	} else if ok {
		return nil
	}
	if _, ok, err := socket.UnixPath(addr); ok {
		return err
	}
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return fmt.Errorf("listen address %q: want host:port, as in 127.0.0.1:8000, [::1]:8000 or :8000; unix:PATH; %s or %s:NAME; tls: in front of any for TLS", addr, inherited, inherited)
	}
	return nil
}

// openListeners opens those of Config.Listen, in that order.
func (s *Server) openListeners() error {
	left := slices.Clone(s.config.Inherited)
	for _, addr := range s.config.Listen {
		addr, secure := tlsAddress(addr)
		name, ok := inheritedName(addr)
		if !ok {
			if err := s.admitFrom(secure)(s.poller.Listen(addr, s.reception(addr, secure))); err != nil {
				return err
			}
			continue
		}
		found := false
		for i, f := range left {
			if f == nil || name != "" && f.Name() != name {
				continue
			}
			found = true
			left[i] = nil
			if err := s.admitFrom(secure)(s.inherit(f, secure)); err != nil {
				return err
			}
		}
		if !found {
			return fmt.Errorf("listen address %q: %w; there %s", addr, ErrNotInherited, names(left))
		}
	}
	return nil
}

// names tells what sockets there are.
func names(files []*os.File) string {
	var all []string
	for _, f := range files {
		if f != nil {
			all = append(all, strconv.Quote(f.Name()))
		}
	}
	if all == nil {
		return "are none that could be taken"
	}
	return "are " + strings.Join(all, ", ")
}

// inherit goes on with a socket of Config.Inherited.
func (s *Server) inherit(f *os.File, secure bool) (*poller.Listener, error) {
	fd, err := socket.Inherit(f)
	if err != nil {
		return nil, fmt.Errorf("inherited socket: %w", err)
	}
	_ = f.Close()
	return s.poller.ListenOn(fd, s.reception(inherited+":"+f.Name(), secure))
}

// listener accepts connections, all with TLS or all without.
type listener struct {
	*poller.Listener
	secure bool
}

// admitFrom takes what it is given among the listeners.
func (s *Server) admitFrom(secure bool) func(*poller.Listener, error) error {
	return func(l *poller.Listener, err error) error {
		if err != nil {
			return err
		}
		all := append(slices.Clone(*s.listeners.Load()), listener{l, secure})
		s.listeners.Store(&all)
		return s.setUserTimeout(l)
	}
}

func (s *Server) setUserTimeout(l *poller.Listener) error {
	if _, tcp := l.Addr().(*net.TCPAddr); !tcp || s.config.UserTimeout < 0 {
		return nil
	}
	err := l.SetUserTimeout(s.config.UserTimeout)
	if errors.Is(err, syscall.ENOPROTOOPT) || errors.Is(err, syscall.EOPNOTSUPP) { // an inherited socket may be one of Multipath TCP
		s.config.Log.Warn("this listener's connections cannot have a TCP user timeout", "listener", l.Addr().String(), "err", err)
		return nil
	}
	return err
}

// Addrs are the addresses the server listens on, in the order of Config.Listen: a
// *net.TCPAddr or *net.UnixAddr each.
func (s *Server) Addrs() []net.Addr {
	var addrs []net.Addr
	for _, l := range *s.listeners.Load() {
		addrs = append(addrs, l.Addr())
	}
	return addrs
}

// Secure tells of each of Addrs whether it speaks TLS.
func (s *Server) Secure() []bool {
	var secure []bool
	for _, l := range *s.listeners.Load() {
		secure = append(secure, l.secure)
	}
	return secure
}
