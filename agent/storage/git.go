package storage

import "strings"

// git is a repository to clone.
var git = scheme{example: "https://host/repository.git", matches: isGit, remedy: useKServeImage}

func isGit(u uri) bool {
	return u.scheme == "https" && strings.HasSuffix(strings.TrimSuffix(u.url.Path, "/"), ".git")
}
