# README's "Ten minutes with a tree" and "From the command line", step by step. Sourced by `run`.

shows "a tree starts from a file" "$(post /v1/supervisors @deploy/examples/orders.json)" '"id":"fulfilment"'
shows "the tree has twelve processes" "$(get /v1/supervisors/orders/tree)" '"count":12'
shows "children are listed latest first" "$(get /v1/supervisors/checkout/children)" '{"children":[{"id":"payment"'

follow "$scratch/tour" /v1/processes:watch text/event-stream
before=$(get /v1/registry/names/cart)
post /v1/processes/cart:kill '{}' >/dev/null
until_line "$scratch/tour" '"kind":"STARTED".*"registeredName":"cart"'
after=$(get /v1/registry/names/cart)
for pid in "$before" "$after"; do
    shows "README prints the pid that a fresh node gives" "$(cat README.md)" "$pid"
done
shows "a killed process comes back" "$after" '"pid"'
shows "as a new incarnation" "$([ "$after" != "$before" ] && echo differs)" differs
pid=$(sed 's/.*"pid":"\([^"]*\)".*/\1/' <<<"$before")
shows "its end is on record" "$(get "/v1/exits/$pid")" '"reason":"killed"'
shows "who follows has seen it end" "$(grep '"kind":"EXITED"' "$scratch/tour")" "\"pid\":\"$pid\""

p=/v1/processes/shipper
post $p:pauseScheduling '{"lease": "300s"}' >/dev/null
post $p:send '{"message": {"order": 1, "express": false}}' >/dev/null
post $p:send '{"message": {"order": 2, "express": false}}' >/dev/null
post $p:send '{"message": {"order": 3, "express": true}}' >/dev/null
shows "a mailbox is searched" "$(get "$p/mailbox:search?filter=message.express")" '"position":2'
post $p/queue:prioritize '{"order": ["message.express"]}' >/dev/null
shows "and reordered" "$(get "$p/queue:peek?count=3")" '{"message":{"order":3,"express":true}},{"message":{"order":1'
post $p:resumeScheduling '{}' >/dev/null
shows "and handled in the new order" "$(get $p/state)" '[{"order":3,"express":true},{"order":1'
shows "a dry run tells what would happen" \
    "$(post /v1/supervisors/fulfilment:testStrategy '{"failures": [{"at": "1s", "child": "picker", "reason": "crash"}]}')" \
    '"kind":"RESTARTED","child":"picker"'
shows "processes are found by an expression" \
    "$(get /v1/processes -G --data-urlencode 'filter=behaviour == "GEN_SERVER" && reductions < 10')" '"behaviour":"GEN_SERVER"'

called() { "$ARSENAL" call "$@" --node "http://$grpc"; }
shows "the command line calls the same node" "$(called whereis_process '{"name": "pricing"}')" '"pid"'
shows "and shows the same as curl" "$(called peek_message_queue '{"process": "cart"}' --show-curl)" 'curl '
