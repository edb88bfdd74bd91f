package config

import (
	"fmt"
	"net/url"
	"strings"
)

// fromEnvironment applies the variables that dockerd knows.
func (c *Config) fromEnvironment() error {
	if driver := c.env("DOCKER_DRIVER"); driver != "" {
		c.Storage.Driver = driver // wins over flag and file, as in dockerd
	}
	c.TmpDir = c.env("DOCKER_TMPDIR")
	if v := c.env("DOCKER_MIN_API_VERSION"); v != "" {
		if err := checkAPIVersion(v); err != nil {
			return fmt.Errorf("invalid DOCKER_MIN_API_VERSION: %w", err)
		}
		c.Serve.MinAPIVersion = v
	}
	if c.env("DOCKER_TLS_VERIFY") != "" && !c.Set("tlsverify") {
		c.Serve.TLS.Verify = true
	}
	return nil
}

// Override is a proxy variable whose value in the environment is not the configured one.
type Override struct{ Name, Old, New string } // credentials masked

// Export puts the configured proxies into the environment, where HTTP clients look for them, and returns those that
// were there with another value.
func (p Proxies) Export(getenv func(string) string, setenv func(name, value string) error) ([]Override, error) {
	var out []Override
	for _, v := range []struct{ name, value string }{{"HTTP_PROXY", p.HTTP}, {"HTTPS_PROXY", p.HTTPS}, {"NO_PROXY", p.No}} {
		if v.value == "" {
			continue
		}
		for _, name := range []string{v.name, strings.ToLower(v.name)} {
			if old := getenv(name); old != "" && old != v.value {
				out = append(out, Override{name, maskURL(old), maskURL(v.value)})
			}
			if err := setenv(name, v.value); err != nil {
				return out, err
			}
		}
	}
	return out, nil
}

// Effective is what the engine's own requests go through, credentials masked: the configured proxies, and the environment's
// for those that are not configured.
func (c *Config) Effective() Proxies {
	pick := func(configured, name string) string {
		for _, v := range []string{configured, c.env(name), c.env(strings.ToLower(name))} {
			if v != "" {
				return maskURL(v)
			}
		}
		return ""
	}
	return Proxies{
		HTTP:  pick(c.Proxies.HTTP, "HTTP_PROXY"),
		HTTPS: pick(c.Proxies.HTTPS, "HTTPS_PROXY"),
		No:    pick(c.Proxies.No, "NO_PROXY"),
	}
}

// maskURL hides the user and password of a URL, in dockerd's way. What is not a URL with a user is unchanged.
func maskURL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		if strings.Contains(s, "@") {
			return "xxxxx"
		}
		return s
	}
	if u.User == nil {
		return s
	}
	u.User = url.UserPassword("xxxxx", "xxxxx")
	return u.String()
}
