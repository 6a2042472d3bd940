#!/usr/bin/env bash
# N processes of one run on this machine, over loopback with CPU collectives.
#   launch/local.sh N --config=configs/demo.py [--config.field=value ...]
# Process 0 writes to the terminal, the others to $LOG_DIR/process_<i>.log. If one fails, the rest
# are stopped and its exit code is returned. PYTHON names another interpreter.
set -euo pipefail

if [[ ! "${1:-}" =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: launch/local.sh N --config=FILE [...]: N >= 1 processes, got '${1:-}'" >&2
  exit 2
fi
num_processes=$1
shift
grace_seconds=${GRACE_SECONDS:-30} # to save on SIGTERM, before SIGKILL
log_dir=${LOG_DIR:-$(mktemp -d)}
mkdir -p "$log_dir"

# Below the range that the system hands out by itself, and nobody answers.
port=$((20000 + RANDOM % 12000))
while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
  port=$((20000 + RANDOM % 12000))
done

export JAX_PLATFORMS=cpu JAX_CPU_COLLECTIVES_IMPLEMENTATION=gloo
export JAX_COORDINATOR_ADDRESS=127.0.0.1:$port JAX_NUM_PROCESSES=$num_processes

process() {
  JAX_PROCESS_ID=$1 exec "${PYTHON:-python}" -m tvdim_jax.main --distributed "${@:2}"
}

running=() # process ids, by JAX process
status=0
stop() { # the code to exit with
  if ((status == 0)); then status=$1; fi
  if ((${#running[@]})); then kill -TERM "${running[@]}" 2>/dev/null || true; fi
  deadline=${deadline:-$((SECONDS + grace_seconds))}
}
trap 'stop 130' INT
trap 'stop 143' TERM

for ((i = 0; i < num_processes; i++)); do
  if ((i == 0)); then
    process "$i" "$@" &
  else
    process "$i" "$@" >"$log_dir/process_$i.log" 2>&1 &
  fi
  running[i]=$!
done
if ((num_processes > 1)); then echo "logs of processes 1 to $((num_processes - 1)): $log_dir" >&2; fi

while ((${#running[@]})); do
  sleep 0.2 || true # Ctrl-C reaches it too
  for i in "${!running[@]}"; do
    pid=${running[i]}
    if kill -0 "$pid" 2>/dev/null; then
      if ((SECONDS >= ${deadline:-SECONDS + 1})); then kill -KILL "$pid" 2>/dev/null || true; fi
      continue
    fi
    code=0
    wait "$pid" || code=$?
    unset "running[i]"
    if ((code != 0 && status == 0)); then
      echo "process $i of $num_processes failed with exit code $code; stopping the others" >&2
      stop "$code"
    fi
  done
done
exit "$status"
