package store

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Record is what is kept of a network.
type Record struct {
	ID, Name, Driver string
	Created          time.Time
	Options, Labels  map[string]string
	IPv4, IPv6       bool
	Internal         bool
	Attachable       bool
	ConfigOnly       bool
	ConfigFrom       string // name of a network that is ConfigOnly; "" for none

	IPAMDriver  string // "" for default
	IPAMOptions map[string]string
	Asked       []Pool // what the user has said about addresses
	Given       []Pool // what came of it

	// Bridge is what dockerd's bridge driver keeps of the network; nil for other drivers. Load leaves it out.
	Bridge map[string]any
}

// Pool is a subnet of a network. Each part may be missing.
type Pool struct {
	Subnet, Range netip.Prefix
	Gateway       netip.Addr
	Aux           map[string]netip.Addr // reserved, by names that mean nothing here
}

// onDisk is Docker's record. All that has no omitempty is something that dockerd wants to find, and stops with a panic if it
// does not.
type onDisk struct {
	ID               string            `json:"id"`
	Name             string            `json:"name"`
	Driver           string            `json:"networkType"`
	Created          time.Time         `json:"created"`
	AddressSpace     string            `json:"addrSpace"`
	Attachable       bool              `json:"attachable"`
	ConfigFrom       string            `json:"configFrom"`
	ConfigOnly       bool              `json:"configOnly"`
	IPv4             *bool             `json:"enableIPv4"` // since 28.0
	IPv6             bool              `json:"enableIPv6"`
	Generic          map[string]any    `json:"generic"`
	InDelete         bool              `json:"inDelete"`
	Ingress          bool              `json:"ingress"`
	Internal         bool              `json:"internal"`
	IPAMOptions      map[string]string `json:"ipamOptions"`
	IPAMDriver       string            `json:"ipamType"`
	ConfigV4         string            `json:"ipamV4Config,omitempty"`
	ConfigV6         string            `json:"ipamV6Config,omitempty"`
	InfoV4           string            `json:"ipamV4Info,omitempty"`
	InfoV6           string            `json:"ipamV6Info,omitempty"`
	Labels           map[string]string `json:"labels"`
	LoadBalancerIP   string            `json:"loadBalancerIP"`
	LoadBalancerMode string            `json:"loadBalancerMode"`
	Persist          bool              `json:"persist"`
	PostIPv6         bool              `json:"postIPv6"`
	Scope            string            `json:"scope"`
}

// config is an element of ConfigV4: text, for each part may be "".
type config struct {
	PreferredPool string
	SubPool       string
	Gateway       string
	AuxAddresses  map[string]string
}

// info is an element of InfoV4. Its data is JSON again.
type info struct {
	IPAMData string
	PoolID   string
}

type infoData struct {
	AddressSpace string
	AuxAddresses map[string]string // prefixes
	Gateway      string            `json:",omitempty"` // a prefix
	Pool         string
}

// Names in Generic.
const (
	genericOptions = "com.docker.network.generic"
	genericIPv4    = "com.docker.network.enable_ipv4"
	genericIPv6    = "com.docker.network.enable_ipv6"
	genericInner   = "com.docker.network.internal"
)

const addressSpace = "LocalDefault"

func (r Record) encode() onDisk {
	options := r.Options
	if options == nil {
		options = map[string]string{}
	}
	d := onDisk{
		ID: r.ID, Name: r.Name, Driver: r.Driver, Created: r.Created, Attachable: r.Attachable, ConfigFrom: r.ConfigFrom, ConfigOnly: r.ConfigOnly,
		IPv4: &r.IPv4, IPv6: r.IPv6, Internal: r.Internal, IPAMOptions: r.IPAMOptions, IPAMDriver: r.IPAMDriver, Labels: r.Labels,
		Generic:          map[string]any{genericOptions: options, genericIPv4: r.IPv4, genericIPv6: r.IPv6},
		LoadBalancerMode: "NAT", Persist: true, Scope: "local",
	}
	if r.Internal {
		d.Generic[genericInner] = true
	}
	if d.IPAMDriver == "" {
		d.IPAMDriver = "default"
	}
	if len(r.Given) > 0 {
		d.AddressSpace = addressSpace
	}
	d.ConfigV4, d.ConfigV6 = configText(r.Asked, netip.Addr.Is4), configText(r.Asked, netip.Addr.Is6)
	d.InfoV4, d.InfoV6 = infoText(r.Given, netip.Addr.Is4), infoText(r.Given, netip.Addr.Is6)
	return d
}

func configText(pools []Pool, family func(netip.Addr) bool) string {
	var out []config
	for _, p := range pools {
		if p.Subnet.IsValid() && !family(p.Subnet.Addr()) {
			continue
		}
		c := config{AuxAddresses: map[string]string{}, PreferredPool: text(p.Subnet), SubPool: text(p.Range), Gateway: text(p.Gateway)}
		for name, a := range p.Aux {
			c.AuxAddresses[name] = a.String()
		}
		out = append(out, c)
	}
	return marshal(out, len(out))
}

func infoText(pools []Pool, family func(netip.Addr) bool) string {
	var out []info
	for _, p := range pools {
		if !family(p.Subnet.Addr()) {
			continue
		}
		data := infoData{AddressSpace: addressSpace, AuxAddresses: map[string]string{}, Pool: p.Subnet.String()}
		if p.Gateway.IsValid() {
			data.Gateway = netip.PrefixFrom(p.Gateway, p.Subnet.Bits()).String()
		}
		for name, a := range p.Aux {
			data.AuxAddresses[name] = netip.PrefixFrom(a, p.Subnet.Bits()).String()
		}
		id := addressSpace + "/" + p.Subnet.String()
		if p.Range.IsValid() {
			id += "/" + p.Range.String()
		}
		out = append(out, info{IPAMData: marshal(data, 1), PoolID: id})
	}
	return marshal(out, len(out))
}

// marshal of what cannot fail: strings in maps and structs. Nothing is "".
func marshal(v any, n int) string {
	if n == 0 {
		return ""
	}
	data, _ := json.Marshal(v)
	return string(data)
}

// text is "" for what is not valid.
func text(v interface {
	IsValid() bool
	String() string
}) string {
	if !v.IsValid() {
		return ""
	}
	return v.String()
}

func (d onDisk) record() (Record, error) {
	r := Record{
		ID: d.ID, Name: d.Name, Driver: d.Driver, Created: d.Created, Attachable: d.Attachable, ConfigFrom: d.ConfigFrom, ConfigOnly: d.ConfigOnly,
		IPv4: d.IPv4 == nil || *d.IPv4, IPv6: d.IPv6, Internal: d.Internal, IPAMOptions: d.IPAMOptions, IPAMDriver: d.IPAMDriver, Labels: d.Labels,
		Options: map[string]string{},
	}
	if options, ok := d.Generic[genericOptions].(map[string]any); ok {
		for name, v := range options {
			if s, ok := v.(string); ok {
				r.Options[name] = s
			}
		}
	}
	for _, text := range []string{d.ConfigV4, d.ConfigV6} {
		pools, err := readConfig(text)
		if err != nil {
			return r, fmt.Errorf("configuration of addresses: %w", err)
		}
		r.Asked = append(r.Asked, pools...)
	}
	for _, text := range []string{d.InfoV4, d.InfoV6} {
		pools, err := readInfo(text)
		if err != nil {
			return r, fmt.Errorf("subnets: %w", err)
		}
		r.Given = append(r.Given, pools...)
	}
	// The range is only in what was asked for.
	for i, g := range r.Given {
		if at := slices.IndexFunc(r.Asked, func(a Pool) bool { return a.Range.IsValid() && g.Subnet.Contains(a.Range.Addr()) }); at >= 0 {
			r.Given[i].Range = r.Asked[at].Range
		}
	}
	return r, nil
}

func readConfig(text string) ([]Pool, error) {
	var all []config
	if err := unmarshal(text, &all); err != nil {
		return nil, err
	}
	var out []Pool
	for _, c := range all {
		p := Pool{Aux: map[string]netip.Addr{}}
		var errs [3]error
		p.Subnet, errs[0] = parse(c.PreferredPool, netip.ParsePrefix)
		p.Range, errs[1] = parse(c.SubPool, netip.ParsePrefix)
		p.Gateway, errs[2] = parse(c.Gateway, netip.ParseAddr)
		for _, err := range errs {
			if err != nil {
				return nil, err
			}
		}
		for name, text := range c.AuxAddresses {
			a, err := netip.ParseAddr(text)
			if err != nil {
				return nil, err
			}
			p.Aux[name] = a
		}
		out = append(out, p)
	}
	return out, nil
}

func readInfo(text string) ([]Pool, error) {
	var all []info
	if err := unmarshal(text, &all); err != nil {
		return nil, err
	}
	var out []Pool
	for _, i := range all {
		var data infoData
		if err := json.Unmarshal([]byte(i.IPAMData), &data); err != nil {
			return nil, err
		}
		p := Pool{Aux: map[string]netip.Addr{}}
		var err error
		if p.Subnet, err = netip.ParsePrefix(data.Pool); err != nil {
			return nil, err
		}
		p.Subnet = p.Subnet.Masked()
		gateway, err := parse(data.Gateway, netip.ParsePrefix)
		if err != nil {
			return nil, err
		}
		p.Gateway = gateway.Addr()
		for _, name := range slices.Sorted(maps.Keys(data.AuxAddresses)) {
			a, err := netip.ParsePrefix(data.AuxAddresses[name])
			if err != nil {
				return nil, err
			}
			p.Aux[name] = a.Addr()
		}
		out = append(out, p)
	}
	return out, nil
}

func unmarshal(text string, out any) error {
	if text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), out)
}

// parse is the zero value for "".
func parse[T any](text string, with func(string) (T, error)) (T, error) {
	if text == "" {
		var zero T
		return zero, nil
	}
	return with(text)
}
