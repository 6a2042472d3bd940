#!/usr/bin/env bash
# Compiles the losses for an H200 on a machine without a GPU, and checks their memory.
#   benchmarks/aot.sh [FOLDER] [argument of benchmarks/aot.py ...]
# FOLDER is a virtual environment, made on first use (about 1.5 GB); default: in ~/.cache. PYTHON
# names another interpreter. NVIDIA's plugin is installed without the CUDA libraries, which only
# a run needs.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/tvdim_jax/aot}
shift || true

if [[ ! -x "$folder/bin/python" ]]; then
  "${PYTHON:-python3}" -m venv "$folder"
fi
"$folder/bin/python" -m pip install --quiet -e "$root"
jax_version=$("$folder/bin/python" -c 'import importlib.metadata as m; print(m.version("jax"))')
"$folder/bin/python" -m pip install --quiet --no-deps \
  "jax-cuda13-plugin==$jax_version" "jax-cuda13-pjrt==$jax_version"

exec "$folder/bin/python" "$root/benchmarks/aot.py" \
  --json "$root/benchmarks/results/losses_h200_compiled.json" "$@"
