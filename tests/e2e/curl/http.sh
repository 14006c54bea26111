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

shows "HTTP/2 is spoken on the same port" \
    "$(get /v1/registry/names/cart -i --http2-prior-knowledge)" 'HTTP/2 200'
shows "one connection serves request after request" \
    "$("${curl[@]}" -v "$base/healthz" "$base/healthz" 2>&1)" 'Re-using existing connection'
