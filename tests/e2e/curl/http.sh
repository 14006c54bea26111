# What HTTP itself has: methods, negotiation, versions, limits. Sourced by `run` after the tour.

shows "HEAD answers what GET would, without the body" "$(get /v1/registry/names/cart -I)" 'content-length: '
shows "OPTIONS tells what is allowed" "$(get $p:kill -i -X OPTIONS)" 'allow: OPTIONS, POST'
shows "another method is refused" "$(get $p:kill -i -X PUT)" '405 Method Not Allowed'
shows "with what is allowed" "$(get $p:kill -i -X PUT)" 'allow: OPTIONS, POST'
shows "a body that is not JSON is refused" "$(get /v1/processes -i -H 'content-type: text/csv' -d 'a,b')" '415 Unsupported'
shows "an answer that nobody can give is refused" "$(get /v1/processes -i -H 'accept: image/png')" '406 Not Acceptable'
shows "an unknown path is told" "$(get /v1/no/such/thing -i)" '404 Not Found'
shows "an unknown parameter is told with the nearest" "$(get '/v1/processes?pageSizes=3')" 'pageSize'
shows "broken JSON is told with its place" "$(post /v1/processes '{"module": }')" '"reason":"INVALID_BODY"'

head -c 5000000 /dev/zero | tr '\0' ' ' >"$scratch/large"
shows "too large a body is refused" "$(post /v1/processes "@$scratch/large" -i)" '413 '

shows "what was refused is counted" "$(get /metrics)" 'gateway_failures_total{reason="BODY_TOO_LARGE"} 1'
shows "and what was answered, by route" "$(get /metrics)" 'http_route="/v1/processes",http_response_status_code="413"} 1'

shows "HTTP/2 is spoken on the same port" \
    "$(get /v1/registry/names/cart -i --http2-prior-knowledge)" 'HTTP/2 200'
shows "one connection serves request after request" \
    "$("${curl[@]}" -v "$base/healthz" "$base/healthz" 2>&1)" 'Re-using existing connection'

child=/v1/supervisors/checkout/children/cart
etag=$(get $child -I | sed -n 's/^etag: \(.*\)\r$/\1/p')
shows "a resource has an entity tag" "$etag" '"'
shows "what has not changed is not sent again" "$(get $child -i -H "if-none-match: $etag")" '304 Not Modified'
shows "what has changed is" "$(get $child -i -H 'if-none-match: "another"')" '200 OK'

group=/v1/groups/shoppers
etag=$(post /v1/groups '{"group": "shoppers"}' | sed 's/.*"etag":"\([^"]*\)".*/\1/')
end=(-i -X DELETE)
shows "an end of what has changed meanwhile is refused" "$(get $group "${end[@]}" -H 'if-match: "17"')" '412 Precondition Failed'
shows "and leaves it there" "$(get $group)" "\"etag\":\"$etag\""
shows "an end of what has not is made" "$(get $group "${end[@]}" -H "if-match: \"$etag\"")" '200 OK'

operations=/v1/operations
shows "answers are compressed for who accepts it" \
    "$(get $operations -H 'accept-encoding: gzip' -o "$scratch/packed" -D -)" 'content-encoding: gzip'
get $operations -o "$scratch/plain"
shows "and say the same" "$(gzip -dc "$scratch/packed" | cmp - "$scratch/plain" && echo same)" same
shows "curl unpacks them by itself" "$(get $operations --compressed)" '{"operations":['
printf '{"module": "kv", "name": "packed"}' | gzip >"$scratch/request"
shows "bodies may be compressed" \
    "$("${curl[@]}" "$base/v1/processes" -H "$json" -H 'content-encoding: gzip' --data-binary "@$scratch/request")" '"pid"'

shows "a request's id comes back" "$(get $operations -i -H 'x-request-id: mine')" 'x-request-id: mine'
