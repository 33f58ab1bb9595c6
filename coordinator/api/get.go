package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"connectrpc.com/connect"

	"github.com/thalweg/thalweg"
)

// maxErrorBytes bounds the answer that says why there is none.
const maxErrorBytes = 64 << 10

// Get returns what a coordinator answers at a path besides the RPC, most bytes at most:
// more is Exhausted. It asks the node that answered last, once.
func (c *Client) Get(ctx context.Context, path string, query url.Values, most int64) ([]byte, error) {
	node := c.nodes[c.current()]
	fail := func(kind thalweg.Kind, err error) ([]byte, error) {
		return nil, &thalweg.Error{Op: "get " + path, Kind: kind, Subject: node, Err: err}
	}
	u := url.URL{Scheme: Scheme(c.cfg.TLS), Host: node, Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return fail(thalweg.Invalid, err)
	}
	if c.cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.cfg.Token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fail(thalweg.Unavailable, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fail(refusal(resp))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return fail(thalweg.Unavailable, err)
	}
	if int64(len(body)) > most {
		return fail(thalweg.Exhausted, fmt.Errorf("the answer has more than %d bytes", most))
	}
	return body, nil
}

// refusal reads why a node answers nothing: an error of the RPC, or a line of text.
func refusal(resp *http.Response) (thalweg.Kind, error) {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBytes))
	var told struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(text, &told) != nil || told.Message == "" {
		return thalweg.Unavailable, fmt.Errorf("it answers %s: %.200s", resp.Status, text)
	}
	var code connect.Code
	if code.UnmarshalText([]byte(told.Code)) != nil {
		code = connect.CodeUnknown
	}
	return kindOf(code), errors.New(told.Message)
}
