#!/usr/bin/env bash
# Invokes both functions in containers, with the local stack and the demo portal (make sam-local): the dispatcher with
# events/s3-put.json, then the downloader with events/sqs-batch.json, whose job is the one that the dispatcher began. With SAM it
# is SAM's way. Without, the containers run AWS's runtime interface emulator and are held to what Lambda gives: another user than
# root, a read-only root, only /tmp to write, limited memory.
#   PURSER_IMAGE        an image of the downloader that is built already (without SAM)
#   DOCKER_BUILD_FLAGS  flags of docker build (without SAM), such as --network host
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "sam-local: $*" >&2; exit 1; }
docker info >/dev/null 2>&1 || fail "Docker is needed, and its daemon must run"

# Where containers reach this machine. On Linux they share its network, so that nothing is open to others.
if [ "$(uname)" = Linux ]; then listen=127.0.0.1 host=127.0.0.1; else listen=0.0.0.0 host=host.docker.internal; fi
work=$PWD/build/sam-local
rm -rf "$work" && mkdir -p "$work"

pids="" containers=""
finish() {
  for c in $containers; do docker logs "$c" >"$work/${c#sam-local-}.log" 2>&1; docker kill "$c" >/dev/null; done
  for p in $pids; do kill "$p" && wait "$p" || true; done
}
trap finish EXIT

# field NAME FILE prints a text of a JSON object, once the object is there.
field() {
  for _ in $(seq 150); do [ -s "$2" ] && break; sleep 0.2; done
  sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$2"
}

export AWS_ACCESS_KEY_ID=sam-local AWS_SECRET_ACCESS_KEY=sam-local AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
unset AWS_SESSION_TOKEN AWS_PROFILE AWS_ENDPOINT_URL
bin/purser demo --listen "$listen:0" --json >"$work/demo.json" & pids="$pids $!"
bin/purser local --services-only --listen "$listen:0" --data "$work/data" --json >"$work/stack.json" & pids="$pids $!"
portal=$(field url "$work/demo.json") stack=$(field endpoint "$work/stack.json")
[ -n "$portal" ] && [ -n "$stack" ] || fail "the demo portal or the local stack did not start"
inside() { sed -E "s#//[^:/]+:#//$host:#" <<<"$1"; }

# A sheet in the bucket, and the portal's session in the secret.
files=$(field files "$work/stack.json")
mkdir -p "$files/input" && cp examples/plain.csv "$files/input/plain.csv"
printf '{"username":"%s","password":"%s"}' "$(field user "$work/demo.json")" "$(field password "$work/demo.json")" |
  bin/purser session put - --endpoint "${stack/0.0.0.0/127.0.0.1}"

# What template.yaml refers to, as SAM's env file.
variables=(
  AWS_ENDPOINT_URL "$(inside "$stack")"
  BUCKET_NAME "$(field bucket "$work/stack.json")"
  TABLE_NAME "$(field table "$work/stack.json")"
  QUEUE_URL "$(inside "$(field queue_url "$work/stack.json")")"
  DEAD_LETTER_QUEUE_URL "$(inside "$(field dead_letter_queue_url "$work/stack.json")")"
  TOPIC_ARN "$(field topic_arn "$work/stack.json")"
  PORTAL_SESSION_SECRET "$(field secret_arn "$work/stack.json")"
  PORTAL_PROFILE demo
  PORTAL_BASE_URL "$(inside "$portal")"
  POWERTOOLS_SERVICE_NAME purser
)
{ printf '{"Parameters": {'; printf '"%s": "%s", ' "${variables[@]}"; printf '"LOG_LEVEL": "info"}}\n'; } >events/local-env.json

if command -v sam >/dev/null; then
  sam build
  sam local invoke DispatcherFunction -e events/s3-put.json
  sam local invoke DownloaderFunction -e events/sqs-batch.json
else
  echo "sam is not installed: the same with docker and AWS's runtime interface emulator"
  image=${PURSER_IMAGE:-purser-downloader}
  if [ -z "${PURSER_IMAGE:-}" ]; then
    # shellcheck disable=SC2086 # they are several
    docker build ${DOCKER_BUILD_FLAGS:-} -f functions/downloader/Dockerfile -t "$image" .
  fi
  CGO_ENABLED=0 go build -o "$work/" ./functions/dispatcher \
    github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie

  network=(--network host)
  # invoke NAME PORT MEMORY PROGRAM EVENT
  invoke() {
    [ "$(uname)" = Linux ] || network=(-p "127.0.0.1:$2:$2")
    local env=(); for ((i = 0; i < ${#variables[@]}; i += 2)); do env+=(-e "${variables[i]}=${variables[i + 1]}"); done
    docker run -d --rm --name "sam-local-$1" "${network[@]}" --read-only --tmpfs /tmp --user 993 --memory "$3m" "${env[@]}" \
      -e AWS_ACCESS_KEY_ID -e AWS_SECRET_ACCESS_KEY -e AWS_REGION -e "AWS_LAMBDA_FUNCTION_NAME=$1" \
      -e AWS_LAMBDA_FUNCTION_TIMEOUT=900 -e "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=$3" -v "$work:/opt/sam-local:ro" \
      --entrypoint /opt/sam-local/aws-lambda-rie "$image" --runtime-interface-emulator-address "$listen:$2" \
      --runtime-api-address "127.0.0.1:$(($2 + 1))" "$4" >/dev/null
    containers="$containers sam-local-$1"
    curl -sS --fail-with-body --retry 30 --retry-connrefused --retry-delay 1 --data-binary "@$5" \
      "http://127.0.0.1:$2/2015-03-31/functions/function/invocations" | tee "$work/$1.answer"
    echo
    ! grep -q errorType "$work/$1.answer" || fail "the $1 failed; see $work/$1.log"
  }
  invoke dispatcher 9410 512 /opt/sam-local/dispatcher events/s3-put.json
  invoke downloader 9420 2048 /downloader events/sqs-batch.json
fi

echo "Files in the bucket:"
(cd "$files" && find download -type f | sort)
[ -n "$(find "$files/download" -type f)" ] || fail "nothing was fetched; see the logs in $work"
