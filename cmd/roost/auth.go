//go:build linux

package main

import "roost/conn/auth"

// authFlags are those about who may connect.
type authFlags struct {
	AuthKey         string   `group:"Auth" name:"auth-jwt-key" placeholder:"FILE|URL" help:"Clients must bring a token (JWT) that is signed with a key from here, as 'Authorization: Bearer TOKEN', ?token=TOKEN or a cookie: a JSON Web Key Set, public keys in PEM, or, in a file only, a secret of 32 bytes or more. RS256, ES256, EdDSA and HS256, as the key is. A file is read again when it changes, and on SIGHUP, like a URL. Without this flag and --auth-url everybody may connect."`
	AuthRefresh     duration `group:"Auth" name:"auth-jwt-refresh" default:"10m" placeholder:"TIME" help:"How often the keys are fetched from a URL. They are also fetched, every 30s at the most, when a token names a key that is not known. 0 means only then."`
	AuthAudience    string   `group:"Auth" name:"auth-audience" placeholder:"NAME" help:"What a token must have as aud, or in it."`
	AuthIssuer      string   `group:"Auth" name:"auth-issuer" placeholder:"NAME" help:"What a token must have as iss."`
	AuthLeeway      duration `group:"Auth" name:"auth-leeway" default:"0" placeholder:"TIME" help:"By how much the clock of whoever makes the tokens may differ: they hold so much longer. 0 means not at all."`
	AuthCookie      string   `group:"Auth" name:"auth-cookie" default:"token" placeholder:"NAME" help:"Cookie that may carry the token. An empty name means none."`
	AuthURL         string   `group:"Auth" name:"auth-url" placeholder:"URL" help:"Ask this URL about each client instead, with GET and the address of the client in X-Forwarded-For, its path and query in X-Original-URI. 2xx lets it in, as far as JSON in the answer allows, with the same names as in a token: {\"sub\": \"alice\", \"exp\": 1767225600, \"topics\": [\"news*\"], \"pub\": [\"news1\"]}, all optional; 401 and 403 refuse it; after anything else it is answered with 503."`
	AuthForward     []string `group:"Auth" name:"auth-forward" placeholder:"HEADER" help:"Headers of the client's request that are passed on to --auth-url; if not given, Authorization and Cookie. Repeat or separate with commas."`
	AuthTimeout     duration `group:"Auth" name:"auth-timeout" default:"3s" placeholder:"TIME" help:"How long a client waits for the answer of --auth-url, its turn included, before it is answered with 503. 0 means 3s."`
	AuthConcurrency count    `group:"Auth" name:"auth-concurrency" default:"64" placeholder:"N" help:"Questions that --auth-url is asked at once. 0 means 64."`
	AuthQueue       count    `group:"Auth" name:"auth-queue" default:"1024" placeholder:"N" help:"Clients that may wait for their turn to be asked about; more are answered with 503. 0 means 1024."`
}

func (f *authFlags) config() auth.Config {
	cookie := f.AuthCookie
	if cookie == "" {
		cookie = auth.NoCookie
	}
	return auth.Config{
		Keys:        f.AuthKey,
		Refresh:     orOff(f.AuthRefresh.n),
		Audience:    f.AuthAudience,
		Issuer:      f.AuthIssuer,
		Leeway:      f.AuthLeeway.n,
		Cookie:      cookie,
		URL:         f.AuthURL,
		Forward:     f.AuthForward,
		Timeout:     f.AuthTimeout.n,
		Concurrency: f.AuthConcurrency.n,
		Queue:       f.AuthQueue.n,
	}
}

// way is how it is told who may connect, "" when everybody may.
func (f *authFlags) way() string {
	switch {
	case f.AuthKey != "":
		return "token"
	case f.AuthURL != "":
		return "back end"
	}
	return ""
}
