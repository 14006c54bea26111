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

# the last id that was seen, and what happens while nobody follows
seen=$(sed -n 's/^id: //p' "$scratch/events" | tail -n 1)
post /v1/processes '{"module": "kv", "name": "meanwhile"}' >/dev/null
follow "$scratch/resumed" $watch text/event-stream -H "last-event-id: $seen"
until_line "$scratch/resumed" '"kind":"STARTED".*"registeredName":"meanwhile"'
shows "a stream goes on behind the last event seen" "$(tail -n 1 "$scratch/resumed")" '"registeredName":"meanwhile"'
shows "without what was there before" "$(grep -c '"kind":"SNAPSHOT"' "$scratch/resumed" || true)" 0

# Lines both ways. curl reads no answer while it waits for more to send, so that here all is said at once.
cat >"$scratch/frames" <<'LINES'
{"open": {"name": "liner"}}
{"id": "1", "call": {"process": "payment", "message": ["add", 2]}}
{"id": "2", "monitor": {"process": "payment"}}
{"close": {}}
LINES
answers=$(get /v1/sessions:connect -X GET --http2-prior-knowledge -H 'content-type: application/x-ndjson' \
    -H 'accept: application/x-ndjson' --data-binary "@$scratch/frames")
shows "a session opens over lines" "$(head -n 1 <<<"$answers")" '{"opened":{"session":'
shows "its frames are answered" "$answers" '{"result":{"id":"2","monitor":"n1.1-'
shows "its end is told to a client that says no more" "$(tail -n 1 <<<"$answers")" '{"closed":{"reason":"normal"}}'
