package endpoint

// Arrow is files of Arrow IPC (Feather), in its file format or that of streams, whose
// buffers may be compressed with lz4 or zstd. It has no options.
type Arrow struct{}
