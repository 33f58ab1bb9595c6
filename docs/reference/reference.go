// Package reference holds the documents that are generated (make generate), of
// which a coordinator serves the description of its API.
package reference

import _ "embed"

// OpenAPI describes the HTTP API of coordinators, in OpenAPI 3.1.
//
//go:embed openapi.yaml
var OpenAPI []byte
