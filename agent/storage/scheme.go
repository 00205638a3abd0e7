package storage

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/rawserve/rawserve/agent/storage/download"
)

// scheme is a row of the table: which URIs it means and what is done about them.
type scheme struct {
	// example is shown to people who wrote something unknown.
	example string
	// matches reports whether a URI is of this scheme.
	matches func(uri) bool
	// fetch downloads; nil for a scheme that is known and not served here.
	fetch func(context.Context, *Initializer, job) error
	// remedy says what to do where fetch is nil.
	remedy string
}

// schemes is asked from the top: the special forms of https come before https.
var schemes = []scheme{
	gcs, s3, hdfs, webhdfs, huggingFace, modelScope, azureBlob, azureFile, git, web, file, localPath, pvc, oci,
}

// useKServeImage is the remedy for schemes that KServe's initializer knows.
const useKServeImage = "have the cluster's administrator use KServe's storage-initializer, which knows this scheme: in the ConfigMap rawserve-system/controller-config set deployer.storageInitializer to {image: kserve/storage-initializer:VERSION, command: [], readOnlyRootFilesystem: false}"

// uri is a storage URI taken apart.
type uri struct {
	raw string
	// scheme is lower case, "" for a plain path.
	scheme string
	// url is set for http, https and file, and for others where it can be read: hub
	// names such as hf://model:v1 are no URLs.
	url *url.URL
}

// parseURI takes a URI apart. Its errors never show the URI beyond its scheme: what
// cannot be parsed cannot be redacted either.
func parseURI(raw string) (uri, error) {
	name, _, found := strings.Cut(raw, "://")
	if !found {
		return uri{raw: raw}, nil
	}
	name = strings.ToLower(name)
	u, err := url.Parse(raw)
	if err != nil && (name == "http" || name == "https" || name == "file") {
		return uri{}, fmt.Errorf("the storage URI that starts with %q is not a valid URI; check it for spaces, stray %% signs and an unreadable port", name+"://")
	}
	return uri{raw: raw, scheme: name, url: u}, nil
}

// redacted is the URI as it may be logged.
func (u uri) redacted() string {
	if u.url != nil {
		return download.Redact(u.url)
	}
	// No URL: what comes before an "@" or after a "?" may be a secret.
	visible, _, query := strings.Cut(u.raw, "?")
	if at := strings.LastIndex(visible, "@"); at >= 0 {
		visible = "…" + visible[at:]
	}
	if query {
		visible += "?…"
	}
	return visible
}

// lookup finds the row for a URI that can be served.
func lookup(u uri) (scheme, error) {
	for _, s := range schemes {
		if !s.matches(u) {
			continue
		}
		if s.fetch == nil {
			return scheme{}, fmt.Errorf("the storage URI %s is of the form %s, which this storage-initializer does not download yet: %s", u.redacted(), s.example, s.remedy)
		}
		return s, nil
	}
	return scheme{}, fmt.Errorf("the storage URI %s is of no known form; known are %s", u.redacted(), strings.Join(examples(), ", "))
}

func examples() []string {
	var list []string
	for _, s := range schemes {
		list = append(list, s.example)
	}
	return list
}

// bySchemes matches URIs by the part before "://".
func bySchemes(names ...string) func(uri) bool {
	return func(u uri) bool {
		for _, name := range names {
			if u.scheme == name {
				return true
			}
		}
		return false
	}
}

// byHostSuffix matches https URIs of a cloud's hosts.
func byHostSuffix(suffix string) func(uri) bool {
	return func(u uri) bool {
		return u.scheme == "https" && strings.HasSuffix(strings.ToLower(u.url.Hostname()), suffix)
	}
}
