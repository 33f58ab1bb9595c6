package embedded

import (
	"fmt"
	"io"
	"strings"
)

// Endpoints tell where the parts of a dev cluster listen.
type Endpoints struct {
	API       []string `json:"api"`
	Raft      []string `json:"raft"`
	Kafka     string   `json:"kafka"`
	S3        string   `json:"s3"` // host:port; empty where a directory serves instead
	AccessKey string   `json:"access_key"`
	SecretKey string   `json:"secret_key"`
	Store     string   `json:"store"` // what --store takes
}

// Print tells how to reach the cluster.
func (e *Endpoints) Print(w io.Writer) {
	fmt.Fprintf(w, "\nThalweg is ready.\n")
	fmt.Fprintf(w, "  API    http://%s   (and %s)\n", e.API[0], strings.Join(e.API[1:], ", "))
	fmt.Fprintf(w, "  Kafka  %s\n", e.Kafka)
	if e.S3 != "" {
		fmt.Fprintf(w, "  S3     http://%s   access key %s, secret key %s, region us-east-1\n", e.S3, e.AccessKey, e.SecretKey)
	} else {
		fmt.Fprintf(w, "  Store  %s   (a plain directory: this file system has no user xattrs for the S3 endpoint)\n", e.Store)
	}
	fmt.Fprintf(w, "  Shell  export THALWEG_COORDINATOR=%s THALWEG_KAFKA=%s THALWEG_STORE=%s\n", e.API[0], e.Kafka, e.Store)
	fmt.Fprintf(w, "The cluster is open: every program of this machine may do anything with it, and no other machine reaches it.\nIt keeps running until ^C; started again with the same --dir, it goes on where it was. Other verbs are for another shell.\n")
}
