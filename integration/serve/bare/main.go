// Command bare answers requests as little as a server can: it decodes a row and encodes an
// answer, by net/http and encoding/json. Servers of models are measured beside it.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"
)

func main() {
	http.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		var row struct {
			Date, Origin, Destination string
			Distance                  float64
		}
		if err := json.NewDecoder(r.Body).Decode(&row); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"prediction": row.Distance > 500, "probability": row.Distance / 10_000, "_model_version": 1})
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("serves at", listener.Addr())
	log.Fatal((&http.Server{ReadHeaderTimeout: time.Minute}).Serve(listener))
}
