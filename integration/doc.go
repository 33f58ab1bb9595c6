// Package integration tests Thalweg against the real things: Apache Kafka, a
// MinIO server, and its own binary as separate processes on loopback. The tests
// are behind the build tag integration (make integration); what they need and
// cannot have fails them.
//
// The child packages start the things, each for one test:
// integration/process for any program, integration/kafka for a cluster of
// brokers, integration/minio for an S3 server, integration/network for a network
// that loses and delays packets. integration/fault needs none of them: it makes calls of buckets and sources go wrong, in any package's tests.
package integration
