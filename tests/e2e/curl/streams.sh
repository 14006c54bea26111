# Streams as lines and as server-sent events. Sourced by `run` after the tour.

watch=/v1/processes:watch
renewed='"kind":"STARTED".*"registeredName":"cart"'

follow "$scratch/lines" $watch application/x-ndjson -D "$scratch/lines.headers"
post /v1/processes/cart:kill '{}' >/dev/null
until_line "$scratch/lines" "$renewed"
shows "lines have their media type" "$(cat "$scratch/lines.headers")" 'content-type: application/x-ndjson'
shows "the first lines are what is there" "$(head -n 1 "$scratch/lines")" '{"sequence":'
shows "what follows is what changes" "$(tail -n 1 "$scratch/lines")" '"kind":"STARTED"'
shows "each line is one item" "$(grep -vc '^{"sequence":.*}$' "$scratch/lines" || true)" 0

follow "$scratch/events" $watch text/event-stream -D "$scratch/events.headers"
post /v1/processes/cart:kill '{}' >/dev/null
until_line "$scratch/events" "$renewed"
shows "events have their media type" "$(cat "$scratch/events.headers")" 'content-type: text/event-stream'
shows "no cache keeps them" "$(cat "$scratch/events.headers")" 'cache-control: no-cache'
shows "an event carries its data" "$(tail -n 1 "$scratch/events")" 'data: {"sequence":'

# an error before the first item keeps its HTTP status, as that of a unary call does
shows "a stream that cannot begin is an error" "$(get "$watch?filter=nonsense(" -i -H 'accept: text/event-stream')" '400 Bad Request'
