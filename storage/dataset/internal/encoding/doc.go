// Package encoding x.
package encoding
