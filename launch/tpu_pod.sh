#!/usr/bin/env bash
# One TPU slice from creation to deletion; every worker runs the same program.
#   launch/tpu_pod.sh create|install|logs|stop [options]
#   launch/tpu_pod.sh run [options] --config=configs/coco.py [--config.field=value ...]
# Options, or the environment: --name NAME, --zone ZONE, --type TYPE (accelerator, as v5litepod-16),
# --project PROJECT, --runtime RUNTIME (TPU software version), --worker N (logs of which worker),
# --dry-run (print the commands, run none), --yes (stop: really delete).
set -euo pipefail

fail() {
  echo "tpu_pod.sh: $1" >&2
  exit 2
}
execute() {
  if [[ ! "$dry_run" ]]; then
    "$@"
    return
  fi
  local line="" word
  for word in "$@"; do
    if [[ "$word" == *[!A-Za-z0-9_./:=,-]* ]]; then word=${word@Q}; fi
    line+="$word "
  done
  echo "${line% }"
}
tpu() { # verb, arguments
  execute gcloud compute tpus tpu-vm "$1" "$name" "--zone=$zone" "--project=$project" "${@:2}"
}
on_workers() { # workers, command
  tpu ssh "--worker=$1" "--command=$2"
}

verb=${1:-}
shift || true
name=${NAME:-} zone=${ZONE:-} type=${TYPE:-} project=${PROJECT:-} runtime=${RUNTIME:-}
worker=0 dry_run="" yes=""
while (($#)); do
  case $1 in
    --dry-run) dry_run=1 ;;
    --yes) yes=1 ;;
    --name | --zone | --type | --project | --runtime | --worker)
      (($# > 1)) || fail "$1 wants a value"
      declare "${1#--}=$2"
      shift
      ;;
    *) break ;; # what follows is for the program
  esac
  shift
done
for option in name zone project; do
  [[ "${!option}" ]] || fail "--$option is missing; give it or set ${option^^}"
done
[[ "$verb" == run || $# == 0 ]] || fail "$verb takes no '$1'; see the head of this file"

case $verb in
  create)
    [[ "$type" && "$runtime" ]] || fail "create wants --type and --runtime, as gcloud lists them"
    tpu create "--accelerator-type=$type" "--version=$runtime"
    ;;
  install)
    root=$(cd "$(dirname "$0")/.." && pwd)
    execute mkdir -p "$root/dist"
    execute tar -czf "$root/dist/tvdim_jax.tar.gz" -C "$root" \
      setup.py README.md LICENSE tvdim_jax configs
    execute gcloud compute tpus tpu-vm scp "$root/dist/tvdim_jax.tar.gz" "$name:" \
      "--zone=$zone" "--project=$project" --worker=all
    # The images bring an older Python than the package needs; uv fetches one.
    on_workers all "export PATH=\$HOME/.local/bin:\$PATH && mkdir -p tvdim_jax\
 && tar -xzf tvdim_jax.tar.gz -C tvdim_jax && python3 -m pip install --user --quiet uv\
 && uv venv --clear --python 3.12 venv\
 && uv pip install --python venv/bin/python -e './tvdim_jax[tpu]'"
    ;;
  run)
    # A run resumes by itself, so a lost peer (which aborts them all) only needs a fresh start;
    # exit code 2 is a mistake that a retry cannot mend.
    printf -v arguments '%q ' "$@"
    retry="for attempt in 1 2 3 4 5; do ~/venv/bin/python -m tvdim_jax.main --distributed \"\$@\"\
 && exit 0; code=\$?; [ \$code = 2 ] && break; sleep 20; done; exit \$code"
    on_workers all "cd tvdim_jax && { nohup bash -c ${retry@Q} run $arguments\
>>~/tvdim_jax.log 2>&1 </dev/null & }"
    ;;
  logs)
    on_workers "$worker" "tail -n 200 -F tvdim_jax.log"
    ;;
  stop)
    [[ "$yes" || "$dry_run" ]] || fail "stop deletes the slice $name and its disks; add --yes"
    tpu delete --quiet
    ;;
  *) fail "unknown verb '$verb', wanted create, install, run, logs or stop" ;;
esac
