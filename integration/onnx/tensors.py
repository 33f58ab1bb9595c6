"""Prints, as JSON, the shape and the bytes of each tensor of a safetensors file, read by the
package of that name."""

import base64
import json
import sys

from safetensors.numpy import load_file

json.dump({name: {"shape": list(t.shape), "type": str(t.dtype), "bytes": base64.b64encode(t.tobytes()).decode()} for name, t in load_file(sys.argv[1]).items()}, sys.stdout)
